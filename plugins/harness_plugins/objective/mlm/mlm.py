"""The cross-entropy of chosen tokens given all others, in nats (Devlin et al. 2019, "BERT", §3.1 and A.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from harness.data.borders import borders, words_of
from harness.data.stream import positions_within
from harness.interfaces.batch import Batch, Randomness, Sequences
from harness.interfaces.method import Setting
from harness.interfaces.visibility import Full, SameDocument, Visibility
from harness.models.cross_entropy import cross_entropy
from harness_plugins.objective.mlm import MASK

if TYPE_CHECKING:
    from harness_plugins.objective.mlm import MlmConfig


class MaskedLanguageModelling:
    """−Σ log p(token | what is seen of its row), over the chosen tokens.

    Of the chosen most are hidden, some are replaced by any token of text, and the rest stays as it is. The end and a
    method's own tokens are never chosen and never replace another: they are no text.
    """

    def __init__(self, config: MlmConfig, setting: Setting) -> None:
        self.config, self.attend_across_documents = config, setting.attend_across_documents
        tokenizer, self.mask = setting.tokenizer, setting.extra[MASK]
        self.no_text = np.array([tokenizer.end, *setting.extra.values()])
        self.text = np.setdiff1d(_that_stand_for_text(tokenizer), self.no_text)
        if config.whole_words:
            self.borders = borders(tokenizer, setting.extra.values())

    def prepare(self, sequences: Sequences, randomness: Randomness) -> Batch:
        tokens_BT, documents_BT = sequences.tokens_BS[:, :-1], sequences.documents_BS[:, :-1]
        rows = zip(tokens_BT, sequences.places_B.tolist(), strict=True)
        corrupted = [self._corrupted(tokens_T, randomness(place)) for tokens_T, place in rows]
        batch = Batch(
            inputs_BT=torch.from_numpy(np.stack([inputs_T for inputs_T, _ in corrupted])),
            targets_BT=torch.from_numpy(tokens_BT.copy()),
            weights_BT=torch.from_numpy(np.stack([np.float32(chosen_T) for _, chosen_T in corrupted])),
            places_B=torch.from_numpy(sequences.places_B),
        )
        if not self.attend_across_documents:
            batch.documents_BT = torch.from_numpy(documents_BT.copy())
            batch.positions_BT = torch.from_numpy(positions_within(documents_BT))
        return batch

    def _corrupted(self, tokens_T: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """A row as it is shown, and which of its tokens are chosen."""
        length, config = len(tokens_T), self.config
        draws_T, fates_T, others_T = rng.random(length), rng.random(length), rng.choice(self.text, length)
        units_T = words_of(tokens_T, *self.borders) if config.whole_words else np.arange(length)
        chosen_T = (draws_T[units_T] < config.rate) & ~np.isin(tokens_T, self.no_text)
        replaced_T = np.where(fates_T < config.masked + config.random, others_T, tokens_T)
        shown_T = np.where(fates_T < config.masked, self.mask, replaced_T)
        return np.where(chosen_T, shown_T, tokens_T), chosen_T

    def counts(self, batch: Batch) -> dict[str, float]:
        return {"mlm": float(batch.weights_BT.sum())}

    def losses(self, model: Any, batch: Batch) -> dict[str, torch.Tensor]:
        visibility = Visibility((Full(),))
        if batch.documents_BT is not None:
            visibility = visibility & SameDocument(batch.documents_BT)
        output = model.body(batch.inputs_BT, positions_BT=batch.positions_BT, visibility=visibility)
        head = model.heads["language_model"]
        nats = cross_entropy(head, output.hidden_BTC, batch.targets_BT, batch.weights_BT, self.config.logits_chunk)
        auxiliary = {name: total / count for name, (total, count) in output.auxiliary.items()}
        return {"mlm": nats, **auxiliary}


def _that_stand_for_text(tokenizer: Any) -> list[int]:
    """A tokenizer that found fewer pieces than it was asked for has numbers without any. Twice in a row, since some
    decoders leave out a text's first space."""
    return [token for token in range(tokenizer.size) if tokenizer.decode([token, token])]
