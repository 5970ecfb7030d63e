"""The one training loop: an item of the loader is one optimizer step, a list of micro-batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from harness.data.loader import ENDLESS
from harness.interfaces.batch import Batch
from harness.interfaces.method import Method
from harness.interfaces.optimizer import OptimizerConfig, ScheduleConfig
from harness.models.groups import freeze, trained
from harness.training.noise import seed_noise

#: The batches of this rank from step k on: one list of micro-batches for each optimizer step.
BatchesFrom = Callable[[int], Iterable[list[Batch]]]


class Step:
    """The micro-batches of one optimizer step, as one thing that Lightning does not look into. They stay at hand on
    the CPU, too: counts and places are read there, where no device has to be waited for."""

    __slots__ = ("host", "micro_batches")

    def __init__(self, micro_batches: list[Batch], host: list[Batch] | None = None) -> None:
        self.micro_batches, self.host = micro_batches, host or micro_batches


class Steps:
    """A loader in Lightning's eyes. Its length is constant, beyond any budget: one that shrank to what is left would
    end a resumed run early."""

    def __init__(self, batches: Iterable[list[Batch]]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Step]:
        yield from map(Step, self.batches)  # a generator: nothing is started before the first step

    def __len__(self) -> int:
        return ENDLESS


class Loop(LightningModule):
    """Model and method, trained by manual optimization.

    Losses and gradient norms are kept as tensors, for `Recorder` to read now and then: reading one, or
    Lightning's `log`, costs more at every step than the rest of the loop.
    """

    def __init__(
        self,
        model: nn.Module,
        method: Method,
        optimizer: OptimizerConfig,
        schedule: ScheduleConfig,
        batches: BatchesFrom,
        *,
        steps: int,
        noise_seed: int,
        gradient_clip: float | None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model, self.method, self.schedule, self.batches = model, method, schedule, batches
        self.steps, self.noise_seed, self.gradient_clip = steps, noise_seed, gradient_clip
        freeze(model, optimizer)
        chosen = trained(model, optimizer)
        self.trained = [one.parameter for one in chosen]
        self.optimizer: torch.optim.Optimizer = optimizer.build(chosen)
        self.losses: list[torch.Tensor] = []
        self.norms: list[torch.Tensor] = []

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning names its current hook here some thirty times a step, and a module's own way is slow.
        if name == "_current_fx_name":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def parameter_names(self) -> list[str]:
        """The trained parameters in the order in which the optimizer numbers them."""
        names = {id(parameter): name for name, parameter in self.model.named_parameters()}
        return [names[id(parameter)] for group in self.optimizer.param_groups for parameter in group["params"]]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimizer

    def train_dataloader(self) -> Steps:
        """Called after a checkpoint is restored, so that the stream goes on from there."""
        return Steps(self.batches(self.trainer.global_step))

    def transfer_batch_to_device(self, batch: Step, device: torch.device, dataloader_idx: int) -> Step:
        if device.type == "cpu":
            return batch
        return Step([micro_batch.to(device) for micro_batch in batch.micro_batches], batch.micro_batches)

    def training_step(self, batch: Step, batch_idx: int) -> None:
        step, counts = self.trainer.global_step, self._counts(batch.host)
        losses = []
        for micro_batch, host in zip(batch.micro_batches, batch.host, strict=True):
            seed_noise(self.noise_seed, step, int(host.places_B[0]), self.device)
            terms = self.method.losses(self.model, micro_batch)
            parts = [term / counts.get(name, len(batch.host)) for name, term in terms.items()]
            loss = sum(parts[1:], parts[0])
            self.manual_backward(loss)
            losses.append(loss.detach())
        self.norms.append(self._clip())
        self.losses.append(sum(losses[1:], losses[0]))
        self._update(step)

    def _counts(self, micro_batches: list[Batch]) -> dict[str, float]:
        """What each term is divided by: its count over the whole step, before the first backward. A term that the
        method does not count (an auxiliary loss) is a mean already, and is averaged over the micro-batches."""
        counted = [self.method.counts(micro_batch) for micro_batch in micro_batches]
        return {name: sum(counts[name] for counts in counted) or 1.0 for name in counted[0]}

    def _clip(self) -> torch.Tensor:
        """The global norm of the gradient, before it is clipped."""
        gradients = [parameter.grad for parameter in self.trained if parameter.grad is not None]
        norm = get_total_norm(gradients)
        if self.gradient_clip is not None:
            clip_grads_with_norm_(self.trained, self.gradient_clip, norm)
        return norm

    def _update(self, step: int) -> None:
        factor = self.schedule.factor(step, self.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor
        optimizer: Any = self.optimizers()  # Lightning's wrapper: it counts the step
        optimizer.step()
        self.optimizer.zero_grad()
