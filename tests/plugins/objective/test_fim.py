"""Fill in the middle: documents in another order, each by itself, and the loss of them."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.config import plugin_config
from harness.interfaces.batch import Sequences
from harness.interfaces.method import Setting
from harness.registry import registry
from harness.testing import ObjectiveKit

END, PREFIX, SUFFIX, MIDDLE = 256, 257, 258, 259  # of bytes, and the marks behind them


def method(across: bool = True, **values: Any) -> Any:
    made = plugin_config("method", {"name": "fim", **values}, "method")
    tokenizer = registry().get("tokenizer", "bytes")().train([])
    extra = dict(zip(made.extra_tokens(), (PREFIX, SUFFIX, MIDDLE), strict=True))
    return made.build(Setting(tokenizer=tokenizer, extra=extra, attend_across_documents=across))


def prepared(of: Any, tokens: Any) -> Any:
    tokens_BS = np.asarray(tokens, dtype=np.int64)
    sequences = Sequences(tokens_BS, np.cumsum(tokens_BS == END, axis=1), np.arange(len(tokens_BS)))
    return of.prepare(sequences, lambda place: np.random.default_rng([7, place]))


def whole(batch: Any, row: int) -> list[int]:
    return [*batch.inputs_BT[row].tolist(), int(batch.targets_BT[row, -1])]


def documents(tokens: list[int], end: int = END) -> list[list[int]]:
    """Each with the end that opens it."""
    found: list[list[int]] = [[]]
    for token in tokens:
        if token == end:
            found.append([])
        found[-1].append(token)
    return [document for document in found if document]


def in_order(document: list[int], marks: tuple[int, int, int] = (PREFIX, SUFFIX, MIDDLE)) -> list[int]:
    """Behind the mark of the middle stands what comes between prefix and suffix, in PSM and SPM alike."""
    if marks[0] not in document:
        return document
    opening, behind, middle = (document.index(mark) for mark in marks)
    prefix, suffix = document[opening + 1 : behind], document[behind + 1 : middle]
    return [*document[:opening], *prefix, *document[middle + 1 :], *suffix]


@given(
    tokens=st.lists(st.integers(240, END), min_size=2, max_size=60),
    rate=st.sampled_from([0.0, 0.5, 1.0]), spm=st.sampled_from([0.0, 0.5, 1.0]), across=st.booleans(),
)  # fmt: skip
def test_a_row_is_recovered_but_for_as_many_tokens_as_there_are_marks(tokens, rate, spm, across):
    batch = prepared(method(across, rate=rate, spm=spm), [tokens])
    written = whole(batch, 0)
    assert len(written) == len(tokens)
    found = [token for document in documents(written) for token in in_order(document)]
    assert found == tokens[: len(tokens) - sum(token > END for token in written)]
    assert (batch.weights_BT == 1).all()


def test_each_document_is_cut_by_itself():
    text = list(range(97, 117))
    written = whole(prepared(method(rate=1.0), [[*text, END, *text, END, *text]]), 0)
    first, second, third = map(in_order, documents(written))
    assert (first, second) == (text, [END, *text])
    assert third == [END, *text[:-9]], "the marks of three documents take the places of nine tokens"


def test_orders_and_thirds_are_as_often_as_told():
    batch = prepared(method(rate=0.7, spm=0.25), np.concatenate([rows_of(30, 100, seed=row) for row in range(20)]))
    written = [document for row in range(20) for document in documents(whole(batch, row))]
    cut = [document for document in written if PREFIX in document]
    share = len(cut) / len(written)
    assert abs(share - 0.7) < 5 * (0.7 * 0.3 / len(written)) ** 0.5
    spm = sum(document.index(SUFFIX) == document.index(PREFIX) + 1 for document in cut) / len(cut)
    assert abs(spm - 0.25) < 5 * (0.25 * 0.75 / len(cut)) ** 0.5 + 0.02, "an empty prefix looks alike"
    thirds = [document.index(MIDDLE) - document.index(SUFFIX) - 1 for document in cut]
    assert abs(np.mean(thirds) / 99 - 1 / 3) < 0.05


def rows_of(count: int, length: int, seed: int) -> np.ndarray:
    """A row of so many documents of so many tokens, with the end."""
    tokens = np.random.default_rng(seed).integers(97, 110, (1, count * length))
    tokens[:, ::length] = END
    return tokens


@pytest.mark.parametrize("across", [True, False])
def test_the_loss_is_that_of_a_slow_reference(across: bool):
    torch.manual_seed(0)
    values = {"name": "transformer", "width": 16, "layers": 2, "init_std": 0.4}
    model = plugin_config("architecture", values, "architecture").build(260).double().eval()
    of = method(across, rate=0.8)
    batch, expected = prepared(of, rows_of(3, 9, seed=1)), 0.0
    written = whole(batch, 0)
    for at in range(1, len(written)):
        start = 0 if across else max(place for place in range(at) if written[place] == END)
        logits_V = model.logits(torch.tensor([written[start:at]]))[0, -1]
        expected -= float(logits_V.log_softmax(-1)[written[at]].detach())
    assert of.counts(batch) == {"fim": len(written) - 1}
    assert float(of.losses(model, batch)["fim"].detach()) == pytest.approx(expected, rel=1e-9)


class TestFim(ObjectiveKit):
    config = plugin_config("objective", {"name": "fim", "rate": 0.8}, "objective")

    def recovered(self, batch, row):
        found = documents(whole(batch, row), end=60)
        return [token for document in found for token in in_order(document, marks=(61, 62, 63))]
