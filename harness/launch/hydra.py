"""Hydra's multirun on our process pool: what the launcher in `hydra_plugins` calls."""

from __future__ import annotations

import contextlib
import pickle
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.launch.local import Job, Pool
from harness.launch.machine import Machine, Needs


def launch(launcher: Any, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[Any]:
    """Composes every job first, then runs them side by side in forked processes.

    A task may offer ``words(overrides)``, what Hydra is to read for a job; ``check(config)`` and ``needs(config,
    machine)``, called for each job before the first is started; ``before_fork()``; ``watch()``, a context that gives
    what is called with the numbers of the running jobs; and ``done(results)``. Returns Hydra's JobReturn for each job,
    in order.
    """
    task, machine = launcher.task_function, Machine.here()
    configs = [_compose(launcher, list(o), initial_job_idx + i) for i, o in enumerate(job_overrides)]
    for config in configs:
        getattr(task, "check", lambda config: None)(config)
    needs = [getattr(task, "needs", lambda config, machine: Needs())(config, machine) for config in configs]
    getattr(task, "before_fork", lambda: None)()
    with tempfile.TemporaryDirectory(prefix="harness-") as folder:
        jobs = [_job(launcher, config, needs[i], Path(folder) / str(i)) for i, config in enumerate(configs)]
        with getattr(task, "watch", contextlib.nullcontext)() as tick:
            pool = Pool(launcher.workers, machine, launcher.pin, tick or (lambda names: None))
            ended = {outcome.name: outcome for outcome in pool.run(jobs)}
        results = [_returned(Path(folder) / str(i), ended[job.name].error) for i, job in enumerate(jobs)]
    getattr(task, "done", lambda results: None)(results)
    return results


def _compose(launcher: Any, overrides: list[str], index: int) -> Any:
    from omegaconf import open_dict

    overrides = getattr(launcher.task_function, "words", list)(overrides)
    config = launcher.hydra_context.config_loader.load_sweep_config(launcher.config, overrides)
    with open_dict(config):
        config.hydra.job.id = str(index)
        config.hydra.job.num = index
    return config


def _job(launcher: Any, config: Any, needs: Needs, file: Path) -> Job:
    from hydra.core.utils import run_job

    def work() -> None:
        with open(file.with_suffix(".out"), "w") as out, contextlib.redirect_stdout(out):
            result = run_job(
                task_function=launcher.task_function,
                config=config,
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
                hydra_context=launcher.hydra_context,
            )
        file.with_suffix(".pickle").write_bytes(pickle.dumps(result))

    return Job(name=str(config.hydra.job.num), work=work, log=file.with_suffix(".log"), needs=needs)


def _returned(file: Path, error: str) -> Any:
    """What the job's own process handed back through a private folder of this process."""
    from hydra.core.utils import JobReturn, JobStatus

    for written, stream in ((file.with_suffix(".out"), sys.stdout), (file.with_suffix(".log"), sys.stderr)):
        if written.exists():
            stream.write(written.read_text(errors="replace"))
    if file.with_suffix(".pickle").exists():
        return pickle.loads(file.with_suffix(".pickle").read_bytes())
    return JobReturn(status=JobStatus.FAILED, _return_value=RuntimeError(error))
