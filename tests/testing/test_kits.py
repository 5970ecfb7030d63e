"""The kit finds what is broken, and says what it is: one plugin for each fault, and the words that must be said."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import broken_methods as methods
import broken_parts as parts
import broken_scoring as scoring
import broken_training as training
import pytest

from harness import testing
from harness.hookspecs import KINDS
from harness.registry import registry
from harness.testing import (
    AdapterKit,
    AlignmentKit,
    AnalysisKit,
    ArchitectureKit,
    AttentionKit,
    CorpusKit,
    HeadKit,
    LikelihoodKit,
    NormKit,
    ObjectiveKit,
    OptimizerKit,
    PositionKit,
    QuantizerKit,
    RewardKit,
    SamplerKit,
    ScheduleKit,
    SuiteKit,
    TokenizerKit,
    TrackerKit,
)
from harness_plugins.objective.clm.clm import CausalLanguageModelling
from harness_plugins.tokenizer.bytes import Bytes
from tests.plugins.alignment.test_kit_alignment import TestDpo as DpoKit

LEAKS, DECODES = "test_places_see_what_they_may_and_nothing_else", "test_decoding_gives_what_the_whole_row_does"
TRAINED = "test_it_trains_what_it_is_scored_by"
PREFERS = "test_better_answers_are_made_likelier_and_worse_ones_less_likely"
SEEDS = "test_the_seed_decides_and_nothing_else"


def attention(module: type, test: str, *words: str, **options: Any) -> Any:
    return broken(AttentionKit, parts.attention(module, **options), test, *words, name=module.__name__)


def broken(kit: type, config: Any, test: str, *words: str, name: str | None = None) -> Any:
    return pytest.param(kit, config, test, words, id=name or type(config).__name__)


def named(config: type, **options: Any) -> Any:
    return config(name=config.__name__, **options)


def objective(method: type, test: str, *words: str) -> Any:
    is_causal = issubclass(method, CausalLanguageModelling)
    config = methods.causal(method) if is_causal else methods.masked(method)
    return broken(ObjectiveKit, config, test, *words)


class MaskedKit(LikelihoodKit):
    tokens = ("[MASK]",)


def likelihood(of: type, test: str, *words: str) -> Any:
    return broken(LikelihoodKit, scoring.causal(of), test, *words)


def alignment(of: type, test: str, *words: str) -> Any:
    return broken(DpoKit, scoring.dpo(of), test, *words)


def tokenizer(of: type, test: str, *words: str) -> Any:
    config = type(of.__name__, (Bytes,), {"train": lambda self, texts: of()})(name=of.__name__)
    return broken(TokenizerKit, config, test, *words)


BROKEN = [
    attention(parts.SeesOneTokenAhead, LEAKS, "leak under Causal", "place 5", "token of place 6"),
    attention(parts.MaskOffByOne, LEAKS, "leak under Causal", "must not see"),
    attention(parts.BlindToItsNeighbour, LEAKS, "Blindness under", "may see"),
    attention(parts.SeesOtherDocuments, LEAKS, "leak under Causal & SameDocument"),
    attention(parts.SeesPadding, LEAKS, "leak under Causal & NotBefore"),
    attention(parts.TakesPrefixForCausal, LEAKS, "Blindness under Prefix"),
    attention(parts.WindowTooWide, LEAKS, "leak under Causal:", window=3),
    attention(parts.WindowTooNarrow, LEAKS, "Blindness under", "2 layers", window=3),
    attention(parts.CacheThatForgets, DECODES, "Decoding under Causal", "from place 4 on"),
    attention(parts.CacheOffByOne, DECODES, "Decoding under Causal", "from place 1 on"),
    attention(parts.Mean, DECODES, "cannot decode", "no attribute 'start'"),
    attention(parts.Mean, "test_the_module_has_what_a_transformer_calls", "Mean", "has no start(batch, length)"),
    attention(parts.StuckGradient, "test_every_parameter_gets_a_gradient", "attention.values.weight gets no gradient"),
    attention(parts.UnusedParameter, "test_every_parameter_gets_a_gradient", "attention.spare.weight gets no gradient"),
    attention(parts.DependsOnOtherRows, "test_rows_do_not_depend_on_each_other", "depends on the rows beside it"),
    attention(parts.BufferOnCpu, "test_on_the_meta_device_nothing_is_allocated", "attention.mask is on cpu"),
    attention(parts.DrawsFromNumpy, SEEDS, "Built twice with one seed", "attention.shift differs"),
    attention(parts.DropsInEvaluation, SEEDS, "Asked twice in eval mode"),
    attention(parts.KeepsATensorUnsaved, "test_what_is_saved_is_all_there_is", "a tensor is not saved"),
    attention(parts.HasNoRole, "test_every_parameter_has_a_role", "attention.temperature has no role"),
    attention(parts.CountsItsCalls, "test_saving_memory_changes_no_gradient", "activation_checkpointing=blocks"),
    broken(AttentionKit, named(parts.DividesWrongly), "test_heads_divide_or_are_refused", "heads=3", "width=16"),
    broken(AttentionKit, named(parts.MiscountsFlops), "test_flops_are_as_declared", "declares", "FLOPs", "counts"),
    broken(AttentionKit, named(parts.MiscountsParameters), "test_parameters_are_as_declared", "parameters", "has"),
    broken(PositionKit, named(parts.IgnoresPositions), "test_padding_and_packing_change_nothing", "Padding counts"),
    broken(HeadKit, parts.Upcasts(name="language_model"), "test_shapes_and_dtypes", "logits_BTV is torch.float32", "bfloat16"),
    broken(NormKit, named(parts.ShrinksAllToNothing), "test_it_learns_by_heart", "does not learn", "nats"),
    broken(
        ArchitectureKit, parts.damaged(parts.reads_nothing, parts.encoder_decoder()), LEAKS,
        "does not move when token", "of what the encoder reads", name="reads_nothing",
    ),
    broken(
        ArchitectureKit, parts.damaged(parts.reads_other_documents, parts.encoder_decoder()), LEAKS,
        "leak through Cross", "padding or belongs to another document", name="reads_other_documents",
    ),
    broken(
        ArchitectureKit, parts.damaged(parts.scales_tokens_alone), "test_embeddings_do_what_their_tokens_do",
        "embeddings_BTC gives other results", name="scales_tokens_alone",
    ),
    broken(
        ArchitectureKit, parts.damaged(parts.widens), "test_shapes_and_dtypes", "(1, 1, 32) and not (1, 1, 16)",
        name="widens",
    ),
    broken(ArchitectureKit, parts.damaged(parts.always_alike), SEEDS, "another seed", name="always_alike"),
    objective(methods.CountsIgnoreWeights, "test_the_loss_is_what_a_slow_reference_says", "mlm", "a sum over a count"),
    objective(methods.DrawsGlobally, "test_chance_comes_from_the_places_alone", "inputs_BT differs", "no other"),
    objective(methods.DrawsByRow, "test_a_row_does_not_depend_on_others", "another order", "place alone"),
    objective(methods.DrawsForTheBatch, "test_a_row_does_not_depend_on_others", "place"),
    objective(methods.HidesTheEnd, "test_what_is_no_text_stays", "special token"),
    objective(methods.ChoosesHalfAsMany, "test_rates_are_as_told", "The rate is 0.1", "not 0.3"),
    objective(methods.GivesAMean, "test_micro_batches_add_up", "sum of clm adds up to"),
    objective(methods.LosesTheLastPlace, "test_the_loss_is_what_a_slow_reference_says", "loss clm is"),
    objective(methods.SeesAhead, "test_it_asks_for_what_it_says", "asks the body for Full"),
    objective(scoring.LosesTwice, "test_the_scorer_agrees_with_the_loss", "log-likelihood", "loss of the same rows"),
    objective(scoring.ForetellsTheTokenAfterNext, TRAINED, "In none of 256 batches", "likelihood causal"),
    broken(ObjectiveKit, named(scoring.OpensBehindThePrefix), TRAINED, "In none of 256 batches", "likelihood prefix"),
    likelihood(scoring.ShowsTheAnswer, "test_what_is_asked_is_not_shown", "token 0, 2, is shown where it is asked for"),
    likelihood(scoring.NeverCuts, "test_rows_stay_within_what_is_seen", "to a model that sees 14"),
    likelihood(scoring.AsksBehindTheRow, "test_rows_stay_within_what_is_seen", "1 tokens behind a context of 1", "asks at places [1]"),
    likelihood(scoring.CutsTheEnd, "test_a_long_context_loses_its_beginning", "the first ones are not left out"),
    likelihood(scoring.LeavesOutTheLast, "test_each_token_is_asked_for_once", "it asks for [2] and not for [2, 3]"),
    likelihood(scoring.CountsTwice, "test_each_token_is_asked_for_once", "counts 2 times"),
    likelihood(scoring.WritesElsewhere, "test_it_writes_from_where_it_asks", "asked for behind", "written behind"),
    likelihood(scoring.ShowsTheAnswer, "test_probabilities_add_up_to_one", "add up to", "proper = False"),
    broken(MaskedKit, named(scoring.CallsItselfProper), "test_probabilities_add_up_to_one", "continuations of 2 tokens add up to"),
    broken(MaskedKit, named(scoring.CountsSamplesOnce), "test_some_tokens_stand_for_all", "rolling counts"),
    alignment(scoring.PrefersTheWorse, PREFERS, "The better answer in row 0", "less likely"),
    alignment(scoring.LiftsTheBetterAlone, PREFERS, "The worse answer in row 8", "stays"),
    alignment(scoring.LearnsPrompts, "test_answers_alone_are_learned", "Place 0 of row 0 is learned", "the prompt"),
    alignment(scoring.AddsThePadding, "test_answers_alone_are_learned", "is learned", "behind the answer"),
    alignment(scoring.ForgetsTheReference, "test_the_loss_is_what_a_slow_reference_says", "The loss dpo is"),
    alignment(scoring.MeansOverPairs, "test_micro_batches_add_up", "sum of dpo adds up to"),
    alignment(scoring.LooksUpByRow, "test_a_row_does_not_depend_on_others", "reference_BA"),
    broken(AlignmentKit, named(scoring.TellsOneRow), "test_rows_are_as_told", "rows() of TellsOneRow is 1", "sees 16 rows"),
    broken(AlignmentKit, scoring.grpo(), "test_what_is_generated_comes_from_its_generators_alone", "Collected twice"),
    broken(AnalysisKit, named(scoring.NeedsAPoint), "test_next_to_nothing_is_not_enough", "Of no point", "IndexError"),
    broken(AnalysisKit, named(scoring.FindsInOnePoint), "test_next_to_nothing_is_not_enough", "Of no point the verdict is 'ok'"),
    broken(AnalysisKit, named(scoring.BootstrapsGlobally), "test_the_same_points_give_the_same_finding", "values differ"),
    broken(AnalysisKit, named(scoring.SortsInPlace), "test_points_stay_as_they_are", "are changed"),
    broken(AnalysisKit, named(scoring.GivesNumpy), "test_what_is_enough_is_found_and_can_be_read", "not ready for JSON"),
    broken(AnalysisKit, named(scoring.SaysNothing), "test_what_is_enough_is_found_and_can_be_read", "no sentence"),
    broken(AnalysisKit, named(scoring.DrawsNoFigure), "test_drawings_are_figures", "'Losses' is a str"),
    alignment(scoring.ForgetsAnswersByChance, "test_chance_comes_from_the_places_alone", "weights_BT differs", "no other"),
    alignment(scoring.SeesTheWholeAnswer, "test_it_asks_for_what_it_says", "asks the body for Full"),
    objective(methods.WritesIntoItsRows, "test_chance_comes_from_the_places_alone", "that prepare is given are changed"),
    objective(methods.ShowsOtherTexts, "test_rows_are_recovered", "Row 0 is not recovered"),
    tokenizer(methods.Shuffles, "test_the_documents_decide_and_nothing_else", "Trained twice", "other tokens"),
    broken(CorpusKit, named(methods.AnotherOrderWhenBuilt), "test_a_second_one_holds_the_same", "in another order"),
    broken(AdapterKit, named(training.LosesAGradient), "test_all_of_it_is_trained", "lora_A", "gets no gradient"),
    broken(QuantizerKit, named(training.DoublesInTheEnd), "test_it_trains_as_it_computes", "than it was trained as"),
    tokenizer(methods.Strips, "test_text_comes_back", "comes back as"),
    tokenizer(methods.LosesHighBytes, "test_text_comes_back", "comes back as"),
    tokenizer(methods.EndsEveryText, "test_text_comes_back", "end token, 256, stands in"),
    tokenizer(methods.EncodesAllLower, "test_many_texts_are_encoded_as_each", "encode_all gives other tokens"),
    broken(TokenizerKit, named(methods.LoadsAnother), "test_saved_and_loaded_it_is_the_same", "Loaded, it gives other"),
    broken(CorpusKit, named(methods.AnotherOrderTheSecondTime), "test_documents_are_always_the_same", "second time"),
    broken(CorpusKit, named(methods.CountsFromTheStart), "test_documents_are_always_the_same", "when they are read alone"),
    broken(
        CorpusKit, named(methods.HasNoNames), "test_documents_have_names_and_the_form_that_is_told", "0 has no name"
    ),
    broken(CorpusKit, named(methods.HashesByChance), "test_the_content_has_a_hash", "fingerprint is another one"),
    broken(SamplerKit, named(methods.SamplesGlobally), "test_it_draws_possible_tokens_by_its_generator", "one generator"),
    broken(SamplerKit, named(methods.SamplesAny), "test_it_draws_possible_tokens_by_its_generator", "impossible"),
    broken(RewardKit, named(methods.DividesByLength), "test_it_says_the_same_finite_number_of_the_same", "finite number"),
    broken(RewardKit, named(methods.RunsWhatItIsGiven), "test_it_says_the_same_finite_number_of_the_same", "has run"),
    broken(SuiteKit, named(methods.AsksByChance), "test_it_asks_the_same_each_time", "numbers asks something else"),
    broken(SuiteKit, named(methods.FingerprintByChance), "test_what_determines_it_is_told", "another one"),
    broken(OptimizerKit, named(training.ForgetsState, lr=0.05), "test_resumed_it_ends_where_one_does_that_was_left_alone", "ends elsewhere"),
    broken(OptimizerKit, named(training.DecaysBiases, lr=0.05), "test_only_roles_that_are_named_decay", "role gain do"),
    broken(OptimizerKit, named(training.Climbs, lr=0.05), "test_it_leads_down", "not down"),
    broken(OptimizerKit, named(training.LeavesGainsOut), "test_it_leads_down", "of.gain", "does not move"),
    broken(OptimizerKit, named(training.ForgetsShares), "test_groups_keep_their_peak_rate", "peak_lr", "lr × rate"),
    broken(ScheduleKit, named(training.AboveThePeak), "test_factors_are_shares_of_the_peak", "factor is 2", "0 to 1"),
    broken(ScheduleKit, named(training.NeverAtThePeak), "test_factors_are_shares_of_the_peak", "never reached"),
    broken(ScheduleKit, named(training.DividesByZero), "test_factors_are_shares_of_the_peak", "factor is nan"),
    broken(AdapterKit, named(training.ActsAtFirst), "test_at_first_it_changes_nothing", "before it is trained"),
    broken(AdapterKit, named(training.NamesHalf), "test_what_it_trains_is_named_and_counted", "parameters"),
    broken(AdapterKit, named(training.MergesNothing), "test_merged_it_is_the_same", "Merged, the model computes"),
    broken(QuantizerKit, named(training.ClaimsWhatItLeaves), "test_it_covers_what_it_says", "tokens.weight is quantized", "as it was"),
    broken(QuantizerKit, named(training.RoundsWhatItLeaves), "test_it_covers_what_it_says", "tokens.weight is left", "changed"),
    broken(QuantizerKit, named(training.LosesScales), "test_saved_and_loaded_it_computes_the_same", "computes something else"),
    broken(QuantizerKit, named(training.RoundsTooMuch), "test_converted_it_computes_nearly_the_same", "on average"),
    broken(TrackerKit, named(training.FailsOnText), "test_it_takes_every_row_and_leaves_the_run_as_it_is", "fails on the row"),
    broken(TrackerKit, named(training.WritesIntoMetrics), "test_it_takes_every_row_and_leaves_the_run_as_it_is", "own file metrics.jsonl"),
]  # fmt: skip


#: What an objective's author tells the kit.
TOLD = {
    "share": lambda self: 0.3,
    "recovered": lambda self, batch, row: [*batch.inputs_BT[row].tolist(), int(batch.targets_BT[row, -1])],
}


@pytest.mark.parametrize(("kit", "config", "test", "words"), BROKEN)
def test_what_is_broken_is_found_and_named(kit: type, config: Any, test: str, words: tuple[str, ...]) -> None:
    of_it = type("TestBroken", (kit,), {"config": config, **(TOLD if kit is ObjectiveKit else {})})()
    with pytest.raises(AssertionError) as failed:
        getattr(of_it, test)()
    said = str(failed.value)
    assert "\n" not in said.strip() or "state_dict" in said, "one sentence"
    for word in words:
        assert word in said, said


@pytest.mark.slow
def test_a_block_that_computes_otherwise_when_it_is_compiled_is_found() -> None:
    of_it = type("TestBroken", (AttentionKit,), {"config": parts.attention(parts.DoublesWhenCompiled)})()
    with pytest.raises(AssertionError, match="Compiled, it computes something else"):
        of_it.test_compiled_it_computes_the_same()


@pytest.mark.slow
def test_a_rank_that_takes_its_heads_for_all_is_found() -> None:
    of_it = type("TestBroken", (AttentionKit,), {"config": parts.attention(parts.DividesByItsHeads)})()
    with pytest.raises(AssertionError, match="Under tensor parallelism over two processes the gradient of"):
        of_it.test_spread_over_processes_it_is_the_same()


#: What only slow tests see fail, or what stands for a check that a kind does without.
ELSEWHERE = {
    "test_compiled_it_computes_the_same",
    "test_spread_over_processes_it_is_the_same",
    "HeadKit.test_it_learns_by_heart",
}


def test_every_check_of_every_kit_has_failed_for_something() -> None:
    """A check that has never failed may be one that cannot."""
    found = {(base, test) for kit, _, test, _ in (case.values for case in BROKEN) for base in kit.__mro__}
    for kit in (getattr(testing, name) for name in testing.__all__):
        for test in vars(kit):
            if test.startswith("test_") and not {test, f"{kit.__name__}.{test}"} & ELSEWHERE:
                assert (kit, test) in found, f"nothing broken is held to {kit.__name__}.{test}"


KITS = {kit.removesuffix("Kit").lower(): kit for kit in testing.__all__}


def test_every_kind_has_a_kit() -> None:
    assert set(KITS) == set(KINDS)


def test_every_first_party_plugin_has_a_kit_test() -> None:
    texts = [file.read_text() for file in sorted((Path(__file__).parents[1] / "plugins").rglob("test_*.py"))]
    lacking = set()
    for (kind, name), owners in registry().entries.items():
        if not owners[0].config.__module__.startswith("harness_plugins."):
            continue
        if not any(f"({KITS[kind]})" in text and f'"{name}"' in text for text in texts):
            lacking.add(f"{kind}={name}")
    assert lacking == set()


def test_the_kit_needs_no_pytest() -> None:
    program = (
        "import sys; sys.modules['pytest'] = None\n"
        "from harness.testing import ArchitectureKit\n"
        "from harness.testing.architecture import leaks\n"
        "from harness.testing.parts import in_transformer\n"
        "assert leaks(in_transformer()) is None\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
