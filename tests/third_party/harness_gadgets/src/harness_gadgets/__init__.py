"""A stranger's plugins in one small package: an attention, an objective, an alignment, a suite, presets and a task
folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from harness import hookimpl
from harness.config import option
from harness.interfaces.corpus import PREFERENCES
from harness.interfaces.method import AlignmentConfig, ObjectiveConfig, Setting
from harness.interfaces.parts import AttentionConfig
from harness.interfaces.suite import HeldOut, SuiteConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class MeanAttention(AttentionConfig):
    """Every place sees the mean of those before it; the simplest mixing there is."""

    heads: int = option(1, "accepted so that a ladder can set it; a mean has no heads", minimum=1)
    gain: float = option(1.0, "what the mean is multiplied by")

    def head_width(self, width: int) -> int:
        return width

    def parameters(self, width: int) -> int:
        return width * width

    def flops(self, width: int, sequence_length: int) -> int:
        return 2 * width * width

    def build(self, width: int, position: Any) -> Any:
        from harness_gadgets.modules import Mean

        return Mean(width, self.gain)


@dataclass(kw_only=True)
class SkipObjective(ObjectiveConfig):
    """Foretells the token after the next one."""

    distance: int = option(2, "how far ahead, in tokens", minimum=1)

    def build(self, setting: Setting) -> Any:
        from harness_gadgets.modules import Skip

        return Skip(self.distance)


@dataclass(kw_only=True)
class SimpoAlignment(AlignmentConfig):
    """Simple preference optimisation: each token of the better answer likelier than each of the worse one's, by a
    margin, without a reference (Meng et al. 2024, arXiv:2405.14734)."""

    reads: ClassVar[str] = PREFERENCES
    unit: ClassVar[str] = "nats per pair"

    beta: float = option(2.0, "what the mean log-probability of a token, in nats, is multiplied by", minimum=0.0)
    gamma: float = option(1.0, "the margin that the better answer's reward must lead by", minimum=0.0)

    def rows(self) -> int:
        return 2

    def build(self, setting: Setting) -> Any:
        from harness_gadgets.modules import Simpo

        return Simpo(self.beta, self.gamma, setting.sequence_length)


@dataclass(kw_only=True)
class CountingSuite(SuiteConfig):
    """Whether the model prefers counting up to counting down."""

    items: int = option(4, "items of the one task", minimum=1)

    def build(self, held_out: Sequence[HeldOut], tokenizer: Any) -> dict[str, Any]:
        from harness_gadgets.modules import counting_task

        return {"counting": counting_task(self.items)}


@hookimpl
def register_attention() -> dict[str, type]:
    return {"mean": MeanAttention}


@hookimpl
def register_objective() -> dict[str, type]:
    return {"skip": SkipObjective}


@hookimpl
def register_alignment() -> dict[str, type]:
    return {"simpo": SimpoAlignment}


@hookimpl
def register_suite() -> dict[str, type]:
    return {"counting": CountingSuite}


@hookimpl
def config_folders() -> list[str]:
    return ["pkg://harness_gadgets.conf"]


@hookimpl
def task_folders() -> list[str]:
    return [str(Path(__file__).parent / "tasks")]
