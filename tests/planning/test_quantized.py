"""What a run without a method is, whose model it has, and what it is refused for."""

from pathlib import Path
from typing import Any

import pytest

from harness.composition import run_config
from harness.config import ConfigError, from_mapping, to_mapping
from harness.files import new_folder, write_json
from harness.planning.cost import cost, description, seen
from harness.planning.plan import Plan, resolve
from harness.planning.reuse import decide
from harness.rundir import RunDir
from harness.schema import RunConfig

SMALL = ["tokenizer=bytes", "corpus=synthetic"]
PARENT = ["experiment=tiny", "architecture.width=48", "data.sequence_length=32", "seed=3", "optimizer=lion"]
INT8 = ["objective=null", "quantizer=int8"]


@pytest.fixture
def plan(tmp_path: Path) -> Any:
    def plan(*overrides: str, **planned: Plan) -> Plan:
        return resolve(run_config([*SMALL, f"runs={tmp_path}", *overrides]), {p.id: p for p in planned.values()})

    return plan


@pytest.fixture
def parent(plan: Any) -> Plan:
    return plan(*PARENT)


def stored(plan: Plan) -> RunDir:
    """A finished run, as far as others look at one."""
    run = RunDir(Path(plan.config.runs) / plan.id)
    write_json(run.path / "config.json", to_mapping(plan.config))
    budget, model = {"steps": plan.steps}, {"vocabulary": plan.vocabulary}
    result = {"steps": plan.steps}
    run.update_manifest(state="finished", identity=plan.identity, budget=budget, model=model, result=result)
    with new_folder(run.checkpoint(plan.steps)) as folder:
        (folder / "weights").write_text("1")
    return run


def quantized(plan: Any, parent: Plan, *overrides: str) -> Plan:
    return plan(*INT8, f"parents.init={parent.id}", *overrides, parent=parent)


def test_it_has_its_parents_model_whatever_else_is_composed(plan: Any, parent: Plan):
    found = quantized(plan, parent)
    for part in ("architecture", "tokenizer", "data", "seed", "optimizer"):
        assert getattr(found.config, part) == getattr(parent.config, part)
    assert (found.vocabulary, found.account.total) == (parent.vocabulary, parent.account.total)
    assert found.id == quantized(plan, parent, "architecture.width=64", "seed=5", "schedule=linear").id


def test_its_id_is_made_of_its_parent_and_its_quantizer(plan: Any, parent: Plan):
    found = quantized(plan, parent)
    assert found.identity["config"] == {"quantizer": {"name": "int8", "activations": "none"}}
    assert found.identity["parents"] == {"init": f"{parent.id}@{parent.steps}"}
    dynamic = quantized(plan, parent, "quantizer.activations=dynamic")
    other = plan(*PARENT, "seed=4")
    assert len({found.id, dynamic.id, quantized(plan, other).id, parent.id}) == 4


def test_it_trains_nothing(plan: Any, parent: Plan):
    found = quantized(plan, parent)
    assert (found.steps, found.tokens, found.own_flops, found.trained) == (0, 0, 0.0, 0)
    line = cost(found, 1e12)
    assert (line["steps"], line["hours"], line["epochs"]) == (0, 0.0, 0.0)
    assert line["memory_bytes"] < cost(parent, 1e12)["memory_bytes"]


def test_what_it_was_resolved_to_resolves_to_itself(plan: Any, parent: Plan):
    found = quantized(plan, parent)
    again = resolve(from_mapping(RunConfig, to_mapping(found.config)), {parent.id: parent})
    assert (again.id, again.config) == (found.id, found.config)


def test_without_a_quantizer_nothing_of_it_stands_in_the_identity(parent: Plan):
    assert "quantizer" not in parent.identity["config"]


def test_a_run_that_trains_for_int8_is_another_run(plan: Any, parent: Plan):
    found = plan(*PARENT, "quantizer=qat_int8")
    assert found.identity["config"].pop("quantizer") == {"name": "qat_int8", "activations": "none"}
    assert found.identity == parent.identity


@pytest.mark.parametrize(
    ("words", "message"),
    {
        "nothing to do": (["objective=null"], "method has no value: choose one by objective=name"),
        "a method that would not train": (["quantizer=int8"], "say objective=null and parents.init=<run>"),
        "nothing to train with": (["objective=null", "quantizer=qat_int8"], "choose a method, such as objective=clm"),
        "no parent": (INT8, "give parents.init=<run>, and no other parent"),
        "two parents": ([*INT8, "parents.init=a", "parents.reference=b"], "and no other parent"),
        "a parent that goes on": ([*INT8, "parents.continue=a"], "give parents.init=<run>"),
        "no such run": ([*INT8, "parents.init=abc"], "parents.init=abc: There is no run abc"),
        "with an adapter": (["quantizer=qat_int8", "adapter=lora"], "are two runs"),
        "sharded": (
            ["quantizer=qat_int8", "trainer.devices=2", "trainer.strategy=fsdp"],
            "cannot be shared out. Say trainer.strategy=ddp",
        ),
        "cut": (["quantizer=qat_int8", "trainer.devices=2", "trainer.tensor_parallel=2"], "cannot be shared out"),
        "compiled": (["quantizer=qat_int8", "trainer.compile=true"], "without trainer.compile"),
        "activations": ([*INT8, "quantizer.activations=static"], "quantizer.activations='static' is not possible"),
    }.values(),
)
def test_what_cannot_be_is_one_sentence(plan: Any, words: list[str], message: str):
    with pytest.raises(ConfigError, match=message):
        plan(*words)


def test_what_is_quantized_already_is_not_quantized_again(plan: Any, parent: Plan):
    first = quantized(plan, parent)
    with pytest.raises(ConfigError, match="is quantized already, by quantizer=int8"):
        plan(*INT8, f"parents.init={first.id}", parent=parent, first=first)


def test_it_is_nothing_to_continue(plan: Any, parent: Plan):
    first = quantized(plan, parent)
    stored(first)
    with pytest.raises(ConfigError, match="a quantized or an imported run has weights only"):
        plan(*PARENT, f"parents.continue={first.id}")
    assert plan(*PARENT, f"parents.init={first.id}").parents["init"].identity == f"{first.id}@0"


def test_a_folder_of_transformers_is_to_be_imported_first(plan: Any, tmp_path: Path):
    (tmp_path / "gpt2").mkdir()
    (tmp_path / "gpt2" / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="`harness import .*gpt2` makes a run of it"):
        plan(*INT8, f"parents.init={tmp_path / 'gpt2'}")


def test_one_whose_checkpoint_is_damaged_is_made_again(plan: Any, parent: Plan):
    found = quantized(plan, parent)
    run = RunDir(Path(found.config.runs) / found.id)
    run.update_manifest(state="finished", result={"steps": 0})
    assert decide(found).action == "train"
    with new_folder(run.checkpoint(0)) as folder:
        (folder / "weights").write_text("1")
    (folder.parent / "step-00000000" / "weights").write_text("2")
    assert decide(found).action == "train"


def test_what_is_described_is_what_would_be_made(plan: Any, parent: Plan):
    run = stored(parent)
    found = description(run_config([*SMALL, *INT8, f"runs={parent.config.runs}", f"parents.init={run.id}"]))
    assert (found["parameters"], found["sequence_length"]) == (parent.account.total, 32)
    assert (found["vocabulary"], found["trained_parameters"]) == (parent.vocabulary, 0)
    assert not [key for key in found if key.startswith("training")], "nothing is trained"
    with pytest.raises(ConfigError, match=r"parents\.init=nobody: There is no run nobody"):
        description(run_config([*SMALL, *INT8, "parents.init=nobody"]))


def test_a_corpus_that_nothing_could_be_trained_on_will_do(plan: Any, parent: Plan, tmp_path: Path):
    (tmp_path / "few.txt").write_text("a few words")
    few = quantized(plan, parent, "corpus=text", f"corpus.path={tmp_path / 'few.txt'}")
    assert seen(few) == {"unique_tokens": 0, "epochs": 0.0, "sources": {}}
    assert cost(few, 1e12)["unique_tokens"] == 0
    (tmp_path / "none.txt").write_text("")
    none = quantized(plan, parent, "corpus=text", f"corpus.path={tmp_path / 'none.txt'}")
    assert none.dataset().unique_tokens == {"text": 0}
