"""``hydra/launcher=local``: Hydra finds launchers only in this namespace; `harness.launch.hydra` does the work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.launcher import Launcher


class LocalLauncher(Launcher):
    """Jobs side by side on this machine, one forked process each. workers: at most so many; null: as many as there
    are cores or GPUs for. pin: whether each keeps to cores of its own."""

    def __init__(self, workers: int | None = None, pin: bool = True) -> None:
        self.workers, self.pin = workers, pin

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        self.config, self.hydra_context, self.task_function = config, hydra_context, task_function

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[Any]:
        from harness.launch.hydra import launch

        return launch(self, job_overrides, initial_job_idx)


node = {"_target_": "hydra_plugins.harness_launcher.LocalLauncher", "workers": None, "pin": True}
ConfigStore.instance().store(group="hydra/launcher", name="local", node=node, provider="harness-lm")
