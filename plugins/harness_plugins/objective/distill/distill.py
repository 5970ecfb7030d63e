"""The divergence of a model's predictions from a teacher's, and the cross-entropy of the text, in nats."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from harness.interfaces.batch import Batch
from harness.interfaces.method import Setting
from harness.models.cross_entropy import summed
from harness_plugins.objective.clm.clm import CausalLanguageModelling, seen

if TYPE_CHECKING:
    from harness_plugins.objective.distill import DistillConfig


class Distillation(CausalLanguageModelling):
    """w T² KL(teacher_T ‖ student_T) − (1 − w) log p(token), for each token (Hinton et al. 2015, section 2).

    p_T is the softmax of logits / T. With T² the gradient of the divergence is as large at every temperature; their
    cross-entropy with soft targets differs from it by the teacher's entropy, which nothing is learned from. The
    divergence is that over the tokenizer's tokens: tables may have more rows, and not equally many.
    """

    told = ("clm", "divergence")

    def __init__(self, config: DistillConfig, setting: Setting) -> None:
        super().__init__(setting.attend_across_documents, config.logits_chunk)
        assert setting.frozen is not None
        self.config, self.tokens, self._frozen = config, setting.tokenizer.size, setting.frozen

    @functools.cached_property
    def teacher(self) -> Any:
        return self._frozen("teacher")

    def counts(self, batch: Batch) -> dict[str, float]:
        return dict.fromkeys(("distill", *self.told), float(batch.weights_BT.sum()))

    def losses(self, model: Any, batch: Batch) -> dict[str, torch.Tensor]:
        """The loss, and what is told: clm, nats of the text's tokens, and divergence, T² KL, in nats."""
        with torch.no_grad():
            taught_BTC = seen(self.teacher, batch).hidden_BTC
        output = seen(model, batch)
        columns = [taught_BTC.flatten(0, 1), batch.targets_BT.flatten(), batch.weights_BT.flatten()]
        head, hidden_NC = model.heads["language_model"], output.hidden_BTC.flatten(0, 1)
        loss, clm, divergence = summed(self._sums, head, hidden_NC, columns, self.logits_chunk)
        auxiliary = {name: total / count for name, (total, count) in output.auxiliary.items()}
        return {"distill": loss, "clm": clm.detach(), "divergence": divergence.detach(), **auxiliary}

    def _sums(
        self, logits_NV: torch.Tensor, taught_NC: torch.Tensor, targets_N: torch.Tensor, weights_N: torch.Tensor
    ) -> torch.Tensor:
        """The loss, the text's nats and the divergence of some places, shape (3,)."""
        with torch.no_grad():
            theirs_NV = self.teacher.heads["language_model"](taught_NC)
        logits_NV, theirs_NV = (z.to(torch.promote_types(z.dtype, torch.float32)) for z in (logits_NV, theirs_NV))
        temperature, share = self.config.temperature, self.config.weight
        nats_N = F.cross_entropy(logits_NV, targets_N, reduction="none")
        own_NV, aim_NV = (
            (z[:, : self.tokens] / temperature).log_softmax(-1) for z in (logits_NV, theirs_NV.type_as(logits_NV))
        )
        divergence_N = temperature**2 * F.kl_div(own_NV, aim_NV, reduction="none", log_target=True).sum(-1)
        terms_3N = torch.stack([share * divergence_N + (1 - share) * nats_N, nats_N, divergence_N])
        return (terms_3N * weights_N).sum(-1)
