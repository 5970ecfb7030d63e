"""Documents that are written prefix, suffix, middle (Bavarian et al. 2022, section 3)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from harness.interfaces.batch import Batch, Randomness, Sequences
from harness.interfaces.method import Setting
from harness_plugins.objective.clm.clm import CausalLanguageModelling

if TYPE_CHECKING:
    from harness_plugins.objective.fim import FimConfig


class FillInTheMiddle(CausalLanguageModelling):
    """−Σ log p(token | those before it), also of the three marks and of the end behind a middle.

    PSM is <PRE> prefix <SUF> suffix <MID> middle, SPM the paper's second variant, <PRE> <SUF> suffix <MID> prefix
    middle. Each document of a row, or what the row holds of it, is cut by itself, behind the end that opens it. Marks
    take the places of the row's last tokens.
    """

    name = "fim"

    def __init__(self, config: FimConfig, setting: Setting) -> None:
        super().__init__(setting.attend_across_documents, config.logits_chunk)
        self.rate, self.spm, self.end = config.rate, config.spm, setting.tokenizer.end
        self.marks = [np.array([setting.extra[name]]) for name in config.extra_tokens()]

    def prepare(self, sequences: Sequences, randomness: Randomness) -> Batch:
        rows = zip(sequences.tokens_BS, sequences.documents_BS, sequences.places_B.tolist(), strict=True)
        written = [self._rearranged(tokens_S, of_S, randomness(place)) for tokens_S, of_S, place in rows]
        tokens_BS, documents_BS = (np.stack(of_rows) for of_rows in zip(*written, strict=True))
        return super().prepare(replace(sequences, tokens_BS=tokens_BS, documents_BS=documents_BS), randomness)

    def _rearranged(
        self, tokens_S: np.ndarray, documents_S: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """A row of the same length, and the document of each of its tokens."""
        pieces: list[np.ndarray] = []
        room, marks = len(tokens_S), len(self.marks)
        for piece in np.split(tokens_S, np.flatnonzero(np.diff(documents_S)) + 1):
            is_cut, opened = rng.random() < self.rate, int(piece[0] == self.end)
            if is_cut and min(len(piece), room - marks) > opened:
                text = piece[opened : room - marks]
                piece = np.concatenate([piece[:opened], *self._in_three(text, rng)])
            pieces.append(piece[:room])
            room -= len(pieces[-1])
        return np.concatenate(pieces), np.repeat(np.arange(len(pieces)), [len(piece) for piece in pieces])

    def _in_three(self, text: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
        before, behind, in_the_middle = self.marks
        prefix, middle, suffix = np.split(text, np.sort(rng.integers(0, len(text) + 1, 2)))
        if rng.random() < self.spm:
            return [before, behind, suffix, in_the_middle, prefix, middle]
        return [before, prefix, behind, suffix, in_the_middle, middle]
