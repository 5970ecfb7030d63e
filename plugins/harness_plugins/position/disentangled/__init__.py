"""DeBERTa's positions (He et al. 2021): a vector for each bucket of distances, which attention projects as it does
contents."""

from dataclasses import dataclass
from typing import Any, ClassVar

from harness import hookimpl
from harness.config import ConfigError, option, slot
from harness.interfaces.parts import PositionConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class DisentangledConfig(PositionConfig):
    disentangled: ClassVar[bool] = True

    buckets: int | None = option(
        256, "buckets of distances each way: half of them hold one distance each, the others' sizes grow up to the "
        "longest (DeBERTa-v2); null: each distance up to the longest has a vector (DeBERTa)", minimum=2,
    )  # fmt: skip
    longest: int = option(512, "the distance, in tokens, from which on all share the last vector", minimum=2)
    norm: Any = slot("norm", "of the vectors before attention projects them; null: none", optional=True)

    def check(self) -> None:
        if self.buckets is None:
            return
        if self.buckets % 2:
            raise ConfigError(f"buckets={self.buckets} is odd: half of the buckets hold one distance each.")
        if self.longest <= self.buckets // 2 + 1:
            raise ConfigError(
                f"longest={self.longest} is too small: the first {self.buckets // 2} distances have buckets of their "
                "own, and the other buckets share those up to the longest."
            )

    @property
    def rows(self) -> int:
        """Vectors in its table, half of them for each direction."""
        return 2 * (self.longest if self.buckets is None else self.buckets)

    def parameters(self, width: int, heads: int) -> int:
        return self.rows * width

    def norm_parameters(self, width: int) -> int:
        return 0 if self.norm is None else self.norm.parameters(width)

    def build(self, width: int, heads: int, head_width: int) -> Any:
        from harness_plugins.position.disentangled.module import Disentangled

        return Disentangled(self, width)


@hookimpl
def register_position() -> dict[str, type]:
    return {"disentangled": DisentangledConfig}
