"""What is checked of a run with an adapter before anything starts, and what it is said to cost."""

from pathlib import Path
from typing import Any

import pytest

from harness.composition import run_config
from harness.config import ConfigError, to_mapping
from harness.files import new_folder, write_json
from harness.identity import determining
from harness.planning.cost import cost, description
from harness.planning.plan import Plan, resolve
from harness.rundir import RunDir

SMALL = ["experiment=tiny", "tokenizer=bytes", "corpus=synthetic", "data.batch_size=4", "data.sequence_length=32"]
LORA = ["adapter=lora", "adapter.rank=2"]


@pytest.fixture
def plan(tmp_path: Path) -> Any:
    def plan(*overrides: str) -> Plan:
        return resolve(run_config([*SMALL, f"runs={tmp_path}", *overrides]))

    return plan


def carried_out(plan: Plan) -> RunDir:
    """The directory of a finished run that nobody trained."""
    run = RunDir(Path(plan.config.runs) / plan.id)
    write_json(run.path / "config.json", to_mapping(plan.config))
    budget, model = {"steps": plan.steps}, {"vocabulary": plan.vocabulary}
    run.update_manifest(id=plan.id, state="finished", identity=plan.identity, budget=budget, model=model)
    with new_folder(run.checkpoint(plan.steps)) as folder:
        (folder / "weights").write_text("1")
    return run


@pytest.fixture
def beside(plan: Any) -> list[str]:
    return [*LORA, f"parents.init='{carried_out(plan('budget.tokens=12800')).id}'"]


def test_a_run_without_an_adapter_has_the_id_that_it_had_before_there_were_any():
    for words in (SMALL, ["scale=ladder", "scale.width=32"]):
        config = run_config(words)
        assert "adapter" not in determining(config)
        assert "adapter" in determining(run_config([*words, *LORA]))


def test_an_adapter_and_each_of_its_options_make_another_run(plan: Any, beside: list[str]):
    changes = [[], ["adapter.rank=3"], ["adapter.alpha=3"], ["adapter.dropout=0.1"], ["adapter.targets=[*.out]"]]
    ids = {plan(*beside, *change).id for change in changes}
    assert len({*ids, plan(beside[-1]).id}) == 6
    assert plan(*beside, "adapter.dropout=0", "adapter.rank_stabilised=false").id in ids


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["parents.init=null"], "adapter=lora is trained beside the weights of another model: say which, by parents.init"),
        (["adapter.targets=[*.query]"], r"no Linear matrix of the body is named \*\.query"),
        (["trainer.devices=2", "trainer.tensor_parallel=2", "architecture.attention.heads=2"], "trainer.tensor_parallel=2 cuts the matrices"),
        (["tokenizer=characters"], "so its tokenizer and its 257 rows of the embedding table must be kept"),
        (["architecture.vocabulary=300"], "take the same tokenizer, and architecture.vocabulary=257"),
        (["optimizer.frozen=[body.layers.*]"], r"optimizer.frozen: no parameter is named body\.layers\.\*"),
        (["optimizer.frozen=[*.lora_*]"], "leaves nothing to train"),
    ],
)  # fmt: skip
def test_one_sentence_for_what_cannot_be(plan: Any, beside: list[str], overrides: list[str], said: str):
    with pytest.raises(ConfigError, match=said):
        plan(*beside, *overrides)


def test_what_trained_an_adapter_is_started_from_but_not_continued(plan: Any, beside: list[str]):
    run = carried_out(plan("budget.tokens=6400", *beside))
    assert plan(f"parents.init='{run.id}'").parents["init"].identity == f"{run.id}@50"
    with pytest.raises(
        ConfigError, match=r"it trained adapter=lora and has no state of a whole model\. Say parents.init"
    ):
        plan("budget.tokens=12800", f"parents.continue='{run.id}'")


def test_what_is_trained_is_counted(plan: Any, beside: list[str]):
    whole, found = plan(beside[-1]), plan(*beside)
    assert whole.trained == whole.account.total == found.account.total
    width, hidden, layers = 32, found.config.architecture.feedforward.hidden_width(32), found.config.architecture.layers
    assert found.trained == 2 * layers * (4 * 2 * width + 3 * (width + hidden))
    assert plan(*beside, "optimizer.frozen=[*.lora_B.*]").trained == 2 * layers * (4 * width + 2 * width + hidden)
    assert cost(found, 1e9)["trained"] == found.trained
    assert cost(found, 1e9)["flops"] == found.training_flops * found.tokens < whole.training_flops * found.tokens
    assert cost(found, 1e9)["memory_bytes"] < cost(whole, 1e9)["memory_bytes"]
    said = description(found.config)
    assert said["trained_parameters"] == found.trained
    assert said["training_flops_per_token"] == found.training_flops
    assert said["training_bytes_of_weights"] == 4 * (found.account.total + found.trained)
    assert said["training_bytes_of_gradients"] == 4 * found.trained
    assert said["training_bytes_of_optimizer"] == 8 * found.trained
