"""Stages: runs that start from runs of the same sweep, resolved before any of them is there, and carried out in order."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main
from harness.config import ConfigError
from harness.errors import UserError
from harness.planning.plan import Plan
from harness.rundir import RunDir
from harness.studies.overrides import with_overrides
from harness.studies.stages import plans_of, rows_of
from harness.studies.sweep_file import load_sweep

STEP = 4 * 32
BASE = (
    "base: [experiment=tiny, tokenizer=bytes, corpus=synthetic, data.batch_size=4, data.sequence_length=32, suite=null]"
)
TRUNK = f"trunk: {{base: [budget.tokens={40 * STEP}, schedule=linear, trainer.keep=10]}}"


@pytest.fixture
def plans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)

    def plans(*lines: str, overrides: tuple[str, ...] = ()) -> list[Plan]:
        (tmp_path / "mine.yaml").write_text("\n".join([BASE, *lines]))
        return plans_of(with_overrides(load_sweep("mine.yaml"), overrides))

    return plans


def test_a_stage_starts_from_the_run_of_another(plans: Any):
    trunk, decay = plans(
        f"stages: {{{TRUNK}, decay: {{parents: {{continue: trunk@20}}, base: [budget.tokens={25 * STEP}]}}}}"
    )
    assert decay.parents["continue"].identity == f"{trunk.id}@20"
    assert decay.parents["continue"].path == Path("runs") / trunk.id
    assert (trunk.own_steps, decay.steps, decay.own_steps) == (40, 25, 5)
    assert (trunk.config.schedule.name, decay.config.schedule.name) == ("linear", "cosine"), "a stage's base is its own"
    assert decay.config.parents["continue"] == f"{trunk.id}@20", "what is saved names the run"


def test_where_a_stage_starts_can_be_varied_by_steps_and_shares(plans: Any):
    trunk, *decays = plans(
        f"stages: {{{TRUNK}, decay: {{zip: {{parents.continue: [trunk@8, trunk@0.5, trunk], "
        f"budget.tokens: [{10 * STEP}, {30 * STEP}, {50 * STEP}]}}}}}}"
    )
    assert [decay.parents["continue"].identity for decay in decays] == [f"{trunk.id}@{step}" for step in (8, 20, 40)]
    assert [decay.own_steps for decay in decays] == [2, 10, 10]


def test_each_run_of_a_stage_starts_from_each_run_of_its_parent_and_has_its_values(plans: Any):
    """But for those that it sets itself; the sweep's axes are those of the first stage."""
    found = plans(
        "axes: {seed: [0, 1]}",
        f"stages: {{trunk: {{axes: {{architecture.width: [32, 64]}}, zip: {{budget.tokens: [{40 * STEP}]}}}}, "
        f"decay: {{parents: {{continue: trunk}}, base: [budget.tokens={45 * STEP}], axes: {{schedule: [linear, cosine]}}}}, "
        "tuned: {parents: {init: decay}, axes: {seed: [7]}, base: [optimizer.lr=0.001]}}",
    )
    trunks, decays, tuned = found[:4], found[4:12], found[12:]
    assert len({plan.id for plan in found}) == 4 + 8 + 8
    for decay in decays:
        (trunk,) = [t for t in trunks if decay.parents["continue"].path.name == t.id]
        assert (decay.config.seed, decay.config.architecture.width) == (
            trunk.config.seed,
            trunk.config.architecture.width,
        )
        assert decay.own_steps == 5
    assert {plan.config.seed for plan in tuned} == {7}
    assert {plan.parents["init"].path.name for plan in tuned} == {decay.id for decay in decays}
    assert not any(plan.config.parents.get("continue") for plan in tuned), (
        "where the parent came from is its own affair"
    )


def test_one_stage_may_start_from_several(plans: Any):
    small, other, *tuned = plans(
        f"stages: {{small: {{base: [budget.tokens={10 * STEP}]}}, other: {{base: [budget.tokens={10 * STEP}, seed=5]}}, "
        "tuned: {axes: {parents.init: [small, other, null]}}}"
    )
    assert [p.parents["init"].identity if p.parents else None for p in tuned] == [
        f"{small.id}@10",
        f"{other.id}@10",
        None,
    ]


def test_overrides_reach_every_stage(plans: Any):
    stages = f"stages: {{{TRUNK}, decay: {{parents: {{continue: trunk}}, base: [budget.tokens={50 * STEP}]}}}}"
    found = plans(stages, overrides=("seed=3,4", "optimizer.lr=0.5"))
    assert [(plan.config.seed, plan.config.optimizer.lr) for plan in found] == [(3, 0.5), (4, 0.5)] * 2


def test_what_cannot_follow_is_said_before_anything_starts(plans: Any):
    with pytest.raises(ConfigError, match="will write no checkpoint at step 21"):
        plans(f"stages: {{{TRUNK}, decay: {{parents: {{continue: trunk@21}}}}}}")
    with pytest.raises(ConfigError, match=r"optimizer\.lr is 0\.5 here"):
        plans(f"stages: {{{TRUNK}, decay: {{parents: {{continue: trunk}}, base: [optimizer.lr=0.5]}}}}")
    with pytest.raises(UserError, match="starts from later, which does not stand before it"):
        plans(f"stages: {{{TRUNK}, decay: {{axes: {{parents.init: [later]}}}}, later: {{}}}}")


# ------------------------------------------------------------------------------------- several parents

TOYS = """
base: [experiment=tiny, tokenizer=bytes, corpus=toy, corpus.count=300, objective=clm, data.sequence_length=32,
       suite=null, budget.tokens=null, budget.steps=4]
"""
CHAIN = """
stages:
  first: {}
  taught: {parents: {init: first}, base: [optimizer.lr=0.001]}
  aligned:
    parents: {init: taught, reference: taught}
    base: [corpus=toy, corpus.holds=preferences, alignment=toy]
    axes: {method.beta: [0.1, 0.5]}
"""


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_toys: Any) -> Any:
    """Plans by the names of their stages."""
    monkeypatch.chdir(tmp_path)

    def toys(*lines: str, overrides: tuple[str, ...] = ()) -> dict[str, list[Plan]]:
        (tmp_path / "mine.yaml").write_text("\n".join([TOYS, *lines]))
        found: dict[str, list[Plan]] = {}
        for made in rows_of(with_overrides(load_sweep("mine.yaml"), overrides)):
            found.setdefault(made.stage, []).append(made.plan)
        return found

    return toys


def of(plan: Plan, role: str) -> str:
    return plan.parents[role].path.name


def test_a_stage_may_lean_on_one_run_and_start_from_it(toys: Any):
    found = toys("axes: {seed: [0, 1]}", CHAIN)
    assert [len(found[stage]) for stage in found] == [2, 2, 4]
    seeds = {plan.id: plan.config.seed for plan in found["taught"]}
    for plan in found["aligned"]:
        assert of(plan, "init") == of(plan, "reference")
        assert seeds[of(plan, "init")] == plan.config.seed
    assert {(plan.config.seed, plan.config.method.beta) for plan in found["aligned"]} == {
        (seed, beta) for seed in (0, 1) for beta in (0.1, 0.5)
    }


def test_another_parent_is_the_run_that_this_one_comes_from(toys: Any):
    """The reference of what starts from an aligned run is the taught one that the aligned run itself began with."""
    again = """
  again:
    parents: {init: aligned, reference: first}
    base: [corpus=toy, corpus.holds=preferences, alignment=toy, optimizer.lr=0.002]
"""
    found = toys("axes: {seed: [0, 1]}", CHAIN + again)
    first = {plan.config.seed: plan.id for plan in found["first"]}
    assert len(found["again"]) == 4
    for plan in found["again"]:
        assert of(plan, "reference") == first[plan.config.seed]


def test_a_parent_beside_the_chain_is_the_one_with_the_same_values(toys: Any):
    beside = """
  aside: {base: [budget.steps=6]}
  both:
    parents: {init: taught, reference: aside}
    base: [corpus=toy, corpus.holds=preferences, alignment=toy]
"""
    found = toys("axes: {seed: [0, 1]}", CHAIN + beside)
    aside = {plan.config.seed: plan.id for plan in found["aside"]}
    assert [of(plan, "reference") for plan in found["both"]] == [aside[plan.config.seed] for plan in found["both"]]
    with pytest.raises(
        UserError, match="both leans on taught and on aside, and 3 of the runs of aside have the values"
    ):
        toys(CHAIN + beside.replace("budget.steps=6]", "budget.steps=6], axes: {seed: [3, 4, 5]}"))


def test_a_stage_may_follow_each_of_several(toys: Any):
    found = toys(CHAIN + "  last: {parents: {init: [taught, aligned]}, base: [budget.steps=2]}\n")
    starts = [of(plan, "init") for plan in found["last"]]
    assert starts == [plan.id for plan in [*found["taught"], *found["aligned"]]]


def test_what_a_stage_chooses_is_its_own_altogether(toys: Any):
    """Of the base, an objective's options do not reach an alignment, nor a corpus's another one, nor what is varied."""
    text = """
stages:
  first: {base: [corpus=toy], axes: {corpus.count: [250, 300], method.logits_chunk: [null, 64]}}
  aligned: {parents: {init: first}, base: [alignment=toy, corpus=toy, corpus.holds=preferences]}
  more: {parents: {init: aligned}, base: [objective=clm, corpus=text, corpus.path=/dev/null]}
"""
    found = toys(text.replace("  more", "# more").replace("/dev/null", "mine.yaml"))
    assert {plan.config.corpus.count for plan in found["first"]} == {250, 300}
    assert {plan.config.corpus.count for plan in found["aligned"]} == {200}, "the corpus's own default"
    assert {plan.config.method.name for plan in found["aligned"]} == {"toy"}
    assert {of(plan, "init") for plan in found["aligned"]} == {plan.id for plan in found["first"]}
    with pytest.raises(UserError, match="corpus.count is set by the stages first, aligned, more of mine"):
        toys(text, overrides=("corpus.count=10",))
    with pytest.raises(UserError, match="method.beta is set by the stages aligned, more of mine"):
        toys(text, overrides=("method.beta=10",))


# ---------------------------------------------------------------------------------------- carried out

STUDY = f"""
base:
  - experiment=tiny
  - tokenizer=bytes
  - corpus=synthetic
  - data.batch_size=4
  - data.sequence_length=32
  - schedule=warmup_stable_decay
  - schedule.warmup_steps=5
  - suite=null
stages:
  trunk:
    base: [schedule.decay_steps=0, budget.tokens={80 * STEP}, trainer.checkpoints=8, trainer.keep=8]
  decay:
    base: [schedule.decay_steps=10]
    zip:
      parents.continue: [trunk@20, trunk@40, trunk@60, trunk@80]
      budget.tokens: [{30 * STEP}, {50 * STEP}, {70 * STEP}, {90 * STEP}]
analyses: [power_law]
"""


def runs() -> list[RunDir]:
    return [RunDir(path.parent) for path in Path("runs").glob("*/manifest.json")]


def attempts(run: RunDir) -> list[tuple[int, int]]:
    return [(attempt["from_step"], attempt["to_step"]) for attempt in run.manifest()["attempts"]]


def steps_taken() -> int:
    return sum(end - begin for run in runs() for begin, end in attempts(run))


@pytest.mark.slow
def test_a_trunk_with_four_decays_costs_the_trunk_and_four_decays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    """By optimizer steps over all attempts; asked for again it costs nothing, and one more branch costs one decay."""
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(STUDY)
    assert main(["plan", "mine.yaml", "--json", "rate=1e9"]) == 0
    rows = json.loads(capsys.readouterr().out)["runs"]
    assert sum(row["own_steps"] for row in rows) == 80 + 4 * 10
    assert [row["parents"][:9] for row in rows] == ["", *["continue="] * 4]
    assert not Path("runs").exists()

    assert main(["study", "mine.yaml", "launcher.workers=2"]) == 0
    assert len(runs()) == 5
    assert steps_taken() == 80 + 4 * 10
    assert sum(run.manifest()["budget"]["own_steps"] for run in runs()) == 80 + 4 * 10
    branches = [run for run in runs() if "parents" in run.manifest()["identity"]]
    for run in branches:
        ((begin, end),) = attempts(run)
        assert run.manifest()["identity"]["parents"]["continue"].endswith(f"@{begin}")
        assert (end - begin, run.metrics()[-1]["step"]) == (10, end)
        assert run.metrics()[0]["step"] > begin
    points = json.loads(Path("studies/mine/findings.json").read_text())[0]["values"]["points"]
    assert points == 4, "the trunk is no end"

    capsys.readouterr()
    assert main(["study", "mine.yaml", "launcher.workers=2"]) == 0
    assert "5 runs: 5 to reuse" in capsys.readouterr().err
    assert steps_taken() == 80 + 4 * 10

    more = STUDY.replace("[trunk@20,", "[trunk@10, trunk@20,").replace(f"[{30 * STEP},", f"[{20 * STEP}, {30 * STEP},")
    Path("mine.yaml").write_text(more)
    assert main(["study", "mine.yaml", "launcher.workers=2"]) == 0
    assert steps_taken() == 80 + 5 * 10


@pytest.mark.slow
def test_where_the_trunk_fails_its_branches_are_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(STUDY)
    assert main(["study", "mine.yaml", "optimizer.lr=1e30", "schedule.warmup_steps=0"]) == 1
    said = " ".join(capsys.readouterr().err.split())
    (trunk,) = runs()
    assert said.count(f"was not started, since {trunk.id} failed") == 4
    assert f"1 run(s) failed: {trunk.id}; 4 run(s) were not started: " in said
    assert "Traceback" not in said
