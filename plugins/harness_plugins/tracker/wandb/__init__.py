"""Weights & Biases."""

from __future__ import annotations

import netrc
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

from harness import hookimpl
from harness.config import option
from harness.errors import UserError
from harness.interfaces.tracker import Tracker, TrackerConfig

if TYPE_CHECKING:
    from harness.rundir import RunDir

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class WandbConfig(TrackerConfig):
    """Weights & Biases, online or offline. A run has there the id that it has here, so that it goes on after a stop."""

    project: str = option("harness", "W&B's project")
    entity: str | None = option(None, "W&B's user or team; null: the one that is logged in")
    group: str | None = option(None, "W&B's group of runs, such as a study; null: none")
    mode: str | None = option(
        None, "online, or offline: into runs/<id>/wandb; null: what WANDB_MODE says, else online",
        choices=(None, "online", "offline"),
    )  # fmt: skip
    patience: float = option(
        60.0, "seconds that a run waits for W&B at its start and, to send what is left, at its end", minimum=1.0
    )

    @property
    def chosen_mode(self) -> str:
        return self.mode or os.environ.get("WANDB_MODE") or "online"

    def require(self) -> None:
        self.require_package("wandb")
        if self.chosen_mode == "online" and not _has_key():
            raise UserError(
                "tracker=wandb finds no API key: run `wandb login`, set WANDB_API_KEY, or say tracker.mode=offline and "
                "`harness sync` later."
            )

    def build(self, run: RunDir, config: Mapping[str, Any]) -> Tracker:
        from harness_plugins.tracker.wandb.tracker import Wandb

        return Wandb(self, run, config)


def _has_key() -> bool:
    """Whether W&B would find one without asking: in the environment, or where `wandb login` puts it."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


@hookimpl
def register_tracker() -> dict[str, type]:
    return {"wandb": WandbConfig}
