"""ALiBi (Press et al. 2022): scores fall linearly with distance, in each head by a slope of its own."""

from dataclasses import dataclass
from typing import Any, ClassVar

from harness import hookimpl
from harness.interfaces.parts import PositionConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class AlibiConfig(PositionConfig):
    biased: ClassVar[bool] = True

    def build(self, width: int, heads: int, head_width: int) -> Any:
        from harness_plugins.position.alibi.module import Alibi

        return Alibi(heads)


@hookimpl
def register_position() -> dict[str, type]:
    return {"alibi": AlibiConfig}
