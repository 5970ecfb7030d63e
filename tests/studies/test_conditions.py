"""What a sweep varies, run by run: conditions, rungs, what is tuned over, seeds."""

import pytest

from harness.errors import UserError
from harness.studies.conditions import conditions_of, varied_of
from harness.studies.expansion import expand
from harness.studies.overrides import with_overrides
from harness.studies.stages import rows_of
from harness.studies.sweep_file import load_sweep

BASE = """
base: [scale=ladder, corpus=toy, tokenizer=bytes, budget.tokens=4096, suite=null]
"""
VARIANTS = """
variants:
  plain: []
  again: ["seed=100,101"]
  alibi: [architecture/position=alibi]
  normed: [architecture/attention/query_key_norm=rmsnorm]
best_of: {scale.lr_times_width: [0.2, 0.4]}
axes: {scale.width: [16, 32], seed: [0, 1]}
"""


@pytest.fixture
def sweep(tmp_path, with_toys):
    """Makes a sweep from the text of its file, on a toy corpus."""

    def make(text):
        (tmp_path / "mine.yaml").write_text(BASE + text)
        return load_sweep(str(tmp_path / "mine.yaml"))

    return make


def test_a_variant_is_tried_with_every_value_on_every_rung_from_every_seed(sweep):
    found = expand(sweep(VARIANTS))
    assert len(found) == 4 * 2 * 2 * 2
    assert [c.architecture.position.name for c in found].count("alibi") == 8
    assert {c.architecture.attention.query_key_norm.name for c in found[24:]} == {"rmsnorm"}
    assert {c.optimizer.lr for c in found} == {0.2 / 16, 0.4 / 16, 0.2 / 32, 0.4 / 32}


def test_the_same_from_other_seeds_differs_in_nothing_else(sweep):
    found = expand(sweep(VARIANTS))
    assert {c.seed for c in found[8:16]} == {100, 101}
    assert {repr(c.architecture) for c in found[8:16]} == {repr(c.architecture) for c in found[:8]}


def test_a_variant_may_be_tuned_over_values_of_its_own(sweep):
    one = sweep("variants: {plain: [], slow: ['optimizer.lr=0.01,0.02,0.03']}\nbest_of: {optimizer.lr: [0.1, 0.2]}")
    found = conditions_of(one, rows_of(one)).values()
    assert [(row["condition"], row["tuned"]["lr"]) for row in found] == [
        ("plain", 0.1), ("plain", 0.2), ("slow", 0.01), ("slow", 0.02), ("slow", 0.03),
    ]  # fmt: skip


def test_conditions_rungs_and_what_is_tuned_are_told_apart(sweep):
    one = sweep(VARIANTS)
    found = list(conditions_of(one, rows_of(one)).values())
    assert list(dict.fromkeys(row["condition"] for row in found)) == ["plain", "again", "alibi", "normed"]
    assert list(dict.fromkeys(row["rung"] for row in found)) == ["width=16", "width=32"]
    assert {tuple(row["tuned"].items()) for row in found} == {(("lr_times_width", 0.2),), (("lr_times_width", 0.4),)}
    assert {row["seeds"][0] for row in found} == {0, 1, 100, 101}


def test_what_axes_vary_is_a_condition_but_for_seeds_and_rungs(sweep):
    one = sweep("axes: {architecture/position: [rotary, alibi], scale.width: [16, 32], seed: [1, 2]}")
    rows = rows_of(one)
    found = list(conditions_of(one, rows).values())
    assert {(row["condition"], row["rung"]) for row in found} == {
        (f"position={name}", f"width={width}") for name in ("rotary", "alibi") for width in (16, 32)
    }
    assert "position=alibi width=32 seed=2" in varied_of(one, rows).values()


def test_what_is_varied_is_told_by_the_variants_name(sweep):
    one = sweep(VARIANTS)
    told = list(varied_of(one, rows_of(one)).values())
    assert told[0] == "plain width=16 seed=0 lr_times_width=0.2"
    assert "again width=32 seed=101 lr_times_width=0.4" in told
    assert len(set(told)) == len(told)


def test_two_variants_that_are_one_run_are_refused_with_what_would_be_right(sweep):
    one = sweep("variants: {plain: [], again: [architecture/position=rotary]}")
    with pytest.raises(UserError, match=r"plain and again of mine are one run, \w+.*seed=100,101"):
        conditions_of(one, rows_of(one))


def test_overrides_choose_variants_and_change_what_is_tuned_over(sweep):
    after = with_overrides(sweep(VARIANTS), ["variants=plain,alibi", "scale.lr_times_width=0.3", "seed=5"])
    assert list(after.variants) == ["plain", "alibi"]
    assert [(c.optimizer.lr, c.seed) for c in expand(after)] == [(0.3 / 16, 5), (0.3 / 32, 5)] * 2
    with pytest.raises(UserError, match="alibo is no variant of mine. Did you mean alibi"):
        with_overrides(sweep(VARIANTS), ["variants=alibo"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("variants: [plain]", "variants must map the name of each to a list of overrides"),
        ("variants: {plain: 3}", "variants: plain must be a list"),
        ("variants: {plain: ['seed=1,2']}", "variants.plain gives seed 2 values, and a variant is one condition"),
        ("best_of: {seed: 1}", "best_of must map each key to a list"),
        ("best_of: {seed: [1]}\naxes: {seed: [1]}", "seed stands under best_of and under axes or zip"),
        ("variants: {plain: []}\nstages: {first: {}}", "variants and stages do not go together"),
    ],
)
def test_what_cannot_be_varied_is_refused_in_a_sentence(sweep, text, said):
    with pytest.raises(UserError, match=said):
        sweep(text)
