"""No positions (Kazemnejad et al. 2023, "NoPE"): a causal mask alone tells places apart."""

from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness.interfaces.parts import PositionConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class NoneConfig(PositionConfig):
    def build(self, width: int, heads: int, head_width: int) -> Any:
        from harness.models.position import Position

        return Position()


@hookimpl
def register_position() -> dict[str, type]:
    return {"none": NoneConfig}
