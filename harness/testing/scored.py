"""Whether a model is scored as it was trained: what its likelihood asks of a text stands in a batch that the objective
makes of that text, and the loss of the places that are asked is the score."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from harness.interfaces.batch import PADDING, Batch, Sequences
from harness.interfaces.corpus import DOCUMENTS
from harness.interfaces.likelihood import Row
from harness.interfaces.visibility import Full
from harness.testing.architecture import OTHER_SHAPES
from harness.testing.objective import LENGTH, TEXT, keyed, sequences
from harness.testing.pairing import Pairing, scorer

#: Rows that are tried, and tokens of those that are cut out of documents: of rows as short as these some are by chance
#: what is asked, a text that breaks off at its end.
ROWS, TOKENS = 256, 9
#: How many of them are compared.
COMPARED = 4


@torch.no_grad()
def is_scored_untrained(pairing: Pairing) -> str | None:
    """Whether the objective trains its model on nothing that its likelihood asks, or loses there what is no score. A
    likelihood asks of a context and its continuation; here they are a row of the corpus, cut in two at any place. A
    batch trains on what is asked where its row shows the same, with the same targets in the same places."""
    scorers, compared = scorer(pairing), 0
    rows = _without_repeats(pairing)
    for row in range(ROWS):
        batch, question = _trained_question(pairing, scorers, rows.rows(slice(row, row + 1)))
        if question is None:
            continue
        ((score, _),) = scorers._loglikelihood_tokens([(None, *question)])
        terms = {name: float(term) for name, term in pairing.losses(batch).items()}
        if not any(math.isclose(score, -term, rel_tol=OTHER_SHAPES) for term in terms.values()):
            told = ", ".join(f"{name} {term:.6g}" for name, term in terms.items())
            return (
                f"The log-likelihood of {question[1]} behind {question[0]} is {score:.6g}, and the loss of these "
                f"tokens in a batch of the objective {told} nats."
            )
        compared += 1
        if compared == COMPARED:
            return None
    if compared:
        return None
    return (
        f"In none of {ROWS} batches does the objective train what it is scored by: the likelihood "
        f"{pairing.config.likelihood} shows other inputs, or asks for tokens that are not learned where they stand."
    )


def _without_repeats(pairing: Pairing) -> Sequences:
    """Rows of the form that the objective reads, in which no token stands twice: none is mistaken for another."""
    rows = sequences(pairing.config, ROWS, TOKENS if pairing.config.reads == DOCUMENTS else LENGTH)
    rng, width = np.random.default_rng(0), rows.tokens_BS.shape[1]
    tokens_BS = np.stack([rng.permutation(TEXT)[:width] for _ in range(ROWS)])
    if rows.parts_BS is None:
        return replace(rows, tokens_BS=tokens_BS, documents_BS=np.zeros_like(tokens_BS))
    tokens_BS[rows.parts_BS == PADDING] = 0
    return replace(rows, tokens_BS=tokens_BS)


def _trained_question(
    pairing: Pairing, scorers: Any, row: Sequences
) -> tuple[Batch, tuple[Sequence[int], Sequence[int]] | None]:
    """The objective's batch of one row, and the context and continuation that it trains, if there are such; of its
    weights those that are left are one, at the places that are asked."""
    batch = pairing.method.prepare(row, keyed)
    parts = getattr(pairing.method, "parts", lambda whole: [whole])(batch)
    whole = scorers.kind.sees is Full
    for question in _questions(row):
        asked = scorers.likelihood.rows(*question)
        part = next((part for part in parts if len(asked) == 1 and _shows(part, asked[0], whole)), None)
        if part is not None:
            part.weights_BT.zero_()
            part.weights_BT[0, list(asked[0].places)] = 1.0
            return batch, question
    return batch, None


def _questions(row: Sequences) -> Iterator[tuple[list[int], list[int]]]:
    """The row's text cut in two, with its last token and without, which some objectives only foretell."""
    text = row.tokens_BS[0].tolist()
    if row.parts_BS is not None:
        text = [token for token, part in zip(text, row.parts_BS[0], strict=True) if part != PADDING]
    for end in (len(text), len(text) - 1):
        for cut in range(1, end):
            yield text[:cut], text[cut:end]


def _shows(batch: Batch, row: Row, whole: bool) -> bool:
    """Whether the batch's only row shows and learns what is asked. whole: also nothing behind it. What is read and how
    much is seen both ways stand in a batch as `harness.models.rewriting` has them."""
    inputs, places = batch.inputs_BT[0].tolist(), list(row.places)
    if inputs[: len(row.inputs)] != list(row.inputs) or (whole and len(inputs) != len(row.inputs)):
        return False
    if batch.targets_BT[0, places].tolist() != list(row.targets) or not (batch.weights_BT[0, places] > 0).all():
        return False
    prefix = int(batch.extra["prefix_B"][0]) if "prefix_B" in batch.extra else 0
    source = None
    if "source_BS" in batch.extra:
        source = batch.extra["source_BS"][0][batch.extra["sources_BS"][0] >= 0].tolist()
    return prefix == row.prefix and source == (None if row.source is None else list(row.source))
