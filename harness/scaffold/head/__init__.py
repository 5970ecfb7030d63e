"""Logits that are cosines of hidden states and tokens, so that no token is favoured by the length of its vector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness.config import option
from harness.interfaces.parts import HeadConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class MineConfig(HeadConfig):
    """A language model's head by cosines, with a table of its own."""

    sharpness: float = option(16.0, "what cosines are multiplied by", minimum=0.0)

    def names(self) -> frozenset[str]:
        """Methods ask for a head by what it gives: these are logits of the next token."""
        return frozenset({"language_model"})

    def parameters(self, width: int, vocabulary: int) -> int:
        return width * vocabulary

    def flops(self, width: int, vocabulary: int) -> int:
        return 2 * width * vocabulary

    def build(self, width: int, vocabulary: int, embedding_VC: Any) -> Any:
        from harness.scaffold.head.idea import MineHead

        return MineHead(width, vocabulary, self.sharpness)

    def build_all(self, width: int, vocabulary: int, embedding_VC: Any) -> dict[str, Any]:
        return {"language_model": self.build(width, vocabulary, embedding_VC)}


@hookimpl
def register_head() -> dict[str, type]:
    return {"mine": MineConfig}


@hookimpl
def config_folders() -> list[str]:
    return ["pkg://harness.scaffold.head.conf"]
