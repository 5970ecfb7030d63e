"""Lightning's Trainer, set up so that a run that is killed at any instant goes on bit for bit."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.plugins.environments import LightningEnvironment, TorchElasticEnvironment
from lightning.pytorch.plugins.precision import HalfPrecision, MixedPrecision, Precision
from lightning.pytorch.profilers import Profiler

from harness import plugins
from harness.data.curriculum import stages
from harness.data.loader import Rows, loader
from harness.interfaces.batch import Batch
from harness.rundir import RunDir
from harness.schema import TrainerConfig
from harness.training.adapters import add, check_base
from harness.training.checkpoints import Storage, due, forget_oldest
from harness.training.interrupt import Interrupt
from harness.training.job import TrainingJob
from harness.training.loop import Loop
from harness.training.parents import setting, start_from
from harness.training.peak import Peak
from harness.training.progress import Progress
from harness.training.quantized import write_converted
from harness.training.recorder import Recorder
from harness.training.strategies import InFolders, strategy
from harness.training.watch import watchers
from harness.training.world import World


class Unprofiled(Profiler):
    """Measures nothing, at no cost: Lightning's own makes a generator for each of the forty hooks of a step."""

    _nothing = contextlib.nullcontext()

    def profile(self, action_name: str) -> Any:
        return self._nothing

    def start(self, action_name: str) -> None: ...

    def stop(self, action_name: str) -> None: ...


class Saver(Callback):
    """Writes a checkpoint where one is due and where the run is asked to stop."""

    def __init__(self, job: TrainingJob, run: RunDir, recorder: Recorder, interrupt: Interrupt) -> None:
        self.config, self.steps = job.config.trainer, job.steps
        self.run, self.recorder, self.interrupt = run, recorder, interrupt

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        step = trainer.global_step
        self.run.at_step(step)
        stop = pl_module.stop if pl_module.world.size > 1 else self.interrupt.heard is not None
        if stop or (pl_module.stepped and due(step, pl_module.steps, self.config.checkpoints)):
            self.recorder.read(pl_module, step)  # weights after a loss that is not finite are not worth keeping
            trainer.save_checkpoint(self.run.checkpoint(step))
            forget_oldest(self.run, self.steps, self.config.checkpoints, self.config.keep)
        if stop:
            trainer.should_stop = True


def fit(
    job: TrainingJob,
    run: RunDir,
    start: tuple[int, Path] | None,
    device: torch.device,
    machine: Peak,
    shown: Progress,
    interrupt: Interrupt,
    left_out: Sequence[int] = (),
) -> Loop:
    """Trains from a checkpoint, given by its step and folder (None: from the beginning), to the last step; steps of
    the stream may be passed over. Raises Interrupted, and RolledBack where the config asks for it."""
    config, world = job.config.trainer, World.here(job.config.trainer)

    def told(done: int, total: int) -> None:
        interrupt.check()
        shown.count("log-probabilities of answers under its parent", done, total)

    loop = build_loop(job, world, begins=start is None, told=told)
    loop.interrupted = lambda: interrupt.heard is not None
    shown.told = loop.told
    loop.left_out = list(left_out)
    if start and loop.beside:
        check_base(start[1], loop.beside)
    run.at_step(start[0] if start else 0)
    recorder = Recorder(job, run, shown, machine)
    saver = Saver(job, run, recorder, interrupt)
    callbacks: list[Callback] = [*plugins.load().call("register_callbacks", config=job.config, run=run)]
    callbacks += [*watchers(job, run, recorder), recorder, saver]
    with _quiet():
        chosen = strategy(config, world, device, Storage(run, world))
        trainer = _trainer(config, device, job.steps, callbacks, chosen, world)
        try:
            trainer.fit(loop, ckpt_path=str(start[1]) if start else None)
        except SystemExit:  # Lightning's own answer to the KeyboardInterrupt of a second SIGINT
            interrupt.check()
            raise
    interrupt.check(world)
    return loop


def build_loop(
    job: TrainingJob,
    world: World | None = None,
    begins: bool = False,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> Loop:
    """The model, initialised on the CPU from its seed, and all that trains this rank's part of it. begins: whether it
    takes the weights of the run's `init`; what an adapter stands beside always does, since checkpoints do not hold it.
    told: called while parents are asked for what they make of the data, with how much of it is done.
    """
    world = world or World()
    config = job.config
    init, data, noise = job.seeds
    torch.manual_seed(init)
    model = config.architecture.build(job.vocabulary)
    anew = start_from(job, model) if begins or config.adapter else []
    beside = add(job, model, anew) if config.adapter else None
    if config.quantizer:
        config.quantizer.prepare(model)
    method = config.method.build(setting(job, told))
    staged = stages(config.data, job.steps)
    stream = job.dataset.stream(data, staged)
    shared = (config.trainer.micro_batch, world.data_rank, world.data_size)
    rows = Rows(config.data.batch_size, *shared, staged)

    def batches(step: int) -> Iterable[list[Batch]]:
        return loader(stream, method, rows, step, config.data.workers, job.steps)

    loop = Loop(
        model, method, config.optimizer, config.schedule, batches,
        steps=job.steps, noise_seed=noise, trainer=config.trainer, world=world,
    )  # fmt: skip
    loop.beside = beside
    if config.quantizer:
        loop.converted = lambda folder: write_converted(job, model, folder)
    return loop


def _trainer(
    config: TrainerConfig,
    device: torch.device,
    steps: int,
    callbacks: list[Callback],
    chosen: InFolders,
    world: World,
) -> Trainer:
    # Filling memory that is about to be overwritten helps find bugs and costs time at every step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    trainer = Trainer(
        accelerator="cpu" if device.type == "cpu" else "gpu",
        devices=world.size,
        strategy=chosen,
        max_epochs=-1,
        max_steps=steps,
        callbacks=callbacks,
        # Never Slurm's environment: requeueing has one owner, and it is not Lightning.
        plugins=[_precision(config, device), TorchElasticEnvironment() if world.size > 1 else LightningEnvironment()],
        deterministic=config.deterministic,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        profiler=Unprofiled(),
        use_distributed_sampler=False,
    )
    # At SIGTERM Lightning would broadcast out of the signal's handler, in the midst of whatever the ranks exchange, and
    # it asks all ranks at every step, which a GPU has to be waited for. Signals are `Interrupt`'s, and the loop's.
    trainer._signal_connector.register_signal_handlers = lambda: None
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None
    # It would look up the signature of `training_step` at every step.
    trainer.fit_loop.epoch_loop._build_kwargs = lambda kwargs, batch, batch_idx: {
        "batch": batch,
        "batch_idx": batch_idx,
    }
    return trainer


def _precision(config: TrainerConfig, device: torch.device) -> Precision:
    if config.precision == "bf16-true":
        return HalfPrecision("bf16-true")
    if config.precision == "fp32":
        return Precision()
    if config.precision == "bf16":
        return MixedPrecision("bf16-mixed", device.type)
    scaled_by_the_loop = MixedPrecision("16-mixed", device.type)
    scaled_by_the_loop.scaler = None
    return scaled_by_the_loop


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Lightning's advice about loaders and devices is not for our users."""
    loggers = [logging.getLogger(f"lightning.{part}") for part in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
