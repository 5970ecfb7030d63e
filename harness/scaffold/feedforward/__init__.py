"""The bilinear feedforward (Shazeer 2020, “GLU variants improve Transformer”): a product of two matrices' results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness.config import option
from harness.interfaces.parts import FeedforwardConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class MineConfig(FeedforwardConfig):
    """Bilinear: a gate without an activation."""

    multiple: int = option(3, "channels of the hidden layer, in widths", minimum=1)

    def hidden(self, width: int) -> int:
        return self.multiple * width

    def parameters(self, width: int) -> int:
        return 3 * width * self.hidden(width)

    def activations(self, width: int) -> int:
        """The input, gate and up, and their product."""
        return width + 3 * self.hidden(width)

    def products(self, width: int) -> int:
        """Gate and up, and the result."""
        return width + 2 * self.hidden(width)

    def divisible(self, width: int) -> int:
        return self.hidden(width)

    def build(self, width: int) -> Any:
        from harness.scaffold.feedforward.idea import MineFeedforward

        return MineFeedforward(width, self.hidden(width))


@hookimpl
def register_feedforward() -> dict[str, type]:
    return {"mine": MineConfig}


@hookimpl
def config_folders() -> list[str]:
    return ["pkg://harness.scaffold.feedforward.conf"]
