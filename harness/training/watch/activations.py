"""The scale of what flows between the blocks."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from torch import nn

from harness.models.blocks import blocks
from harness.rundir import RunDir


class Activations(Callback):
    """Every so many steps a row with, for each block, the root mean square and the largest magnitude of its output, of
    this rank's last micro-batch."""

    def __init__(self, every: int, run: RunDir) -> None:
        self.every, self.run = every, run
        self.looks = False
        self._seen: dict[int, torch.Tensor] = {}

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        for number, block in enumerate(blocks(pl_module.model)):
            block.register_forward_hook(self._hook(number))

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.looks = (trainer.global_step + 1) % self.every == 0

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if not self.looks or not pl_module.stepped or not self._seen:  # not every body has layers to look at
            return
        self.looks = False
        scales, largest = torch.stack([self._seen[number] for number in sorted(self._seen)]).T.tolist()
        row = {"step": trainer.global_step, "event": "activations", "rms": scales, "largest": largest}
        self.run.append_metrics([row])

    def _hook(self, number: int) -> Any:
        def look(block: nn.Module, inputs: Any, output: Any) -> None:
            if self.looks:
                hidden = (output[0] if isinstance(output, tuple) else output).detach().float()
                self._seen[number] = torch.stack([hidden.square().mean().sqrt(), hidden.abs().max()])

        return look
