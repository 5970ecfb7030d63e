"""Whether a model counts up rather than down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness.config import option
from harness.interfaces.suite import HeldOut, SuiteConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class MineConfig(SuiteConfig):
    """One task of two choices: the number that goes on, or the one that was there before."""

    items: int = option(100, "items of the task", minimum=1)

    def build(self, held_out: Sequence[HeldOut], tokenizer: Any) -> dict[str, Any]:
        """lm-eval's task objects by name."""
        from harness.scaffold.suite.idea import Counting

        return {"mine": Counting("mine", self.items)}


@hookimpl
def register_suite() -> dict[str, type]:
    return {"mine": MineConfig}


@hookimpl
def config_folders() -> list[str]:
    return ["pkg://harness.scaffold.suite.conf"]
