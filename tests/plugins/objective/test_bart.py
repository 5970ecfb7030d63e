"""Denoising: what is hidden and moved, that the whole row is written, and the loss of it."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.composition import run_config
from harness.config import ConfigError, plugin_config
from harness.interfaces.architecture import ENCODER_DECODER
from harness.interfaces.batch import Sequences
from harness.interfaces.method import Setting
from harness.planning.plan import resolve
from harness.registry import registry
from harness.testing import ObjectiveKit
from harness.testing.parts import in_transformer

END, MASK = 256, 257


def config(**values: Any) -> Any:
    return plugin_config("method", {"name": "bart", **values}, "method")


def method(across: bool = True, **values: Any) -> Any:
    tokenizer = registry().get("tokenizer", "bytes")().train([])
    setting = Setting(
        tokenizer=tokenizer, extra={"[MASK]": MASK}, topology=ENCODER_DECODER, attend_across_documents=across
    )
    return config(**values).build(setting)


def prepared(of: Any, tokens: Any) -> Any:
    tokens_BS = np.asarray(tokens, dtype=np.int64)
    sequences = Sequences(tokens_BS, np.cumsum(tokens_BS == END, axis=1), np.arange(len(tokens_BS)))
    return of.prepare(sequences, lambda place: np.random.default_rng([7, place]))


def texts_of(batch: Any, row: int) -> tuple[list[int], list[int]]:
    """What is read and what is written, without padding."""
    read = batch.extra["source_BS"][row][batch.extra["sources_BS"][row] >= 0].tolist()
    return read, batch.targets_BT[row][batch.weights_BT[row] > 0].tolist()


def is_subsequence(some: list[int], of: list[int]) -> bool:
    rest = iter(of)
    return all(token in rest for token in some)


@given(
    tokens=st.lists(st.integers(240, END), min_size=3, max_size=90), rate=st.floats(0, 0.9), length=st.floats(1, 8),
    across=st.booleans(),
)  # fmt: skip
def test_the_row_is_written_and_what_is_read_is_what_is_left_of_it(tokens, rate, length, across):
    batch = prepared(method(across, rate=rate, length=length, permuted=False), [tokens])
    read, written = texts_of(batch, 0)
    assert written == tokens[:-1]
    assert len(read) <= len(written), "a body that can see what is written can see what is read"
    left = [token for token in read if token != MASK]
    assert is_subsequence(left, written)
    assert left.count(END) == written.count(END), "the end is never hidden"
    if not across:  # masks stand in the document of what they hide
        assert batch.extra["sources_BS"][0][: len(read)].tolist() == np.cumsum(np.array(read) == END).tolist()


def test_spans_have_lengths_of_a_poisson_distribution_and_a_share_is_hidden():
    length, rows = 1024, 40
    tokens = np.random.default_rng(0).integers(97, 123, (rows, length + 1))
    batch = prepared(method(permuted=False), tokens)
    reads = [texts_of(batch, row)[0] for row in range(rows)]
    masks = sum(read.count(MASK) for read in reads)
    hidden = rows * length - sum(len(read) for read in reads) + masks
    assert hidden == rows * round(0.3 * length)
    # A row's spans add up to its share, so their number is that of a renewal process: n ± √(n / λ).
    expected = hidden / 3
    assert abs(masks - expected) < 5 * (expected / 3) ** 0.5 + rows


def test_a_span_may_hide_nothing():
    """Of a mean of 1 every e-th is empty: were there none of these, 600 tokens would be hidden by 380 masks."""
    tokens = np.random.default_rng(0).integers(97, 123, (1, 2001))
    read, written = texts_of(prepared(method(permuted=False, length=1.0), tokens), 0)
    masks = read.count(MASK)
    assert len(written) - len(read) + masks == 600
    assert abs(masks - 600) < 5 * 600**0.5


def test_sentences_of_a_document_change_places():
    text = b"One. Two is 3.14 of! Three?\n  four\nfive."
    sentences = [b"One.", b" Two is 3.14 of!", b" Three?", b"\n", b"  four\n", b"five."]
    row = [*text, END, *b"six. seven", END]
    seen = set()
    for start in range(40):
        batch = prepared(method(rate=0.0), [row] * (start + 1))
        read, written = texts_of(batch, start)
        assert written == row[:-1]
        first, second = bytes(read[: len(text)]), read[len(text) :]
        assert second[0] == END
        assert bytes(second[1:]) in (b"six. seven", b" sevensix.")
        rest, order = first, []
        while rest:
            (at,) = [n for n, sentence in enumerate(sentences) if rest.startswith(sentence) and n not in order][:1]
            order.append(at)
            rest = rest[len(sentences[at]) :]
        assert sorted(order) == list(range(len(sentences)))
        seen.add(tuple(order))
    assert len(seen) > 30


@pytest.mark.parametrize("across", [True, False])
def test_the_loss_is_that_of_a_slow_reference(across: bool):
    torch.manual_seed(0)
    values = {"name": "encoder_decoder", "width": 16, "layers": 2, "init_std": 0.4}
    model = plugin_config("architecture", values, "architecture").build(258).double().eval()
    tokens = np.random.default_rng(1).integers(97, 100, (2, 31))
    tokens[:, [0, 13, 25]] = END
    of = method(across)
    batch, expected = prepared(of, tokens), 0.0
    for row in range(2):
        read, written = texts_of(batch, row)
        of_read, of_written = (np.cumsum(np.array(text) == END) * (not across) for text in (read, written))
        shown, of_shown = [END, *written[:-1]], np.r_[of_written[:1], of_written[:-1]]
        for at, target in enumerate(written):
            own = np.array(shown[: at + 1])[of_shown[: at + 1] == of_shown[at]]
            source = np.array(read)[of_read == of_shown[at]]
            logits_V = model.logits(torch.tensor([own.tolist()]), source_BS=torch.tensor([source.tolist()]))[0, -1]
            expected -= float(logits_V.log_softmax(-1)[target].detach())
    assert of.counts(batch) == {"bart": 60}
    assert float(of.losses(model, batch)["bart"].detach()) == pytest.approx(expected, rel=1e-9)


def test_a_decoder_is_refused():
    with pytest.raises(ConfigError, match="objective=bart trains an encoder–decoder, and .* is a decoder"):
        resolve(run_config(["experiment=tiny", "objective=bart", "tokenizer=bytes"]).with_seeds())


class TestBart(ObjectiveKit):
    config = config()
    test_what_is_no_text_stays = None  # all that is written is learned, also the end

    def architecture(self):
        return in_transformer(name="encoder_decoder", position="none")

    def recovered(self, batch, row):
        return batch.targets_BT[row][batch.weights_BT[row] > 0].tolist()
