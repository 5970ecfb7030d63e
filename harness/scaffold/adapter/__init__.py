"""A learned factor for each channel that a matrix makes (as in (IA)³, Liu et al. 2022)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness.interfaces.adapter import AdapterConfig, AdapterCounts

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class MineConfig(AdapterConfig):
    """Every Linear of the layers, and behind it a gain for each of its channels. No options."""

    def counts(self, model: Any) -> AdapterCounts:
        from harness.scaffold.adapter.idea import counts

        return counts(model)

    def adapt(self, model: Any) -> Collection[str]:
        from harness.scaffold.adapter.idea import adapt

        return adapt(model)

    def merge(self, model: Any) -> None:
        from harness.scaffold.adapter.idea import merge

        merge(model)


@hookimpl
def register_adapter() -> dict[str, type]:
    return {"mine": MineConfig}


@hookimpl
def config_folders() -> list[str]:
    return ["pkg://harness.scaffold.adapter.conf"]
