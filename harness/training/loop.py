"""The one training loop: an item of the loader is one optimizer step, a list of micro-batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import nn

from harness.config import ConfigError
from harness.data.loader import ENDLESS
from harness.errors import RunFailed
from harness.interfaces.batch import Batch
from harness.interfaces.method import Method
from harness.interfaces.optimizer import OptimizerConfig, ScheduleConfig
from harness.models.blocks import compile_blocks, recompute
from harness.models.groups import freeze, trained
from harness.models.learners import learners, seen_in
from harness.models.load import Load, routers
from harness.models.model import Model
from harness.schema import TrainerConfig
from harness.training.gradients import clip
from harness.training.noise import keyed, seed_noise
from harness.training.strategies import Spread, spread
from harness.training.world import World

#: Looks at a step's loss and gradient norm before the update, (loop, loss, norm); true: the batch is left out.
Guard = Callable[["Loop", torch.Tensor, torch.Tensor], bool]

#: Batches left out one after the other, after which the trouble is not in batches. In float16 a loss scale comes from
#: its beginning down to nothing in 40.
MOST_LEFT_OUT = 50

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


def collected(collect: Callable[..., Batch], model: Model, batch: Batch, keys: list[int]) -> Batch:
    """A micro-batch of the method's own making, its chance keyed row by row; the model is as it was."""
    generators = [torch.Generator(model.device).manual_seed(key) for key in keys]
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            return collect(model, batch, generators)
    finally:
        model.train(was_training)


class Loop(LightningModule):
    """Model and method, trained by manual optimization, on this rank's share of every batch.

    Losses and gradient norms are kept as tensors, for `Recorder` to read now and then: reading one, or
    Lightning's `log`, costs more at every step than the rest of the loop.
    """

    def __init__(
        self,
        model: Model,
        method: Method,
        optimizer: OptimizerConfig,
        schedule: ScheduleConfig,
        batches: BatchesFrom,
        *,
        steps: int,
        noise_seed: int,
        trainer: TrainerConfig,
        world: World | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model, self.method, self.schedule, self.batches = model, method, schedule, batches
        self.steps, self.noise_seed, self.config, self.world = steps, noise_seed, trainer, world or World()
        self.optimizer: Any = None
        self._optimizer_config = optimizer
        self.trained: list[nn.Parameter] = []
        self.losses: list[torch.Tensor] = []
        self.norms: list[torch.Tensor] = []
        self.told: tuple[str, ...] = tuple(getattr(method, "told", ()))  #: terms that are no part of the loss
        self.figures: list[torch.Tensor] = []  #: of each step, what is told
        self.position = 0  #: the step of the stream that comes next; behind `global_step` lie those left out, too
        self.left_out: list[int] = []  #: steps of the stream that are not trained on
        self.scaler = torch.amp.GradScaler() if trainer.precision == "fp16" else None
        self.interrupted: Callable[[], bool] = lambda: False
        self.stop = False  #: whether a rank has been interrupted: known to all of them at the same step
        self.beside: Any = None  #: what is trained and saved alone, where there is an adapter: a `Beside`
        self.converted: Callable[[Path], None] | None = None  #: puts the quantized model into a checkpoint, too
        self.guards: list[Guard] = []
        self.stepped = False  #: whether the last batch was trained on
        self._in_a_row = 0  #: batches left out since one was trained on
        freeze(model, optimizer)
        self.learners = learners(model)
        self.routers = {name: router for name, router in routers(model).items() if name in self.learners}

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning names its current hook here some thirty times a step, and a module's own way is slow.
        if name == "_current_fx_name":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def configure_model(self) -> None:
        """Spreads the model over the devices; called once, when the processes know each other."""
        if isinstance(self.trainer.strategy, Spread):
            spread(self.model, self.device_mesh, self._per_block)
        else:
            self._per_block(self.model)

    def _per_block(self, model: nn.Module) -> None:
        recompute(model, self.config.activation_checkpointing)
        if self.config.compile:
            compile_blocks(model)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        chosen = trained(self.model, self._optimizer_config)
        self.trained = [one.parameter for one in chosen]
        self.optimizer = self._optimizer_config.build(chosen)
        if any("peak_lr" not in group for group in self.optimizer.param_groups):
            raise ConfigError(
                f"optimizer={self._optimizer_config.name} makes groups of parameters without peak_lr, the learning "
                "rate that the schedule multiplies. harness.models.groups.grouped makes groups that have it."
            )
        return self.optimizer

    def weights(self) -> dict[str, torch.Tensor]:
        """What a checkpoint holds of the model, by name."""
        found = self.model.state_dict(keep_vars=True)
        return found if self.beside is None else {name: found[name] for name in self.beside.names}

    def parameter_names(self) -> dict[int, str]:
        """The name of each parameter, by its identity in memory."""
        return {id(parameter): name for name, parameter in self.model.named_parameters()}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        scaler = self.scaler.state_dict() if self.scaler else None
        checkpoint["loop"] = {"position": self.position, "left_out": self.left_out, "loss_scale": scaler}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.position = checkpoint["loop"]["position"]
        self.left_out = sorted({*checkpoint["loop"]["left_out"], *self.left_out})
        if self.scaler and checkpoint["loop"]["loss_scale"]:
            self.scaler.load_state_dict(checkpoint["loop"]["loss_scale"])

    def train_dataloader(self) -> Steps:
        """Called after a checkpoint is restored, so that the stream goes on from there."""
        return Steps(self.batches(self.position))

    def transfer_batch_to_device(self, batch: Step, device: torch.device, dataloader_idx: int) -> Step:
        if device.type == "cpu":
            return batch
        return Step([micro_batch.to(device) for micro_batch in batch.micro_batches], batch.micro_batches)

    def training_step(self, batch: Step, batch_idx: int) -> None:
        self.position += 1
        self.stepped = self.position - 1 not in self.left_out
        if not self.stepped:
            return
        step, batch = self.trainer.global_step, self._collected(batch)
        counts = self._counts(batch.host)
        rows = sum(len(host.places_B) for host in batch.host) * self.world.data_size
        load = Load(self.routers)
        losses, figures = [], []
        for micro_batch, host in zip(batch.micro_batches, batch.host, strict=True):
            seed_noise(self.noise_seed, step, int(host.places_B[0]), self.device)
            with self.trainer.strategy.last_backward(host is batch.host[-1]):
                with load:  # the backward pass, which may compute blocks again, is left out
                    terms = self.model(self.method.losses, micro_batch)
                share = len(host.places_B) / rows
                parts = {n: term / counts[n] if n in counts else term * share for n, term in terms.items()}
                figures.append([parts.pop(name).detach().double() for name in self.told])
                first, *others = parts.values()
                loss = sum(others, first)
                self._backward(loss)
            losses.append(loss.detach())
        loss = sum(losses[1:], losses[0])
        if self.scaler:
            self.scaler.unscale_(self.optimizer)
        norm = clip(self.trained, self.config.gradient_clip)
        self.stepped = not self._is_left_out(loss, norm)
        if not self.stepped:
            self._leave_out()
            return
        self._in_a_row = 0
        self.losses.append(loss)
        self.norms.append(norm)
        if self.told:
            self.figures.append(torch.stack([torch.stack(of_one) for of_one in figures]).sum(0))
        self._update(step)
        loads = load.totals(self.world.total)
        for name, learner in self.learners.items():
            learner.learn(seen_in(self.method, batch.micro_batches, loads.get(name)))

    def _collected(self, batch: Step) -> Step:
        """What the method makes of it, where it makes its batches itself."""
        collect = getattr(self.method, "collect", None)
        if collect is None:
            return batch
        made = []
        for micro_batch, host in zip(batch.micro_batches, batch.host, strict=True):
            keys = [keyed(self.noise_seed, self.trainer.global_step, place) for place in host.places_B.tolist()]
            made.append(collected(collect, self.model, micro_batch, keys))
        return Step(made, [micro_batch.to("cpu") for micro_batch in made])

    def _counts(self, micro_batches: list[Batch]) -> dict[str, float]:
        """What each term is divided by: its count over the whole step, all ranks', before the first backward. A term
        that the method does not count (an auxiliary loss) is a mean over its rows already, and is averaged over all."""
        counted = [self.method.counts(micro_batch) for micro_batch in micro_batches]
        own = [sum(counts[name] for counts in counted) for name in counted[0]]
        *totals, stops = self.world.total([*own, float(self.interrupted())])
        self.stop = stops > 0
        return {name: total or 1.0 for name, total in zip(counted[0], totals, strict=True)}

    def _backward(self, loss: torch.Tensor) -> None:
        """Ranks are averaged by the strategies, and a sum over them is what is wanted."""
        loss = loss * self.world.data_size if self.world.data_size > 1 else loss
        self.manual_backward(self.scaler.scale(loss) if self.scaler else loss)

    def _is_left_out(self, loss: torch.Tensor, norm: torch.Tensor) -> bool:
        """Whether this batch is passed over: float16 has overflown, or a guard says so."""
        if self.scaler:
            self.scaler.update()
            if not torch.isfinite(norm):
                return True
        verdicts = [guard(self, loss, norm) for guard in self.guards]  # each one sees every step
        return any(verdicts)

    def _leave_out(self) -> None:
        self.left_out.append(self.position - 1)
        self.optimizer.zero_grad()
        self._in_a_row += 1
        if self._in_a_row == MOST_LEFT_OUT:
            raise RunFailed(
                f"After step {self.trainer.global_step}, {MOST_LEFT_OUT} batches in a row were left out: spikes, or "
                "not finite. The trouble is not in single batches: a lower optimizer.lr, a longer schedule.warmup or a "
                "larger watch.spike may help. The last checkpoint is kept."
            )

    def _update(self, step: int) -> None:
        factor = self.schedule.factor(step, self.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor
        optimizer: Any = self.optimizers()  # Lightning's wrapper: it counts the step
        optimizer.step()
        self.optimizer.zero_grad()
