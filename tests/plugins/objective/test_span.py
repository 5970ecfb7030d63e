"""Span corruption: what is cut out, that nothing of the row is lost, and the loss of it."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.config import ConfigError, plugin_config
from harness.interfaces.architecture import DECODER, ENCODER_DECODER
from harness.interfaces.batch import Sequences
from harness.interfaces.method import Setting
from harness.registry import registry

END, FIRST = 256, 257  # of bytes, with sentinels behind them


def config(**values: Any) -> Any:
    return plugin_config("method", {"name": "span", **values}, "method")


def method(topology: str = DECODER, across: bool = True, **values: Any) -> Any:
    made = config(**values)
    extra = {name: FIRST + number for number, name in enumerate(made.extra_tokens())}
    tokenizer = registry().get("tokenizer", "bytes")().train([])
    return made.build(Setting(tokenizer=tokenizer, extra=extra, topology=topology, attend_across_documents=across))


def rows(tokens: Any) -> Sequences:
    tokens_BS = np.asarray(tokens, dtype=np.int64)
    documents_BS = np.cumsum(tokens_BS == END, axis=1)
    return Sequences(tokens_BS, documents_BS, np.arange(len(tokens_BS)))


def prepared(of: Any, sequences: Sequences) -> Any:
    return of.prepare(sequences, lambda place: np.random.default_rng([7, place]))


def read_back(read: list[int], written: list[int]) -> list[int]:
    """Each piece in the place of its sentinel."""
    pieces: dict[int, list[int]] = {}
    for token in written:
        if token >= FIRST:
            pieces[token] = current = []
        else:
            current.append(token)
    return [token for part in read for token in (pieces[part] if part >= FIRST else [part])]


def texts_of(batch: Any, row: int) -> tuple[list[int], list[int]]:
    """What is read and what is written, without padding."""
    written = batch.targets_BT[row][batch.weights_BT[row] > 0].tolist()
    if "source_BS" in batch.extra:
        return batch.extra["source_BS"][row][batch.extra["sources_BS"][row] >= 0].tolist(), written
    first = int(batch.weights_BT[row].argmax())
    assert batch.inputs_BT[row, first] == END, "the end stands between what is read and what is written"
    return batch.inputs_BT[row, :first].tolist(), written


@given(
    tokens=st.lists(st.integers(60, END), min_size=3, max_size=90),
    rate=st.floats(0.01, 0.9), length=st.floats(1, 8), topology=st.sampled_from([DECODER, ENCODER_DECODER]),
    across=st.booleans(), sentinels=st.integers(2, 12),
)  # fmt: skip
def test_what_is_read_and_what_is_written_are_the_row(tokens, rate, length, topology, across, sentinels):
    batch = prepared(method(topology, across, rate=rate, length=length, sentinels=sentinels), rows([tokens]))
    read, written = texts_of(batch, 0)
    assert read_back(read, written) == tokens[:-1]
    marks = [token for token in written if token >= FIRST]
    assert marks == list(range(FIRST, FIRST + len(marks))), "sentinels count from the first on"
    assert [token for token in read if token >= FIRST] == marks[:-1], "and the last one ends what is written"
    assert END not in written


def test_the_share_and_the_number_of_pieces_are_the_same_in_all_rows():
    """Of T5's 512 tokens 77 are cut out in 26 pieces, and every place is cut out equally often."""
    tokens = np.random.default_rng(0).integers(60, 200, (300, 513))
    batch = prepared(method(ENCODER_DECODER), rows(tokens))
    cut_T = np.zeros(512)
    for row in range(300):
        read, written = texts_of(batch, row)
        marks = sum(token >= FIRST for token in written)
        assert (len(written) - marks, marks) == (77, 27)
        place = 0
        for token in read:
            if token >= FIRST:
                at = written.index(token) + 1
                piece = next(i for i in range(at, len(written)) if written[i] >= FIRST) - at
                cut_T[place : place + piece] += 1
                place += piece
            else:
                place += 1
    inner = cut_T[20:-20]  # the first token is never cut out
    assert abs(inner.mean() / 300 - 77 / 511) < 0.01
    assert inner.max() / 300 < 77 / 511 + 5 * (0.15 * 0.85 / 300) ** 0.5


def test_the_places_that_planning_counts_are_those_that_are_made():
    tokens = np.random.default_rng(0).integers(60, 200, (2, 129))
    for topology in (DECODER, ENCODER_DECODER):
        batch = prepared(method(topology), rows(tokens))
        read, written = texts_of(batch, 0)
        places = config().places(128, topology)
        if topology == ENCODER_DECODER:
            assert places == (len(written), len(read))
        else:
            assert places == (len(read) + len(written), 0), "the end between them, and the last that is never shown"


def test_too_few_sentinels_are_refused():
    with pytest.raises(ConfigError, match=r"cuts 410 pieces out of data.sequence_length=8192.*say at least 411"):
        config().places(8192, DECODER)


@pytest.mark.parametrize("topology", [DECODER, ENCODER_DECODER])
@pytest.mark.parametrize("across", [True, False])
def test_the_loss_is_that_of_a_slow_reference(topology: str, across: bool):
    """Token by token, each with nothing beside it but what it may see."""
    torch.manual_seed(0)
    name = "transformer" if topology == DECODER else "encoder_decoder"
    values = {"name": name, "width": 16, "layers": 2, "init_std": 0.4}
    model = plugin_config("architecture", values, "architecture").build(FIRST + 30).double().eval()
    tokens = np.random.default_rng(1).integers(97, 100, (2, 41))
    tokens[:, [0, 13, 25]] = END
    of = method(topology, across, rate=0.4, sentinels=30)
    batch = prepared(of, rows(tokens))
    expected, count = 0.0, 0
    for row in range(2):
        read, written = texts_of(batch, row)
        of_read = documents_of_read(read, across)
        of_sentinel = dict(zip(read, of_read, strict=True))
        of_written, current = [], 0
        for token in written:  # a piece belongs to the document of its sentinel; the last sentinel, to the last piece's
            current = of_sentinel.get(token, current) if token >= FIRST else current
            of_written.append(current)
        shown, of_shown = [END, *written[:-1]], [of_written[0], *of_written[:-1]]
        for at, target in enumerate(written):
            document = of_shown[at]
            own = [token for token, its in zip(shown[: at + 1], of_shown, strict=False) if its == document]
            source = [token for token, its in zip(read, of_read, strict=True) if its == document]
            if topology == DECODER:
                logits_V = model.logits(torch.tensor([[*source, *own]]))[0, -1]
            else:
                logits_V = model.logits(torch.tensor([own]), source_BS=torch.tensor([source]))[0, -1]
            expected -= float(logits_V.log_softmax(-1)[target].detach())
            count += 1
    assert of.counts(batch) == {"span": count}
    assert float(of.losses(model, batch)["span"].detach()) == pytest.approx(expected, rel=1e-9)


def documents_of_read(read: list[int], across: bool) -> list[int]:
    """An end opens a document, and is never cut out."""
    return (np.cumsum(np.array(read) == END) * (not across)).tolist()
