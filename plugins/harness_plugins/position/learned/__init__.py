"""Learned absolute positions (Gehring et al. 2017; GPT-2): one vector for each place, added to the embeddings."""

from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness.config import option
from harness.interfaces.parts import PositionConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class LearnedConfig(PositionConfig):
    length: int = option(1024, "places that have a vector, in tokens: the longest sequence", minimum=1)
    first: int = option(
        0, "row of the first place's vector; the rows before it are there and never used (RoBERTa: 2)",
        neutral=0, minimum=0,
    )  # fmt: skip

    def parameters(self, width: int, heads: int) -> int:
        return (self.first + self.length) * width

    def maximum_length(self) -> int:
        return self.length

    def build(self, width: int, heads: int, head_width: int) -> Any:
        from harness_plugins.position.learned.module import Learned

        return Learned(self.length, width, self.first)


@hookimpl
def register_position() -> dict[str, type]:
    return {"learned": LearnedConfig}
