"""What `parents` may name, which run it then is, and why a run cannot start from another."""

import dataclasses
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.composition import run_config
from harness.config import ConfigError, to_mapping
from harness.files import new_folder, write_json
from harness.planning.cost import cost
from harness.planning.named import checkpoint_steps, split
from harness.planning.plan import Plan, resolve
from harness.rundir import RunDir

SMALL = ["experiment=tiny", "tokenizer=bytes", "corpus=synthetic", "data.batch_size=4", "data.sequence_length=32"]
STEP = 4 * 32
TRUNK = f"budget.tokens={100 * STEP}"
LONGER = f"budget.tokens={120 * STEP}"


@pytest.fixture
def plan(tmp_path: Path) -> Any:
    def plan(*overrides: str, **planned: Plan) -> Plan:
        return resolve(run_config([*SMALL, f"runs={tmp_path}", *overrides]), {p.id: p for p in planned.values()})

    return plan


def carried_out(plan: Plan, *steps: int, state: str = "finished") -> RunDir:
    """The directory of a run with checkpoints that nobody trained."""
    run = RunDir(Path(plan.config.runs) / plan.id)
    write_json(run.path / "config.json", to_mapping(plan.config))
    budget, model = {"steps": plan.steps}, {"vocabulary": plan.vocabulary}
    run.update_manifest(id=plan.id, state=state, identity=plan.identity, budget=budget, model=model)
    for step in steps:
        with new_folder(run.checkpoint(step)) as folder:
            (folder / "weights").write_text("1")
    return run


@pytest.fixture
def trunk(plan: Any) -> RunDir:
    return carried_out(plan(TRUNK), 90, 100)


# ------------------------------------------------------------------------------------ what is named


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("abc", ("abc", None)),
        ("abc@120", ("abc", "120")),
        ("abc@0.5", ("abc", "0.5")),
        ("abc@.5", ("abc", ".5")),
        ("runs/abc@7", ("runs/abc", "7")),
        ("folder@home/model", ("folder@home/model", None)),
        ("@7", ("", "7")),
    ],
)
def test_a_step_stands_after_the_last_at(text: str, parts: tuple[str, str | None]):
    assert split(text) == parts


@pytest.mark.parametrize("by", ["id", "beginning", "folder"])
@pytest.mark.parametrize(("at", "step"), [("", 100), ("@90", 90), ("@0.9", 90)])
def test_a_run_is_named_by_id_beginning_or_folder_and_ends_at_its_end(
    plan: Any, trunk: RunDir, by: str, at: str, step: int
):
    name = {"id": trunk.id, "beginning": trunk.id[:6], "folder": str(trunk.path)}[by]
    found = plan(LONGER, f"parents.continue='{name}{at}'")
    parent = found.parents["continue"]
    assert (parent.path.resolve(), parent.step) == (trunk.path.resolve(), step)
    assert found.identity["parents"] == {"continue": f"{trunk.id}@{step}"}


def test_however_a_parent_is_named_it_is_one_run_and_another_one_than_without(plan: Any, trunk: RunDir):
    named = [trunk.id, f"{trunk.id}@100", f"{trunk.id[:5]}@100", str(trunk.path)]
    (one,) = {plan(LONGER, f"parents.init='{name}'").id for name in named}
    others = [f"parents.init='{trunk.id}@90'", f"parents.continue='{trunk.id}'"]
    assert len({one, plan(LONGER).id, *(plan(LONGER, other).id for other in others)}) == 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nowhere", r"parents\.continue=nowhere: There is no run nowhere in"),
        ("{id}@50", r"no whole checkpoint at step 50\. Whole are: 90, 100"),
        ("{id}@0.25", r"no whole checkpoint at step 25"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(plan: Any, trunk: RunDir, text: str, said: str):
    with pytest.raises(ConfigError, match=said):
        plan(LONGER, f"parents.continue='{text.format(id=trunk.id)}'")


def test_a_damaged_checkpoint_is_no_parent(plan: Any, trunk: RunDir):
    (trunk.checkpoint(90) / "weights").write_text("2")
    with pytest.raises(ConfigError, match=r"no whole checkpoint at step 90\. Whole are: 100"):
        plan(LONGER, f"parents.continue='{trunk.id}@90'")


def test_the_end_of_a_run_is_there_only_when_it_is_finished(plan: Any):
    run = carried_out(plan(TRUNK), 60, state="interrupted")
    with pytest.raises(ConfigError, match=f"is interrupted, not finished; {run.id}@60 is what it has"):
        plan(LONGER, f"parents.init='{run.id}'")
    assert plan(LONGER, f"parents.init='{run.id}@60'").parents["init"].step == 60


# --------------------------------------------------------------------------------------- continuing


def test_what_a_continued_run_costs_is_told_apart_from_what_its_model_has_seen(plan: Any, trunk: RunDir):
    alone, found = plan(LONGER), plan(LONGER, f"parents.continue='{trunk.id}'")
    assert (found.steps, found.tokens, found.flops) == (alone.steps, alone.tokens, alone.flops)
    assert (found.own_steps, found.own_tokens) == (20, 20 * STEP)
    assert found.own_flops == pytest.approx(alone.flops * 20 / 120)
    assert found.hours(1e9) == pytest.approx(alone.hours(1e9) * 20 / 120)
    assert cost(found, 1e9)["parents"] == f"continue={trunk.id}@100"
    from_weights = plan(LONGER, f"parents.init='{trunk.id}'")
    assert from_weights.own_steps == from_weights.steps == 120


@pytest.mark.parametrize(
    "same",
    [
        "schedule=linear",
        "corpus.seed=1",
        "optimizer.lr=0.015",
        "seeds.data=0",
        "trainer.micro_batch=2",
        "trainer.precision=bf16",
        "suite=null",
    ],
)
def test_schedule_budget_and_data_may_be_others(plan: Any, trunk: RunDir, same: str):
    assert plan(LONGER, f"parents.continue='{trunk.id}'", same).own_steps == 20


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ("architecture.width=64", "architecture.width is 64 here and 32 there"),
        ("optimizer=muon", "optimizer.name is muon here and adamw there"),
        ("optimizer.frozen=[body.tokens.*]", r"optimizer.frozen is \['body.tokens.\*'\] here and not set there"),
        ("data.batch_size=8", "data.batch_size is 8 here and 4 there"),
        ("data.sequence_length=64", "data.sequence_length is 64 here and 32 there"),
        ("seed=1", "seeds.init is 1 here and 0 there"),
        ("tokenizer=characters", r"vocabulary is \d+ here and 257 there"),
    ],
)
def test_model_optimizer_batch_and_seeds_may_not(plan: Any, trunk: RunDir, other: str, said: str):
    with pytest.raises(ConfigError, match=f"parents.continue={trunk.id}: {said}.*say parents.init"):
        plan(LONGER, f"parents.continue='{trunk.id}'", other)


@pytest.mark.parametrize("budget", [80, 100])
def test_the_budget_counts_the_parents_steps(plan: Any, trunk: RunDir, budget: int):
    with pytest.raises(ConfigError, match=f"at step 100, and this run's budget ends at step {budget}"):
        plan(f"budget.tokens={budget * STEP}", f"parents.continue='{trunk.id}'")


def test_a_tokenizer_is_taken_over_unless_another_is_asked_for(plan: Any, tmp_path: Path):
    for name, word in (("one", "alpha beta "), ("two", "gamma delta ")):
        (tmp_path / f"{name}.txt").write_text(word * 300)
    common = ["corpus=text", "tokenizer=bpe", "tokenizer.size=280", "data.held_out=0"]
    first = plan(TRUNK, *common, f"corpus.path={tmp_path}/one.txt")
    run = carried_out(first, 100)
    from harness.planning.plan import dataset

    shutil.copytree(dataset(first.config).tokenizer_folder, run.path / "tokenizer")
    again = [LONGER, *common, f"parents.continue='{run.id}'"]
    assert plan(*again, f"corpus.path={tmp_path}/one.txt").own_steps == 20
    assert plan(*again, f"corpus.path={tmp_path}/one.txt", "data.held_out=0.1").own_steps == 20
    others = [*again, f"corpus.path={tmp_path}/two.txt"]
    ids = set()
    for planned in ({}, {run.id: first}):
        run.update_manifest(state="interrupted" if planned else "finished")
        continued = plan(*others, **planned)
        assert continued.inherited is not None
        assert continued.dataset().tokenizer.encode("alpha ") == dataset(first.config).tokenizer.encode("alpha ")
        ids.add(continued.id)
        with pytest.raises(ConfigError, match="another tokenizer than the parent's"):
            plan(*others, "data.retrain_tokenizer=true", **planned)
    assert len(ids) == 1, "whether the parent is trained yet changes no id"


def test_an_imported_model_has_no_optimizer_to_continue(plan: Any):
    imported = plan(TRUNK)
    run = carried_out(imported, 0)
    run.update_manifest(identity={"imported": {}}, budget={"steps": 0})
    with pytest.raises(ConfigError, match="an imported run has weights only.*parents.init"):
        plan(LONGER, f"parents.continue='{run.id}'")
    assert plan(LONGER, f"parents.init='{run.id}'").parents["init"].identity == f"{run.id}@0"


# -------------------------------------------------------------------------------------------- init


@pytest.mark.parametrize(
    "same",
    [
        "optimizer=lion",
        "seed=3",
        "data.batch_size=2",
        "tokenizer=characters",
        "architecture.vocabulary=300",
        "architecture.residual_dropout=0.5",
        "architecture.head.tied=false",
        TRUNK,
    ],
)
def test_weights_alone_fit_whatever_has_their_shapes(plan: Any, trunk: RunDir, same: str):
    assert plan(LONGER, f"parents.init='{trunk.id}'", same).parents["init"].step == 100


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ("architecture.width=64", r"body\.tokens\.weight is 64 here and 32 there"),
        ("architecture.layers=3", r"body\.blocks\.2\..* is 32 here and absent there"),
        ("architecture.layers=1", r"body\.blocks\.1\..* is absent here and 32 there"),
        ("architecture/norm=layernorm", r"body\.blocks\.0\.attention_norm\.bias is 32 here and absent there"),
    ],
)
def test_the_first_tensor_that_does_not_fit_is_named(plan: Any, trunk: RunDir, other: str, said: str):
    with pytest.raises(ConfigError, match=f"the architectures differ: {said}"):
        plan(LONGER, f"parents.init='{trunk.id}'", other)


def test_two_tensors_cannot_become_one(plan: Any):
    run = carried_out(plan(TRUNK, "architecture.head.tied=false"), 100)
    with pytest.raises(ConfigError, match=r"heads\.language_model\.weight.*one tensor here and two there"):
        plan(LONGER, f"parents.init='{run.id}'")


def test_a_run_has_one_source_of_weights(plan: Any, trunk: RunDir):
    with pytest.raises(ConfigError, match="both give the weights"):
        plan(LONGER, f"parents.init='{trunk.id}'", f"parents.continue='{trunk.id}'")


# ------------------------------------------------------------------------- runs that are yet to be


def test_a_run_that_is_yet_to_be_can_be_a_parent_at_steps_where_it_will_keep_checkpoints(plan: Any):
    trunk = plan(TRUNK, "trainer.keep=3")
    for at, step in ((f"{trunk.id}", 100), (f"{trunk.id}@80", 80), (f"{trunk.id}@0.9", 90)):
        assert plan(LONGER, f"parents.continue='{at}'", trunk=trunk).parents["continue"].step == step
    with pytest.raises(ConfigError, match=r"no checkpoint at step 85: with trainer\.checkpoints=10.*80, 90, 100"):
        plan(LONGER, f"parents.continue='{trunk.id}@85'", trunk=trunk)
    with pytest.raises(ConfigError, match=r"keep only its last trainer\.keep=3.*Say trainer\.keep=4"):
        plan(LONGER, f"parents.continue='{trunk.id}@70'", trunk=trunk)


def test_a_run_that_may_end_early_is_no_parent_before_it_is_trained(plan: Any):
    trunk = plan(TRUNK, "watch.patience=2", "watch.validate_every=10")
    with pytest.raises(ConfigError, match=r"may end early \(watch\.patience=2\)"):
        plan(LONGER, f"parents.init='{trunk.id}'", trunk=trunk)
    carried_out(trunk, 30)
    assert plan(LONGER, f"parents.init='{trunk.id}'", trunk=trunk).parents["init"].step == 30


def test_a_parent_has_the_same_identity_before_and_after_it_is_carried_out(plan: Any):
    trunk = plan(TRUNK)
    before = plan(LONGER, f"parents.continue='{trunk.id}@90'", trunk=trunk)
    carried_out(trunk, 90, 100)
    assert plan(LONGER, f"parents.continue='{trunk.id}@90'", trunk=trunk).id == before.id
    assert plan(LONGER, f"parents.continue='{trunk.id}@90'").id == before.id


def test_of_a_finished_parent_what_counts_is_what_is_there(plan: Any):
    trunk = plan(TRUNK, "trainer.keep=3")
    carried_out(trunk, 100)
    with pytest.raises(ConfigError, match=r"no whole checkpoint at step 90\. Whole are: 100"):
        plan(LONGER, f"parents.continue='{trunk.id}@90'", trunk=trunk)
    again = dataclasses.replace(trunk, config=dataclasses.replace(trunk.config, retrain=True))
    assert plan(LONGER, f"parents.continue='{trunk.id}@90'", trunk=again).own_steps == 30


@given(steps=st.integers(1, 500), checkpoints=st.integers(1, 60))
def test_checkpoints_stand_where_training_writes_them(steps: int, checkpoints: int):
    from harness.training.checkpoints import due

    assert checkpoint_steps(steps, checkpoints) == [k for k in range(1, steps + 1) if due(k, steps, checkpoints)]


# ----------------------------------------------------------------------------------------- folders


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A LLaMA that nobody trained, without a tokenizer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    own = LlamaConfig(
        vocab_size=257, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        tie_word_embeddings=True,
    )  # fmt: skip
    LlamaForCausalLM(own).save_pretrained(tmp_path / "llama")
    return tmp_path / "llama"


LLAMA = ["architecture.feedforward.hidden=64", "architecture.attention.heads=2"]


def test_a_folder_of_transformers_is_known_by_its_content(plan: Any, folder: Path):
    def found(path: Path) -> Plan:
        return plan(LONGER, *LLAMA, f"parents.init='{path}'")

    first = found(folder)
    assert first.parents["init"].step is None
    moved = folder.rename(folder.parent / "moved")
    assert found(moved).id == first.id
    with open(moved / "model.safetensors", "r+b") as file:
        file.seek(-4, 2)
        file.write(b"abcd")
    assert found(moved).id != first.id


def test_a_folder_is_not_continued_and_must_fit(plan: Any, folder: Path):
    with pytest.raises(ConfigError, match="a folder of transformers has weights only"):
        plan(LONGER, *LLAMA, f"parents.continue='{folder}'")
    with pytest.raises(ConfigError, match="the architectures differ: body.blocks.0.feedforward.gate.weight is 96×32"):
        plan(LONGER, *LLAMA, "architecture.feedforward.hidden=96", f"parents.init='{folder}'")
    with pytest.raises(ConfigError, match="257 tokens and no tokenizer.json"):
        plan(LONGER, *LLAMA, "tokenizer=characters", f"parents.init='{folder}'")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=re.escape(f"parents.init={folder}: ") + ".*has no model.safetensors"):
        plan(LONGER, *LLAMA, f"parents.init='{folder}'")
