"""Trains one run, from wherever it stands to its end."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import plugins
from harness.causes import in_words
from harness.errors import UserError
from harness.files import is_whole
from harness.interfaces.tokenizer import vocabulary_with
from harness.lease import LeaseLost
from harness.rundir import RunDir
from harness.schema import RunConfig
from harness.stored import own_tokens, stored_config
from harness.training.interrupt import Interrupt
from harness.training.job import TrainingJob

if TYPE_CHECKING:
    from harness.models.model import Model

log = logging.getLogger(__name__)


def train(job: TrainingJob, run: RunDir, *, progress: bool = True) -> dict[str, Any]:
    """Trains a run to its end from its last whole checkpoint, or from what it continues; a finished run is not trained
    again.

    run: with its lease held, and its config.json there already. progress: whether to show it on stderr. Every rank of
    a run that is trained by several processes calls this; rank 0 writes.

    Returns the result, which the manifest keeps: train_loss (nats per token, mean of the last row of metrics),
    held_out_loss and held_out_stderr (nats per token; null without held-out sequences), held_out_tokens,
    steps, tokens (seen), seconds (of training), tokens_per_second, mfu, mfu_convention, peak_flops (FLOP/s),
    peak_source, model_bytes (of the file that it is loaded from). Of a run without a method, which is quantized and not
    trained: held_out_loss (null), steps (0), tokens (0), seconds, model_bytes.

    Raises Interrupted (a KeyboardInterrupt) after SIGTERM or SIGINT, with a checkpoint written; RunFailed where the
    loss is not finite; UserError where the machine has not what the config asks for.
    """
    from harness.training.parents import checkpoint
    from harness.training.quantized import model_bytes, quantize
    from harness.training.tracking import tracked
    from harness.training.world import Follower, World

    leads = World.here(job.config.trainer).leads
    run = run if leads else Follower(run.path, run.held)
    last = run.last_whole_checkpoint()
    if run.state() == "finished" and last and last[0] == run.manifest()["result"]["steps"]:
        return dict(run.manifest()["result"])
    run = tracked(job.config, run) if leads else run
    try:
        run.update_manifest(state="running", reason="")
        _tell(leads, "before_run", config=job.config, run=run)
        with Interrupt() as interrupt:
            if job.config.method is None:
                _begin(job, run)
                result = quantize(job, run)
            else:
                result = _train(job, run, last or checkpoint(job), progress and leads, interrupt, leads)
        if leads:
            result["model_bytes"] = model_bytes(run.checkpoint(result["steps"]))
        run.update_manifest(state="finished", result=result)
    except BaseException as error:
        state = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        with contextlib.suppress(OSError, LeaseLost):  # what came first is what is told
            run.update_manifest(state=state, reason=str(in_words(error) or error) or type(error).__name__)
        _tell(leads, "on_run_error", config=job.config, run=run, error=error)
        raise
    _tell(leads, "after_run", config=job.config, run=run)
    return result


def _tell(leads: bool, hook: str, **about: Any) -> None:
    if leads:
        plugins.load().call(hook, **about)


def _train(
    job: TrainingJob, run: RunDir, start: tuple[int, Path] | None, progress: bool, interrupt: Interrupt, leads: bool
) -> dict[str, Any]:
    from harness.training.checkpoints import forget_after
    from harness.training.device import device_of
    from harness.training.fit import fit
    from harness.training.held_out import evaluate
    from harness.training.parents import checkpoint
    from harness.training.peak import CONVENTION, Peak, peak
    from harness.training.progress import Progress
    from harness.training.quantized import converted, told
    from harness.training.watch.spikes import RolledBack, returned

    trainer = job.config.trainer
    device = device_of(trainer)
    step = start[0] if start else 0
    _say_what_is_damaged(run, step)
    forget_after(run, step)
    run.forget_metrics_after(step)
    _begin(job, run, leads)
    machine = peak(device, trainer.precision, trainer.threads) if leads else Peak(1.0, "asked by rank 0 alone")
    with Progress(run.id, job.steps, progress) as shown:
        resumed = f", on from step {step}" if step else ""
        grows = f" to {job.config.step_tokens}" if job.config.data.curriculum.batch_size else ""
        shown.say(f"{run.id}: {job.steps} steps of {job.tokens(1)}{grows} tokens{resumed}")
        for left_out_of in job.dataset.left_out():
            shown.say(left_out_of)
        convention = CONVENTION.format(passes=job.passes)
        shown.say(f"MFU is {convention} of {machine.flops:.3g} FLOP/s ({machine.source})")
        left_out: list[int] = []
        while True:
            try:
                loop = fit(job, run, start, device, machine, shown, interrupt, left_out)
                break
            except RolledBack as back:
                left_out.append(back.left_out)
                start = returned(run, start, back, len(left_out)) or checkpoint(job)
        model, coverage = loop.model, None
        if job.config.quantizer:
            model, coverage = converted(job.config, job.vocabulary, loop.model.state_dict())
        held_out = evaluate(model.to(device), loop.method, job, lambda: interrupt.check(loop.world))
    if not leads:
        return {}
    row = run.metrics()[-1]
    if coverage:
        run.update_manifest(quantization=told(coverage, run.checkpoint(row["step"])))
    rate = row["tokens"] / row["seconds"]
    return {
        "train_loss": row["loss"],
        **held_out,
        "steps": row["step"],
        "tokens": row["tokens"],
        "seconds": row["seconds"],
        "tokens_per_second": rate,
        "mfu": job.training_flops * rate / machine.flops,
        "mfu_convention": convention,
        "peak_flops": machine.flops,
        "peak_source": machine.source,
    }


def _begin(job: TrainingJob, run: RunDir, leads: bool = True) -> None:
    """Says what the bits depend on, and copies the tokenizer."""
    import torch

    from harness.training.fingerprint import fingerprint, followed

    torch.set_num_threads(job.config.trainer.threads)
    if not leads:
        return
    before = run.manifest().get("fingerprint", {})
    run.update_manifest(fingerprint=followed(before, fingerprint(job.config)))
    if not is_whole(run.path / "tokenizer"):
        with run.new_folder(run.path / "tokenizer") as folder:
            job.dataset.tokenizer.save(folder)


def _say_what_is_damaged(run: RunDir, start: int) -> None:
    for step, folder in run.checkpoints():
        if step > start:
            log.warning("%s is damaged or unfinished; the run goes on from step %d instead.", folder, start)


def load_model(run: RunDir, step: int | None = None, merge: bool = True) -> tuple[Model, RunConfig, Any]:
    """The model (in eval mode, on the CPU), the config and the tokenizer of a run at a checkpoint; null: its last.

    merge: whether an adapter is merged into the model that it stands beside, or stays beside it.

    Raises UserError where there is no such checkpoint, whole, or what it stands beside is not there.
    """
    from harness.training.adapters import load_beside
    from harness.training.checkpoints import read_weights
    from harness.training.quantized import read

    found = run.last_whole_checkpoint() if step is None else (step, run.checkpoint(step))
    if found is None or not is_whole(found[1]):
        whole = ", ".join(str(at) for at, folder in run.checkpoints() if is_whole(folder))
        wanted = "" if step is None else f" at step {step}"
        raise UserError(f"Run {run.id} has no whole checkpoint{wanted}. Whole are: {whole or 'none'}.")
    config = stored_config(run)
    tokenizer = config.tokenizer.load(run.path / "tokenizer")
    vocabulary = vocabulary_with(tokenizer.size, own_tokens(run))
    model: Model = config.architecture.build(config.architecture.vocabulary or vocabulary)
    if config.trainer.precision == "bf16-true":
        model.bfloat16()
    if config.quantizer:
        read(found[1], config.quantizer, model)
    elif config.adapter:
        load_beside(model, config.adapter, run, found[1], merge)
    else:
        model.load_state_dict(read_weights(found[1]))
    return model.eval(), config, tokenizer
