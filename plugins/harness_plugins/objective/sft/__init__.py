"""Supervised fine-tuning: the answers of conversations, given all that stands before them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness import hookimpl
from harness.config import option
from harness.interfaces.architecture import DECODER
from harness.interfaces.corpus import CONVERSATIONS
from harness.interfaces.method import EXAMPLES, PACKED, Method, ObjectiveConfig, Setting
from harness.interfaces.visibility import Causal, Condition, SameDocument

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class SftConfig(ObjectiveConfig):
    """Supervised fine-tuning: the answers of conversations, given all that stands before them."""

    reads: ClassVar[str] = CONVERSATIONS
    unit: ClassVar[str] = "nats per answer token"

    packing: bool = option(
        True, "whether several whole conversations stand in one sequence, each as if it were alone; no: one in each"
    )

    def cut(self) -> str:
        return PACKED if self.packing else EXAMPLES

    def asks(self, topology: str = DECODER) -> frozenset[type[Condition]]:
        return frozenset({Causal, SameDocument} if self.packing else {Causal})

    def build(self, setting: Setting) -> Method:
        from harness_plugins.objective.sft.sft import SupervisedFineTuning

        return SupervisedFineTuning(self.packing, setting.sequence_length, self.logits_chunk)


@hookimpl
def register_objective() -> dict[str, type]:
    return {"sft": SftConfig}
