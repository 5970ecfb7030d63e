"""PyTorch's AdamW over two groups: what decays and what does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from harness_plugins.optimizer.adamw import AdamWConfig


def build(config: AdamWConfig, parameters: list[tuple[str, torch.nn.Parameter, str]]) -> torch.optim.AdamW:
    """parameters: (name, parameter, role). An empty group is left out."""
    decays = [p for _, p, role in parameters if role in config.decayed]
    others = [p for _, p, role in parameters if role not in config.decayed]
    groups = [
        {"params": group, "weight_decay": decay, "peak_lr": config.lr}
        for group, decay in ((decays, config.weight_decay), (others, 0.0))
        if group
    ]
    # Fused takes a third of the time of foreach on one CPU core, too.
    return torch.optim.AdamW(groups, lr=config.lr, betas=(config.betas[0], config.betas[1]), eps=config.eps, fused=True)
