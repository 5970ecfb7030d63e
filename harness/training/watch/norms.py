"""Norms of gradients, weights and updates by part of the model."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, Trainer

from harness.rundir import RunDir
from harness.training.gradients import whole_norm


class Norms(Callback):
    """Every so many steps a row with, for each part, the 2-norms of its gradient (after clipping), of its weights, and
    of what the step changed in them. A copy of the weights is held during such a step."""

    def __init__(self, every: int, run: RunDir) -> None:
        self.every, self.run = every, run
        self._before: dict[str, torch.Tensor] = {}
        self._gradients: dict[str, torch.Tensor] = {}

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: Any, optimizer: Any) -> None:
        if (trainer.global_step + 1) % self.every == 0:
            named = _trained(pl_module)
            self._gradients = by_part({name: p.grad for name, p in named.items() if p.grad is not None})
            self._before = {name: parameter.detach().clone() for name, parameter in named.items()}

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if not self._before:
            return
        weights = {name: parameter.detach() for name, parameter in _trained(pl_module).items()}
        updates = {name: weight - self._before[name] for name, weight in weights.items()}
        self._before = {}
        found = {"grad_norms": self._gradients, "weight_norms": by_part(weights), "update_norms": by_part(updates)}
        rows = {kind: {part: float(norm) for part, norm in norms.items()} for kind, norms in found.items()}
        self.run.append_metrics([{"step": trainer.global_step, "event": "norms", **rows}])


def by_part(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The 2-norm of each part's tensors together, whole on every rank."""
    parts: dict[str, list[torch.Tensor]] = {}
    for name, tensor in tensors.items():
        parts.setdefault(part_of(name), []).append(tensor)
    return {part: whole_norm(of_part) for part, of_part in parts.items()}


def part_of(name: str) -> str:
    """The part of a model that a parameter belongs to.

    >>> part_of("body.blocks.3.attention.out.weight"), part_of("body.tokens.weight"), part_of("heads.value.weight")
    ('blocks.3.attention', 'tokens', 'heads.value')
    """
    words = name.removeprefix("body.").split(".")[:-1]
    return ".".join(words[:3] if len(words) > 2 and words[1].isdecimal() else words[:2])


def _trained(loop: Any) -> dict[str, torch.nn.Parameter]:
    return {name: parameter for name, parameter in loop.model.named_parameters() if parameter.requires_grad}
