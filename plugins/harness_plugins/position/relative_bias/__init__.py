"""T5's relative bias (Raffel et al. 2020, section 2.1): a learned number for each head and bucket of distances."""

from dataclasses import dataclass
from typing import Any, ClassVar

from harness import hookimpl
from harness.config import ConfigError, option
from harness.interfaces.parts import PositionConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class RelativeBiasConfig(PositionConfig):
    biased: ClassVar[bool] = True

    buckets: int = option(
        32, "buckets of distances; where places see ahead, half of them for each direction", minimum=4
    )
    longest: int = option(128, "the distance, in tokens, from which on all share the last bucket", minimum=2)

    def check(self) -> None:
        if self.buckets % 2:
            raise ConfigError(f"buckets={self.buckets} is odd: half of the buckets are for each direction.")
        if self.longest <= self.buckets // 2:
            raise ConfigError(
                f"longest={self.longest} is too small: the first {self.buckets // 2} distances have buckets of their "
                "own, and the other buckets share those up to the longest."
            )

    def parameters(self, width: int, heads: int) -> int:
        return self.buckets * heads

    def build(self, width: int, heads: int, head_width: int) -> Any:
        from harness_plugins.position.relative_bias.module import RelativeBias

        return RelativeBias(self.buckets, self.longest, heads)


@hookimpl
def register_position() -> dict[str, type]:
    return {"relative_bias": RelativeBiasConfig}
