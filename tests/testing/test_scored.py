"""Likelihoods that ask in another form than their objective trains are found, though each is right by itself."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from harness.config import plugin_config
from harness.interfaces.likelihood import Row
from harness.testing.objective import Letters
from harness.testing.pairing import Pairing, scores_otherwise
from harness.testing.parts import in_transformer
from harness.testing.scored import is_scored_untrained
from harness_plugins.likelihood.causal import CausalLikelihood
from harness_plugins.likelihood.denoising import DenoisingLikelihood
from harness_plugins.likelihood.infilling import Infilling
from harness_plugins.likelihood.masked.masked import PseudoLikelihood
from harness_plugins.likelihood.prefix import PrefixLikelihood

Change = Callable[[Row], Row]


def without(row: Row, at: int) -> Row:
    inputs = [*row.inputs[:at], *row.inputs[at + 1 :]]
    return replace(row, inputs=inputs, places=[place - 1 for place in row.places])


def without_end(row: Row) -> Row:
    return without(row, list(row.inputs).index(Letters.end))


def without_the_first(row: Row) -> Row:
    return without(row, 0)


def reads_no_mask(row: Row) -> Row:
    assert row.source is not None
    return replace(row, source=row.source[:-1])


def starts_with_a_space(row: Row) -> Row:
    return replace(row, inputs=[0, *row.inputs[1:]])


def masks_with_a_letter(row: Row) -> Row:
    return replace(row, inputs=[1 if token == Letters.size else token for token in row.inputs])


def sees_no_prefix(row: Row) -> Row:
    return replace(row, prefix=0)


@pytest.mark.parametrize(
    ("objective", "architecture", "likelihood", "change"),
    [
        ("clm", "transformer", CausalLikelihood, without_the_first),
        ("prefix", "transformer", PrefixLikelihood, sees_no_prefix),
        ("prefix", "encoder_decoder", PrefixLikelihood, starts_with_a_space),
        ("span", "transformer", Infilling, without_end),
        ("span", "encoder_decoder", Infilling, reads_no_mask),
        ("ul2", "transformer", Infilling, without_the_first),
        ("bart", "encoder_decoder", DenoisingLikelihood, reads_no_mask),
        ("mlm", "transformer", PseudoLikelihood, masks_with_a_letter),
    ],
)
def test_a_form_that_is_not_trained_is_found(
    objective: str, architecture: str, likelihood: Any, change: Change, monkeypatch: pytest.MonkeyPatch
):
    config = plugin_config("objective", objective, "objective")
    pairing = Pairing(config, in_transformer(name=architecture, position="none"), across=True)
    own = likelihood.rows
    monkeypatch.setattr(likelihood, "rows", lambda self, *question: [change(row) for row in own(self, *question)])
    assert scores_otherwise(pairing) is None, "the loss of such rows is what they are scored as"
    assert "In none of 256 batches" in (is_scored_untrained(pairing) or "")
