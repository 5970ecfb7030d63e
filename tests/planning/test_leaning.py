"""What a method may lean on, which head it needs, and which pairings are refused before anything is started."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.composition import run_config
from harness.config import ConfigError, to_mapping
from harness.files import new_folder, write_json
from harness.planning.cost import cost
from harness.planning.plan import Plan, resolve
from harness.rundir import RunDir
from tests import preferences

SMALL = ["experiment=tiny", "tokenizer=bytes", "budget.tokens=null", "budget.steps=10", "suite=null"]
TEXT, PAIRS = "corpus=synthetic", "corpus=tastes"


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    preferences.register(monkeypatch)


@pytest.fixture
def plan(tmp_path: Path) -> Any:
    def plan(*overrides: str, **planned: Plan) -> Plan:
        return resolve(run_config([*SMALL, f"runs={tmp_path}", *overrides]), {p.id: p for p in planned.values()})

    return plan


def carried_out(plan: Plan) -> RunDir:
    """The directory of a run that nobody trained."""
    run = RunDir(Path(plan.config.runs) / plan.id)
    write_json(run.path / "config.json", to_mapping(plan.config))
    budget, model = {"steps": plan.steps}, {"vocabulary": plan.vocabulary}
    run.update_manifest(id=plan.id, state="finished", identity=plan.identity, budget=budget, model=model)
    with new_folder(run.checkpoint(plan.steps)) as folder:
        (folder / "weights").write_text("1")
    if plan.config.tokenizer.needs_training():
        shutil.copytree(plan.dataset().tokenizer_folder, run.path / "tokenizer")
    return run


@pytest.fixture
def parent(plan: Any) -> RunDir:
    return carried_out(plan(TEXT))


def test_a_run_leans_on_what_it_starts_from_where_no_other_is_given(plan: Any, parent: RunDir):
    other = carried_out(plan(TEXT, "seed=1"))
    alone = plan(PAIRS, "alignment=dpo", f"parents.init='{parent.id}'")
    assert alone.parents["reference"] == alone.parents["init"]
    assert alone.identity["parents"] == {"init": f"{parent.id}@10"}
    beside = plan(PAIRS, "alignment=dpo", f"parents.init='{parent.id}'", f"parents.reference='{other.id}'")
    assert beside.parents["reference"].identity == f"{other.id}@10"
    from_nothing = plan(PAIRS, "alignment=dpo", f"parents.reference='{other.id}'")
    assert len({alone.id, beside.id, from_nothing.id}) == 3


def test_a_reference_that_is_the_start_changes_no_id(plan: Any, parent: RunDir):
    start = [PAIRS, "alignment=dpo", f"parents.init='{parent.id}'"]
    assert plan(*start, f"parents.reference='{parent.id}'").id == plan(*start).id


def test_a_continued_alignment_leans_on_what_its_trunk_leant_on(plan: Any, parent: RunDir):
    """Not on where the trunk has come to: a trunk and its branch are one longer run."""
    trunk = carried_out(plan(PAIRS, "alignment=dpo", f"parents.init='{parent.id}'"))
    longer = [PAIRS, "alignment=dpo", f"parents.continue='{trunk.id}'", "budget.steps=20"]
    with pytest.raises(ConfigError, match=r"leans on what that leant on: give parents\.reference"):
        plan(*longer)
    assert plan(*longer, f"parents.reference='{parent.id}'").own_steps == 10


def test_a_tokenizer_is_the_parents_when_its_corpus_has_grown_or_gone(plan: Any, tmp_path: Path):
    for name, word in (("one", "alpha beta "), ("two", "gamma delta ")):
        (tmp_path / f"{name}.txt").write_text(word * 300)
    common = ["corpus=text", "tokenizer=bpe", "tokenizer.size=280", "data.held_out=0"]
    run = carried_out(plan(*common, f"corpus.path={tmp_path}/one.txt"))
    (tmp_path / "one.txt").write_text("gamma delta " * 400)
    grown = plan(*common, f"corpus.path={tmp_path}/one.txt", f"parents.init='{run.id}'")
    (tmp_path / "one.txt").unlink()
    other = plan(*common, f"corpus.path={tmp_path}/two.txt", f"parents.init='{run.id}'")
    assert grown.inherited == other.inherited == run.path / "tokenizer"


def test_options_that_change_nothing_change_no_id(plan: Any, parent: RunDir):
    start = f"parents.init='{parent.id}'"
    plain = plan(PAIRS, "alignment=dpo", start)
    for same in ("method.logits_chunk=8", "method.label_smoothing=0.0"):
        assert plan(PAIRS, "alignment=dpo", start, same).id == plain.id
    for other in ("method.beta=0.2", "method.label_smoothing=0.1"):
        assert plan(PAIRS, "alignment=dpo", start, other).id != plain.id
    assert plain.tokens == 10 * 2 * plain.config.data.batch_size * plain.config.data.sequence_length


@pytest.mark.parametrize("alignment", ["dpo", "reward_model"])
def test_a_corpus_of_another_form_is_refused(plan: Any, parent: RunDir, alignment: str):
    with pytest.raises(
        ConfigError, match=f"^alignment={alignment} reads preferences, and corpus=synthetic holds documents.$"
    ):
        plan(TEXT, f"alignment={alignment}", f"parents.init='{parent.id}'")


def test_a_reference_is_needed(plan: Any):
    with pytest.raises(ConfigError, match=r"^alignment=dpo leans on a reference and has none: give parents\.reference"):
        plan(PAIRS, "alignment=dpo")


def test_whoever_leans_on_none_is_given_none(plan: Any, parent: RunDir):
    for words in ([TEXT], [PAIRS, "alignment=reward_model", "architecture/head=reward"]):
        with pytest.raises(ConfigError, match=r"leans on no reference\. Leave it out"):
            plan(*words, f"parents.reference='{parent.id}'")


@pytest.mark.parametrize(("role", "said"), [("init", "parents.init"), ("reference", "parents.reference")])
def test_a_reference_has_the_runs_own_tokens(plan: Any, role: str, said: str):
    """Another number of them, and as many that stand for other texts."""
    other = carried_out(plan(TEXT, "tokenizer=bpe", "tokenizer.size=300"))
    with pytest.raises(
        ConfigError,
        match=f"{said}={other.id}: dpo leans on it as its reference. It has 300 tokens, and this run 257: both must",
    ):
        plan(PAIRS, "alignment=dpo", f"parents.{role}='{other.id}'")
    with pytest.raises(ConfigError, match="It has other tokens than this run: both must have one tokenizer"):
        retrained = ["tokenizer=bpe", "tokenizer.size=300", "data.retrain_tokenizer=true"]
        plan(PAIRS, "alignment=dpo", *retrained, f"parents.{role}='{other.id}'")


def test_a_tokenizer_that_is_taken_over_is_the_references_too(plan: Any):
    run = carried_out(plan(TEXT, "tokenizer=bpe", "tokenizer.size=300"))
    tuned_plan = plan(TEXT, "corpus.seed=1", "tokenizer=bpe", "tokenizer.size=300", f"parents.init='{run.id}'")
    assert tuned_plan.inherited is not None
    words = [PAIRS, "alignment=dpo", "tokenizer=bpe", "tokenizer.size=300"]
    for roles in (
        [f"parents.init='{tuned_plan.id}'"],
        [f"parents.init='{run.id}'", f"parents.reference='{tuned_plan.id}'"],
    ):
        assert plan(*words, *roles, tuned=tuned_plan).inherited == run.path / "tokenizer"
    tuned = carried_out(tuned_plan)
    assert plan(*words, f"parents.init='{run.id}'", f"parents.reference='{tuned.id}'").parents["reference"].step == 10


# ------------------------------------------------------------------------------------------- heads


def test_a_method_says_which_head_it_needs(plan: Any, parent: RunDir):
    start = f"parents.init='{parent.id}'"
    with pytest.raises(
        ConfigError,
        match=r"^alignment=reward_model needs the head reward, and architecture=transformer has language_model: say architecture/head=reward\.$",
    ):
        plan(PAIRS, "alignment=reward_model", start)
    with pytest.raises(
        ConfigError, match=r"^alignment=dpo needs the head language_model.*say architecture/head=language_model\.$"
    ):
        plan(PAIRS, "alignment=dpo", "architecture/head=reward", start)


REWARD = [PAIRS, "alignment=reward_model", "architecture/head=reward"]


def test_a_reward_model_starts_from_the_body_of_a_language_model_and_from_nothing_else(plan: Any, parent: RunDir):
    start = f"parents.init='{parent.id}'"
    found = plan(*REWARD, start)
    assert found.parents["init"].step == 10
    assert found.account.total == plan(TEXT).account.total + 32
    with pytest.raises(ConfigError, match="the architectures differ: body.*here and absent there"):
        plan(*REWARD, start, "architecture.layers=3")
    back = carried_out(found)
    for tied in ("true", "false"):
        assert plan(TEXT, f"parents.init='{back.id}'", f"architecture.head.tied={tied}").parents["init"].step == 10


def test_a_reward_model_is_no_reference_of_a_policy(plan: Any, parent: RunDir):
    reward = carried_out(plan(*REWARD, f"parents.init='{parent.id}'"))
    with pytest.raises(
        ConfigError, match=r"dpo leans on it as its reference and needs its head language_model, but it has reward"
    ):
        plan(PAIRS, "alignment=dpo", f"parents.init='{reward.id}'")
    assert plan(PAIRS, "alignment=dpo", f"parents.init='{reward.id}'", f"parents.reference='{parent.id}'").parents


def test_what_gives_no_likelihoods_is_neither_scored_nor_sampled(plan: Any):
    with pytest.raises(
        ConfigError, match=r"^alignment=reward_model makes a model that gives no likelihoods: say suite=null\.$"
    ):
        resolve(run_config([*(word for word in SMALL if word != "suite=null"), *REWARD]))
    with pytest.raises(
        ConfigError, match=r"^alignment=reward_model makes a model that writes no text: say watch\.sample_every=null\.$"
    ):
        plan(*REWARD, "watch.sample_every=5")


def test_a_continued_run_keeps_its_head(plan: Any, parent: RunDir):
    with pytest.raises(ConfigError, match="architecture.head.name is reward here and language_model there"):
        plan(*REWARD, "budget.steps=20", f"parents.continue='{parent.id}'")


def test_a_folder_of_transformers_is_a_reference_of_any_architecture(plan: Any, tmp_path: Path, parent: RunDir):
    from transformers import LlamaConfig, LlamaForCausalLM

    for name, tokens in (("fits", 257), ("other", 300)):
        LlamaForCausalLM(
            LlamaConfig(
                vocab_size=tokens, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
            )
        ).save_pretrained(tmp_path / name)
    words = [PAIRS, "alignment=dpo", f"parents.init='{parent.id}'"]
    assert plan(*words, f"parents.reference='{tmp_path}/fits'").parents["reference"].step is None
    with pytest.raises(ConfigError, match="300 tokens and no tokenizer.json"):
        plan(*words, f"parents.reference='{tmp_path}/other'")


def test_memory_is_that_of_all_rows_that_the_model_sees(plan: Any, parent: RunDir):
    """Two for each pair: as much as a language model takes for twice the batch."""
    pairs = plan(PAIRS, "alignment=dpo", f"parents.init='{parent.id}'", "data.batch_size=4")
    assert cost(pairs, 1e9)["memory_bytes"] == cost(plan(TEXT, "data.batch_size=8"), 1e9)["memory_bytes"]
