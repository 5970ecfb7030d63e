"""Places told by the logarithm of their number: near ones are far apart, far ones close together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness.config import option
from harness.interfaces.parts import PositionConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class MineConfig(PositionConfig):
    """One learned vector, added to the embedding of place t as often as log(1 + t / scale) says."""

    scale: float = option(1.0, "places after which the logarithm sets in", minimum=0.01)

    def parameters(self, width: int, heads: int) -> int:
        return width

    def build(self, width: int, heads: int, head_width: int) -> Any:
        from harness.scaffold.position.idea import MinePosition

        return MinePosition(width, self.scale)


@hookimpl
def register_position() -> dict[str, type]:
    return {"mine": MineConfig}


@hookimpl
def config_folders() -> list[str]:
    return ["pkg://harness.scaffold.position.conf"]
