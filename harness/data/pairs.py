"""Preferences as rows that a model reads: each prompt once with each of its answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.interfaces.batch import ANSWER, CONTEXT, Sequences

#: A preference's better answer, and its worse one.
ANSWERS = 2
#: Widths of rows, at most: blocks are compiled for each.
WIDTHS = 16


@dataclass(frozen=True)
class Answered:
    """Rows of a prompt with one of its answers: all of the better ones, then all of the worse ones, in the same order.

    tokens_RS: int64, 0 behind the end. is_answer_RS: bool, whether a token is the answer's. lengths_R: int64, tokens.
    """

    tokens_RS: np.ndarray
    is_answer_RS: np.ndarray
    lengths_R: np.ndarray


def answered(sequences: Sequences, sequence_length: int, shift: int) -> Answered:
    """The rows of preferences, R = 2·B of them, padded on the right to the next of a few widths.

    shift: by how many places inputs and targets are apart. Rows are sequence_length + shift tokens at most.
    """
    assert sequences.parts_BS is not None
    rows = []
    for answer in range(ANSWERS):
        for tokens_S, parts_S in zip(sequences.tokens_BS, sequences.parts_BS, strict=True):
            kept_S = (parts_S == CONTEXT) | (parts_S == ANSWER + answer)
            rows.append((tokens_S[kept_S], parts_S[kept_S] != CONTEXT))
    lengths_R = np.array([len(tokens_S) for tokens_S, _ in rows], dtype=np.int64)
    step = max(16, -(-sequence_length // WIDTHS))
    width = min(-(-(int(lengths_R.max()) - shift) // step) * step, sequence_length) + shift
    shape = (len(rows), width)
    tokens_RS, is_answer_RS = np.zeros(shape, np.int64), np.zeros(shape, bool)
    for row, (tokens_S, is_answer_S) in enumerate(rows):
        tokens_RS[row, : len(tokens_S)] = tokens_S
        is_answer_RS[row, : len(tokens_S)] = is_answer_S
    return Answered(tokens_RS, is_answer_RS, lengths_R)
