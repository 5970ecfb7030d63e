"""harness train -m: each of several runs is told with what it differs in."""

from types import SimpleNamespace

from harness.schema import RunConfig
from harness.verbs.train import TrainTask, one_run


def test_each_of_several_runs_is_told_with_what_it_differs_in(monkeypatch, capsys):
    plans = {str(i): SimpleNamespace(id=name, config=RunConfig(seed=i)) for i, name in enumerate("ab")}
    task = TrainTask("run", print)
    task.plans = plans
    assert task.varied() == {"a": "seed=0", "b": "seed=1"}

    done = {"quantization": {"share": 1, "error_of_all": 0, "bytes": 1, "bytes_in_float32": 4}, "result": {}}
    run = SimpleNamespace(manifest=lambda: done, path="runs/b")
    plan = SimpleNamespace(id="b", config=SimpleNamespace(method=None))
    monkeypatch.setattr("harness.planning.plan.resolve", lambda config: plan)
    monkeypatch.setattr("harness.launch.run.carry_out", lambda plan, quiet: SimpleNamespace(run=run, action="reuse"))
    one_run(RunConfig(), varied=task.varied())
    assert capsys.readouterr().out.startswith("run b (seed=1) reused: ")
