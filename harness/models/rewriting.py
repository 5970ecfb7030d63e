"""Objectives that read one text and write another: what they share on decoders and on encoder–decoders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from harness.interfaces.architecture import ENCODER_DECODER, Output
from harness.interfaces.batch import Batch, Randomness, Sequences
from harness.interfaces.method import Setting
from harness.interfaces.tokenizer import decoder_start
from harness.interfaces.visibility import Causal, Cross, Full, Padded, Prefix, SameDocument
from harness.models.auxiliary import added
from harness.models.cross_entropy import cross_entropy
from harness.models.visibility import padded_behind


@dataclass(frozen=True)
class Text:
    """Tokens, int64, and the document of each, counted from 0 within its row."""

    tokens: np.ndarray
    documents: np.ndarray

    def of(self, which: Any) -> Text:
        """Some of its places."""
        return Text(self.tokens[which], self.documents[which])


def joined(texts: Sequence[Text]) -> Text:
    return Text(*(np.concatenate([getattr(text, of) for text in texts]) for of in ("tokens", "documents")))


#: A row, and the generator of its choices, to what is read and what is written.
Rewrite = Callable[[Text, np.random.Generator], tuple[Text, Text]]


class Rewriting:
    """−Σ log p(token of what is written | those before it, and all that is read), in nats.

    An encoder–decoder reads with its encoder, and its decoder starts with the tokenizer's `decoder_start`, mostly the
    end token. A decoder sees one behind the other. opened: whether the end token stands between them there, too.
    both_ways: whether places of what is read see each other in a decoder (a prefix), or only those before them.
    """

    def __init__(
        self,
        name: str,
        rewrite: Rewrite,
        setting: Setting,
        *,
        logits_chunk: int | None = None,
        opened: bool = True,
        both_ways: bool = False,
    ) -> None:
        self.name, self.rewrite, self.logits_chunk = name, rewrite, logits_chunk
        self.across, self.encodes = setting.attend_across_documents, setting.topology == ENCODER_DECODER
        self.start = decoder_start(setting.tokenizer) if self.encodes else setting.tokenizer.end
        self.opened, self.both_ways = opened, both_ways

    def prepare(self, sequences: Sequences, randomness: Randomness) -> Batch:
        read, written = [], []
        for tokens_S, documents_S, place in zip(
            sequences.tokens_BS, sequences.documents_BS, sequences.places_B.tolist(), strict=True
        ):
            row = Text(tokens_S[:-1], documents_S[:-1] * (not self.across))
            source, target = self.rewrite(row, randomness(place))
            read.append(source)
            written.append(target)
        places_B = torch.from_numpy(sequences.places_B)
        return self._apart(read, written, places_B) if self.encodes else self._behind(read, written, places_B)

    def _apart(self, read: list[Text], written: list[Text], places_B: torch.Tensor) -> Batch:
        """For an encoder–decoder: what is read is padded with a document of its own."""
        started = [Text(np.r_[self.start, text.tokens[:-1]], shifted(text.documents)) for text in written]
        batch = self._batch(started, [text.tokens for text in written], [0] * len(written), places_B)
        batch.extra = {"source_BS": _padded([text.tokens for text in read])}
        batch.extra["sources_BS"] = _padded([text.documents for text in read], -1)
        if not self.across:
            batch.extra["source_positions_BS"] = _padded([ranks(text.documents) for text in read])
        return batch

    def _behind(self, read: list[Text], written: list[Text], places_B: torch.Tensor) -> Batch:
        """For a decoder: one behind the other."""
        between = [
            Text(np.array([self.start] * self.opened, np.int64), text.documents[: self.opened]) for text in written
        ]
        whole = [joined(parts) for parts in zip(read, between, written, strict=True)]
        first = [len(text.tokens) + self.opened - 1 for text in read]
        batch = self._batch(
            [text.of(slice(-1)) for text in whole], [text.tokens[1:] for text in whole], first, places_B
        )
        if self.both_ways:
            batch.extra = {"prefix_B": torch.tensor([len(text.tokens) for text in read])}
        return batch

    def _batch(self, inputs: list[Text], targets: list[np.ndarray], first: list[int], places_B: torch.Tensor) -> Batch:
        """first: of each row, the place from which on its targets count."""
        weights = [(np.arange(len(row)) >= start).astype(np.float32) for row, start in zip(targets, first, strict=True)]
        batch = Batch(
            inputs_BT=_padded([text.tokens for text in inputs]),
            targets_BT=_padded(targets),
            weights_BT=_padded(weights),
            places_B=places_B,
        )
        if not self.across:
            batch.documents_BT = _padded([text.documents for text in inputs], -1)
            batch.positions_BT = _padded([ranks(text.documents) for text in inputs])
        return batch

    def counts(self, batch: Batch) -> dict[str, float]:
        return {self.name: float(batch.weights_BT.sum())}

    def losses(self, model: Any, batch: Batch) -> dict[str, torch.Tensor]:
        output = self.output(model, batch)
        head = model.heads["language_model"]
        nats = cross_entropy(head, output.hidden_BTC, batch.targets_BT, batch.weights_BT, self.logits_chunk)
        return {self.name: nats, **{name: total / count for name, (total, count) in output.auxiliary.items()}}

    def output(self, model: Any, batch: Batch) -> Output:
        """What the body makes of a batch: hidden_BTC of what is written, auxiliary losses of both sides."""
        order = Prefix(batch.extra["prefix_B"]) if "prefix_B" in batch.extra else Causal()
        visibility = order & padded_behind(batch.weights_BT)
        if batch.documents_BT is not None:
            visibility = visibility & SameDocument(batch.documents_BT)
        where = {"positions_BT": batch.positions_BT}
        if not self.encodes:
            output: Output = model.body(batch.inputs_BT, visibility=visibility, **where)
            return output
        sources_BS = batch.extra["sources_BS"]
        read = model.body.encode(
            batch.extra["source_BS"],
            positions_BS=batch.extra.get("source_positions_BS"),
            visibility=Full() & SameDocument(sources_BS) & Padded((sources_BS >= 0).sum(1)),
        )
        seen = visibility & Cross(sources_BS, batch.documents_BT)
        output = model.body(batch.inputs_BT, context=read.hidden_BTC, visibility=seen, **where)
        output.auxiliary = added(read.auxiliary, output.auxiliary)
        return output


def shifted(documents_T: np.ndarray) -> np.ndarray:
    """Of each token that is shown, its document: the start token belongs to that of the first that is written."""
    return np.r_[documents_T[:1], documents_T[:-1]]


def ranks(documents_T: np.ndarray) -> np.ndarray:
    """Of each place, how many of the places before it belong to the same document."""
    ranks_T = np.zeros_like(documents_T)
    for document in np.unique(documents_T):
        own = documents_T == document
        ranks_T[own] = np.arange(own.sum())
    return ranks_T


def _padded(rows: list[np.ndarray], value: int = 0) -> torch.Tensor:
    """Rows of one width: that of the longest, in steps of eight."""
    width = -(-max(map(len, rows)) // 8) * 8
    return torch.from_numpy(np.stack([np.pad(row, (0, width - len(row)), constant_values=value) for row in rows]))
