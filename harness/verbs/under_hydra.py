"""A verb that takes a config, as a Hydra app: plainly composed, or by Hydra's own main for -m, --cfg and the like."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from harness.config import Config, ConfigError
from harness.verbs.arguments import flags

MANY = ("-m", "--multirun")
#: Words that Hydra itself must see.
HYDRA = (
    *MANY,
    "--cfg",
    "-c",
    "--info",
    "-i",
    "--resolve",
    "--package",
    "-p",
    "--hydra-help",
    "--shell-completion",
    "-sc",
)

#: Those that a word follows.
WITH_VALUE = ("--cfg", "-c", "--info", "-i", "--package", "-p")


def apart(words: list[str]) -> tuple[list[str], list[str]]:
    """Hydra's flags with the words that follow them, and the rest."""
    for_hydra: list[str] = []
    rest: list[str] = []
    for before, word in zip(["", *words], words, strict=False):
        (for_hydra if word in HYDRA or before in WITH_VALUE else rest).append(word)
    return for_hydra, rest


class Task:
    """What Hydra calls for each job: `act` on the typed config."""

    def __init__(self, name: str, act: Callable[[Any], object]) -> None:
        self.name, self.act = name, act

    def __call__(self, composed: Any) -> None:
        self.act(self.typed(composed))

    def typed(self, composed: Any) -> Config:
        from harness.composition import typed

        return typed(composed, self.name)

    def words(self, overrides: list[str]) -> list[str]:
        """Called by our launcher: of ``adapter=null,lora`` one job has adapter=null."""
        from harness.words import for_hydra

        return for_hydra(overrides)

    def check(self, composed: Any) -> None:
        """Called by our launcher for every job before the first is started. Raises UserError."""
        self.typed(composed)


def carry_out(words: list[str], task: Task) -> int:
    """Acts once, or lets Hydra act; returns the exit code."""
    from harness.composition import compose, typed

    if any(word in HYDRA for word in words):
        return _by_hydra(words, task)
    flags(words, [])
    task.act(typed(compose(words, task.name), task.name))
    return 0


def _by_hydra(words: list[str], task: Task) -> int:
    """Hydra's own main; its exceptions come to us whole, and end as ours do."""
    import hydra
    from hydra.errors import HydraException

    from harness.composition import compose, explain, prepare_hydra, typed
    from harness.plugins import config_folder
    from harness.words import for_hydra

    prepare_hydra()
    overrides = [word for word in words if "=" in word and not word.startswith("-")]
    if not any(word in MANY for word in words):
        typed(compose(overrides, task.name), task.name)
    first, rest = apart(words)  # Hydra's parser takes no flag between two overrides
    before, sys.argv = sys.argv, ["harness", *first, *for_hydra(rest)]
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=task.name)(task)()
    except HydraException as error:
        raise ConfigError(explain(error, overrides, task.name)) from error
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    finally:
        sys.argv = before
    return 0
