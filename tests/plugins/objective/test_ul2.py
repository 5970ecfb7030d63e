"""A mixture of denoisers: which one a row is given to, that nothing of the row is lost, and the loss of it."""

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
from harness.testing import ObjectiveKit
from harness.testing.parts import in_transformer

END, R, S, X, FIRST = 256, 257, 258, 259, 260  # of bytes, with modes and sentinels behind them


def config(**values: Any) -> Any:
    return plugin_config("method", {"name": "ul2", **values}, "method")


def method(topology: str = ENCODER_DECODER, across: bool = True, **values: Any) -> Any:
    made = config(**values)
    extra = {name: R + number for number, name in enumerate(made.extra_tokens())}
    tokenizer = registry().get("tokenizer", "bytes")().train([])
    return made.build(Setting(tokenizer=tokenizer, extra=extra, topology=topology, attend_across_documents=across))


def prepared(of: Any, tokens: Any) -> Any:
    tokens_BS = np.asarray(tokens, dtype=np.int64)
    sequences = Sequences(tokens_BS, np.cumsum(tokens_BS == END, axis=1), np.arange(len(tokens_BS)))
    return of.prepare(sequences, lambda place: np.random.default_rng([7, place]))


def read_back(read: list[int], written: list[int], first: int = FIRST) -> list[int]:
    """Each piece in the place of its sentinel, without modes."""
    pieces: dict[int, list[int]] = {}
    for token in written:
        if token >= first:
            pieces[token] = current = []
        else:
            current.append(token)
    text = [token for token in read if not first - 3 <= token < first]
    return [token for part in text for token in (pieces[part] if part >= first else [part])]


def texts_of(batch: Any, row: int) -> tuple[list[int], list[int]]:
    """What is read and what is written, without padding."""
    written = batch.targets_BT[row][batch.weights_BT[row] > 0].tolist()
    if "source_BS" in batch.extra:
        return batch.extra["source_BS"][row][batch.extra["sources_BS"][row] >= 0].tolist(), written
    return batch.inputs_BT[row, : int(batch.weights_BT[row].argmax())].tolist(), written


@given(
    tokens=st.lists(st.integers(240, END), min_size=3, max_size=90), topology=st.sampled_from([DECODER, ENCODER_DECODER]),
    across=st.booleans(), sentinels=st.integers(20, 40), only=st.sampled_from(["r", "s", "x"]),
)  # fmt: skip
def test_what_is_read_and_what_is_written_are_the_row(tokens, topology, across, sentinels, only):
    weights = {name: float(name == only) for name in "rx"} | {"s": 1.0 if only == "s" else 0.001}
    batch = prepared(method(topology, across, sentinels=sentinels, **weights), [tokens])
    read, written = texts_of(batch, 0)
    assert read_back(read, written) == tokens[:-1]
    modes = [token for token in read if END < token < FIRST]
    documents = len({*np.cumsum(np.array(tokens[:-1]) == END)}) if not across else 1
    assert read[0] == modes[0]
    assert len(modes) == documents, "each document that is read by itself is told its mode"


def test_rows_are_shared_out_by_weight():
    tokens = np.random.default_rng(0).integers(97, 123, (2000, 129))
    batch = prepared(method(), tokens)
    cut: dict[tuple[int, int, int], int] = {}
    for row in range(2000):
        read, written = texts_of(batch, row)
        pieces = sum(token >= FIRST for token in read)
        kind = (read[0], 0, 1) if read[0] == S else (read[0], len(written) - pieces - 1, pieces)
        cut[kind] = cut.get(kind, 0) + 1
    # Shares of 15 % and 50 % of 128 tokens, in pieces of 3, 8 and 64 tokens in the mean.
    assert set(cut) == {(R, 19, 6), (R, 19, 2), (S, 0, 1), (X, 64, 21), (X, 64, 8), (X, 19, 1), (X, 64, 1)}
    for count in cut.values():
        assert abs(count - 2000 / 7) < 5 * (2000 / 7 * 6 / 7) ** 0.5


def test_s_denoising_cuts_off_the_end_of_each_document():
    row = [END, *range(97, 122), END, *range(97, 122), 0]
    batch, cut = prepared(method(across=False, r=0.0, x=0.0), [row] * 300), []
    for number in range(300):
        read, written = texts_of(batch, number)
        middle = read.index(FIRST)
        assert read[:2] == [S, END]
        assert read[middle + 1 : middle + 3] == [S, END]
        assert read[-1] == FIRST + 1
        assert written[-1] == FIRST + 2
        cut += [written.index(FIRST + 1) - 1, len(written) - written.index(FIRST + 1) - 2]
    assert set(cut) == set(range(1, 14)), "up to half of 26 tokens"
    assert abs(np.mean(cut) - 7) < 5 * ((13**2 - 1) / 12 / len(cut)) ** 0.5


def test_the_places_that_planning_counts_are_those_that_are_made_in_the_mean():
    tokens = np.random.default_rng(0).integers(97, 123, (1500, 129))
    for topology in (DECODER, ENCODER_DECODER):
        batch, places = prepared(method(topology), tokens), config().places(128, topology)
        texts = [texts_of(batch, row) for row in range(1500)]
        read, written = (np.mean([len(text[side]) for text in texts]) for side in (0, 1))
        # On a decoder the end stands between both and is read last; the last token is never shown.
        found = (written, read) if topology == ENCODER_DECODER else (read - 1 + written, 0)
        assert found == pytest.approx(places, abs=2.5)


@pytest.mark.parametrize("topology", [DECODER, ENCODER_DECODER])
def test_no_row_is_longer_than_what_a_body_is_asked_to_see(topology: str):
    batch = prepared(method(topology), np.random.default_rng(0).integers(97, 123, (500, 129)))
    sides = [batch.inputs_BT[batch.weights_BT.any(-1)], batch.extra.get("source_BS", batch.inputs_BT)]
    made = max(side.shape[1] for side in sides)
    longest = config().longest(128, topology)
    assert -(-longest // 8) * 8 == made, "rows are padded to steps of eight"


def test_too_few_sentinels_are_refused():
    with pytest.raises(ConfigError, match=r"cuts 171 pieces out of data.sequence_length=1024.*say at least 172"):
        config().places(1024, DECODER)


@pytest.mark.parametrize("topology", [DECODER, ENCODER_DECODER])
def test_the_loss_is_that_of_a_slow_reference(topology: str):
    torch.manual_seed(0)
    name = "transformer" if topology == DECODER else "encoder_decoder"
    values = {"name": name, "width": 16, "layers": 2, "init_std": 0.4}
    model = plugin_config("architecture", values, "architecture").build(FIRST + 30).double().eval()
    of, expected, count = method(topology, sentinels=30), 0.0, 0
    batch = prepared(of, np.random.default_rng(1).integers(97, 100, (5, 25)))
    for row in range(5):
        read, written = texts_of(batch, row)
        for at, target in enumerate(written):
            shown = [END, *written[:at]]
            if topology == DECODER:
                logits_V = model.logits(torch.tensor([[*read, *shown]]))[0, -1]
            else:
                logits_V = model.logits(torch.tensor([shown]), source_BS=torch.tensor([read]))[0, -1]
            expected -= float(logits_V.log_softmax(-1)[target].detach())
            count += 1
    assert of.counts(batch) == {"ul2": count}
    assert float(of.losses(model, batch)["ul2"].detach()) == pytest.approx(expected, rel=1e-9)


class TestUl2(ObjectiveKit):
    config = config()


class TestUl2OfAnEncoderDecoder(ObjectiveKit):
    config = config()

    def architecture(self):
        return in_transformer(name="encoder_decoder", position="none")

    def recovered(self, batch, row):
        return read_back(*texts_of(batch, row), first=64)
