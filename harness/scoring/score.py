"""Checkpoints to score rows and samples, a ladder in one go."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from harness.data.cache import digest
from harness.errors import RunFailed, UserError
from harness.files import CHECKSUMS, checksum
from harness.interfaces.suite import HeldOut, SuiteConfig
from harness.registry import registry
from harness.rundir import RunDir
from harness.scoring.progress import Progress
from harness.stored import likelihood_of, own_tokens, stored_config

if TYPE_CHECKING:
    from harness.scoring.evaluate import Prepared

Row = dict[str, Any]


def score_runs(
    runs: Sequence[RunDir],
    suite: SuiteConfig,
    held_out: Sequence[HeldOut],
    *,
    checkpoint: int | None = None,
    workers: int = 1,
    quiet: bool = False,
) -> list[Row]:
    """Scores one checkpoint of each run and adds the rows and samples to the runs; returns the new rows.

    For runs that share a tokenizer, tasks are built and requests tokenised once. A checkpoint that this suite with
    these settings has scored already is left. held_out: of the runs' corpus, the same for all of them. checkpoint: a
    step; null: each run's last. workers: models scored side by side, in forked processes, where each has one thread;
    quiet: no progress.

    Raises UserError where a checkpoint is missing, or a task cannot be had or asked.
    """
    settings = settings_digest(suite)
    for run in runs:
        config = stored_config(run)
        if likelihood_of(run) is None or "language_model" not in config.architecture.heads():
            raise UserError(f"The model of run {run.id} gives no likelihoods: no suite can score it.")
        _refuse_what_was_trained_on(run, suite)
    missing = [found for found in (_checkpoint(run, checkpoint) for run in runs) if not _is_scored(found, settings)]
    by_tokenizer: dict[str, list[Checkpoint]] = {}
    for found in missing:
        by_tokenizer.setdefault(checksum(found.run.path / "tokenizer" / CHECKSUMS), []).append(found)
    rows: list[Row] = []
    with Progress(len(missing), quiet) as shown:
        for group in by_tokenizer.values():
            rows += _score_group(group, suite, held_out, settings, workers, shown)
    return rows


def _refuse_what_was_trained_on(run: RunDir, suite: SuiteConfig) -> None:
    """Every run of the chain must have held out what is asked. What an imported model was trained on is unknown."""
    for one in _chain(run):
        share = one.config()["data"]["held_out"]
        if share < suite.asks_of() and not one.manifest().get("imported"):
            raise UserError(
                f"suite={suite.name} asks what a share of {suite.asks_of()} holds out, and run {one.id} was trained "
                f"with data.held_out={share}: it may have learned the answers. Say suite.held_out={share}."
            )


def _chain(run: RunDir) -> Iterator[RunDir]:
    """A run and those that it comes from, as far as they lie beside it."""
    yield run
    for parent in run.manifest().get("identity", {}).get("parents", {}).values():
        if (one := RunDir(run.path.parent / parent.partition("@")[0])).exists():
            yield from _chain(one)


@dataclass(frozen=True)
class Checkpoint:
    run: RunDir
    step: int

    def bytes(self) -> int:
        return sum(file.stat().st_size for file in self.run.checkpoint(self.step).glob("model*"))


def settings_digest(suite: SuiteConfig) -> str:
    """A hash of all that determines a suite's questions but the run itself."""
    settings = [suite.fingerprint(), suite.results_version, version("lm_eval")]
    return digest(settings)[:12]


def _checkpoint(run: RunDir, step: int | None) -> Checkpoint:
    found = run.result_step() if step is None else step
    if found is None or not run.checkpoint(found).is_dir():
        steps = ", ".join(str(at) for at, _ in run.checkpoints()) or "none"
        wanted = "" if step is None else f" at step {step}"
        raise UserError(f"Run {run.id} has no checkpoint{wanted} to score; it has {steps}.")
    return Checkpoint(run, found)


def _is_scored(checkpoint: Checkpoint, settings: str) -> bool:
    """Whether all rows are there that were written together; another suite's may have taken the place of some."""
    rows = [r for r in checkpoint.run.scores() if r["checkpoint"] == checkpoint.step and r.get("settings") == settings]
    return bool(rows) and len(rows) == rows[0].get("together")


def _score_group(
    group: Sequence[Checkpoint],
    suite: SuiteConfig,
    held_out: Sequence[HeldOut],
    settings: str,
    workers: int,
    shown: Progress,
) -> list[Row]:
    import torch

    from harness.scoring.evaluate import Prepared

    config = stored_config(group[0].run)
    threads = [_threads(checkpoint.run) for checkpoint in group]
    tokenizer = config.tokenizer.load(group[0].run.path / "tokenizer")
    shown.say(f"suite {suite.name}: making the tasks")
    prepared = Prepared(suite.build(held_out, tokenizer), tokenizer, suite.limit)
    if not prepared.tasks:
        raise UserError(f"suite={suite.name} has no task to ask: the corpus holds nothing out that it could use.")
    device = "cuda" if config.trainer.accelerator != "cpu" and torch.cuda.is_available() else "cpu"
    # Neither CUDA nor PyTorch's threads survive a fork.
    workers = 1 if device == "cuda" or max(threads) > 1 else min(workers, len(group))
    work = functools.partial(_score_one, prepared, suite.name, settings, device)
    largest_first = sorted(group, key=lambda checkpoint: -checkpoint.bytes())
    rows: list[Row] = []
    for checkpoint, new in _each(work, largest_first, workers, shown, prepared.requests()):
        rows += new
        shown.finished(checkpoint.run.id)
    return rows


def _threads(run: RunDir) -> int:
    """As many as the run was trained with: the bits of its scores depend on them, and must not on the machine."""
    return int(run.config()["trainer"]["threads"])


#: What a forked worker does; set before the fork, so that nothing of it is pickled.
_work: Callable[..., list[Row]] | None = None


def _each(
    work: Callable[..., list[Row]], checkpoints: Sequence[Checkpoint], workers: int, shown: Progress, requests: int
) -> Iterator[tuple[Checkpoint, list[Row]]]:
    global _work
    if workers <= 1:
        for checkpoint in checkpoints:
            yield checkpoint, work(checkpoint, lambda answered: shown.advance(answered / requests))
        return
    _work = work
    try:
        with ProcessPoolExecutor(workers, multiprocessing.get_context("fork"), _prepare_worker) as pool:
            jobs = {pool.submit(_in_worker, checkpoint): checkpoint for checkpoint in checkpoints}
            try:
                for job in as_completed(jobs):
                    yield jobs[job], job.result()
            except BrokenProcessPool:
                raise RunFailed(
                    "A scoring process was killed (out of memory?). Score again with fewer workers."
                ) from None
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
    finally:
        _work = None


def _prepare_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the parent's to handle
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the tokenizer's threads did not survive the fork


def _in_worker(checkpoint: Checkpoint) -> list[Row]:
    assert _work is not None
    return _work(checkpoint, None)


def _score_one(
    prepared: Prepared,
    suite: str,
    settings: str,
    device: str,
    checkpoint: Checkpoint,
    progress: Callable[[int], None] | None,
) -> list[Row]:
    import torch

    from harness.scoring.model import LanguageModel
    from harness.scoring.samples import write_samples
    from harness.training.train import load_model

    run, step = checkpoint.run, checkpoint.step
    torch.set_num_threads(_threads(run))
    model, config, _ = load_model(run, step)
    likelihood = likelihood_of(run)
    kind = registry().get("likelihood", str(likelihood))(name=likelihood)
    length = min(config.data.sequence_length, model.maximum_length or config.data.sequence_length)
    asked = LanguageModel(
        model.to(device), prepared.encoder, length, progress=progress, likelihood=kind, extra=own_tokens(run)
    )
    scored = prepared.evaluate(asked)
    for task, samples in scored.samples.items():
        write_samples(run, suite, task, step, samples)
    rows = [
        {
            "run": run.id,
            "checkpoint": step,
            "suite": suite,
            "task": value.task,
            "metric": value.metric,
            "value": value.value,
            "stderr": value.stderr,
            "n": value.n,
            "likelihood": likelihood,
            "settings": settings,
            "together": len(scored.values),
        }
        for value in scored.values
    ]
    run.add_scores(rows)
    return rows
