"""The cross-entropies of proposing hidden tokens, and of telling proposals from the text, in nats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from harness.interfaces.architecture import Output
from harness.interfaces.batch import Batch, Randomness, Sequences
from harness.interfaces.method import Setting
from harness.interfaces.visibility import Full, SameDocument, Visibility
from harness.models.cross_entropy import cross_entropy, summed
from harness_plugins.objective.mlm import MlmConfig
from harness_plugins.objective.mlm.mlm import MaskedLanguageModelling

if TYPE_CHECKING:
    from harness_plugins.objective.electra import ElectraConfig

#: The discriminator's classes.
ORIGINAL, REPLACED = 0, 1


class ReplacedTokenDetection:
    """L_MLM + λ L_disc (Clark et al. 2020, section 2), with all weights of the body tied (section 3.2).

    Each hidden token is replaced by one that the generator draws, through which no gradient goes. A proposal that is
    the text's own token is original. The number that decides a draw comes from the generator of the row's place, so
    that the same model proposes the same tokens on any device, but for rounding.
    """

    told = ("discriminator",)

    def __init__(self, config: ElectraConfig, setting: Setting) -> None:
        hiding: dict[str, Any] = {"rate": config.rate, "masked": 1.0, "random": 0.0, "whole_words": config.whole_words}
        self.hide = MaskedLanguageModelling(MlmConfig(name="mlm", **hiding), setting)
        self.weight, self.logits_chunk = config.weight, config.logits_chunk

    def prepare(self, sequences: Sequences, randomness: Randomness) -> Batch:
        generators = {place: randomness(place) for place in sequences.places_B.tolist()}
        batch = self.hide.prepare(sequences, generators.__getitem__)
        length = batch.inputs_BT.shape[1]
        draws_BT = np.stack([rng.random(length, np.float32) for rng in generators.values()])
        batch.extra["draws_BT"] = torch.from_numpy(draws_BT)
        return batch

    def counts(self, batch: Batch) -> dict[str, float]:
        every = float(batch.targets_BT.numel())
        return {"generator": float(batch.weights_BT.sum()), "replaced_token": every, "discriminator": every}

    def losses(self, model: Any, batch: Batch) -> dict[str, torch.Tensor]:
        """generator: nats of the hidden tokens. replaced_token: weighted nats of the two classes, over all tokens. Told
        beside them, discriminator: the same without its weight."""
        generated, nats, proposed_BT = self.propose(model, batch)
        is_replaced_BT = (proposed_BT != batch.targets_BT).long()
        judged = _seen(model, proposed_BT, batch)
        every_BT = torch.ones_like(batch.weights_BT)
        told = cross_entropy(model.heads["replaced_token"], judged.hidden_BTC, is_replaced_BT, every_BT)
        auxiliary = {
            name: (total + judged.auxiliary[name][0]) / (count + judged.auxiliary[name][1])
            for name, (total, count) in generated.auxiliary.items()
        }
        return {"generator": nats, "replaced_token": self.weight * told, "discriminator": told.detach(), **auxiliary}

    def propose(self, model: Any, batch: Batch) -> tuple[Output, torch.Tensor, torch.Tensor]:
        """What the body makes of the hidden text, the generator's nats, and the text with its proposals."""
        output = _seen(model, batch.inputs_BT, batch)
        proposed_N = torch.empty_like(batch.targets_BT).flatten()
        columns = [batch.targets_BT.flatten(), batch.weights_BT.flatten(), batch.extra["draws_BT"].flatten()]
        hidden_NC = output.hidden_BTC.flatten(0, 1)
        nats = summed(
            _nats_and_draws, model.heads["language_model"], hidden_NC, [*columns, proposed_N], self.logits_chunk
        )
        proposed_BT = torch.where(batch.weights_BT > 0, proposed_N.view_as(batch.targets_BT), batch.targets_BT)
        return output, nats, proposed_BT


def _nats_and_draws(
    logits_NV: torch.Tensor,
    targets_N: torch.Tensor,
    weights_N: torch.Tensor,
    draws_N: torch.Tensor,
    written_N: torch.Tensor,
) -> torch.Tensor:
    """Σ weight · −log p(target). written_N takes what is drawn: the token in whose part of [0, 1) a number falls."""
    logits_NV = logits_NV.to(torch.promote_types(logits_NV.dtype, torch.float32))
    with torch.no_grad():
        below_NV = logits_NV.softmax(-1).cumsum(-1)
        found_N1 = torch.searchsorted(below_NV, draws_N[:, None].to(below_NV.dtype), right=True)
        written_N.copy_(found_N1[:, 0].clamp(max=logits_NV.shape[-1] - 1))
    return (F.cross_entropy(logits_NV, targets_N, reduction="none") * weights_N).sum()


def _seen(model: Any, inputs_BT: torch.Tensor, batch: Batch) -> Output:
    visibility = Visibility((Full(),))
    if batch.documents_BT is not None:
        visibility = visibility & SameDocument(batch.documents_BT)
    output: Output = model.body(inputs_BT, positions_BT=batch.positions_BT, visibility=visibility)
    return output
