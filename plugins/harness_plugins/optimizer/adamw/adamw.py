"""PyTorch's AdamW over groups of what decays and what does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from harness.interfaces.optimizer import Trained
from harness.models.groups import grouped

if TYPE_CHECKING:
    from harness_plugins.optimizer.adamw import AdamWConfig


def build(config: AdamWConfig, parameters: list[Trained]) -> torch.optim.AdamW:
    groups = [{**group, "weight_decay": decay} for decay, group in grouped(parameters, config.lr, config.decay_of)]
    # Fused takes a third of the time of foreach on one CPU core, too.
    return torch.optim.AdamW(groups, lr=config.lr, betas=(config.betas[0], config.betas[1]), eps=config.eps, fused=True)
