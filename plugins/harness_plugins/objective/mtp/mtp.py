"""The cross-entropies of the next tokens, one offset after the other, in nats."""

from __future__ import annotations

from typing import Any

import torch

from harness.interfaces.batch import Batch
from harness.models.cross_entropy import cross_entropy
from harness_plugins.objective.clm.clm import CausalLanguageModelling, seen


class SeveralTokensAhead(CausalLanguageModelling):
    """Σ over offsets k of the mean of −log p(the token k places on | those so far) (Gloeckle et al. 2024, equation 2).

    A row has k − 1 places fewer for offset k. Rows are equally long, so that a sum times T / (T − k + 1) has the count
    of the first offset. What stands behind the end of a document is foretold like anything else.
    """

    told = ("clm",)

    def counts(self, batch: Batch) -> dict[str, float]:
        return {"mtp": float(batch.weights_BT.sum()), "clm": float(batch.weights_BT.sum())}

    def losses(self, model: Any, batch: Batch) -> dict[str, torch.Tensor]:
        output = seen(model, batch)
        nats = self._nats(model, batch, output.hidden_BTC)
        places = batch.targets_BT.shape[1]
        total = torch.stack([own * (places / (places - k)) for k, own in enumerate(nats)]).sum()
        auxiliary = {name: value / count for name, (value, count) in output.auxiliary.items()}
        return {"mtp": total, "clm": nats[0].detach(), **auxiliary}

    def measures(self, model: Any, batch: Batch) -> dict[str, tuple[float, float]]:
        """The loss of each offset by itself."""
        nats = self._nats(model, batch, seen(model, batch).hidden_BTC)
        return {f"clm_offset_{k + 1}": (float(own), float(batch.weights_BT[:, k:].sum())) for k, own in enumerate(nats)}

    def _nats(self, model: Any, batch: Batch, hidden_BTC: torch.Tensor) -> list[torch.Tensor]:
        """By offset, the sum over the places that have a token there."""
        head, ahead = model.heads["language_model"], model.heads["mtp"]
        sums = []
        for k in range(min(ahead.offsets, hidden_BTC.shape[1])):
            own_BTC = hidden_BTC[:, : hidden_BTC.shape[1] - k]
            own_BTC = ahead(own_BTC, k + 1) if k else own_BTC
            targets_BT, weights_BT = batch.targets_BT[:, k:], batch.weights_BT[:, k:]
            sums.append(cross_entropy(head, own_BTC, targets_BT, weights_BT, self.logits_chunk))
        return sums
