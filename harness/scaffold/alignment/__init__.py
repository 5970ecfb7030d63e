"""Simple preference optimisation (Meng et al. 2024, arXiv:2405.14734)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness import hookimpl
from harness.config import option
from harness.interfaces.corpus import PREFERENCES
from harness.interfaces.method import AlignmentConfig, Method, Setting

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class MineConfig(AlignmentConfig):
    """Simple preference optimisation: each token of the better answer likelier than each of the worse one's, by a
    margin, without a reference."""

    reads: ClassVar[str] = PREFERENCES
    unit: ClassVar[str] = "nats per pair"  # what its loss is told in

    beta: float = option(2.0, "what the mean log-probability of a token, in nats, is multiplied by", minimum=0.0)
    gamma: float = option(1.0, "the margin that the better answer's reward must lead by", minimum=0.0)

    def rows(self) -> int:
        """Of each pair the model sees two rows: tokens, FLOPs and memory are counted so."""
        return 2

    def build(self, setting: Setting) -> Method:
        from harness.scaffold.alignment.idea import MineAlignment

        return MineAlignment(self.beta, self.gamma, setting.sequence_length)


@hookimpl
def register_alignment() -> dict[str, type]:
    return {"mine": MineConfig}


@hookimpl
def config_folders() -> list[str]:
    return ["pkg://harness.scaffold.alignment.conf"]
