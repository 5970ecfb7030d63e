"""Several tokens ahead (Gloeckle et al. 2024): every token, and those that follow it, from those before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness import hookimpl
from harness.interfaces.method import Method, ObjectiveConfig, Setting

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class MtpConfig(ObjectiveConfig):
    """Several tokens ahead: as many as architecture.head.offsets says. The first is the language model that is scored
    and generates; its loss is told as `clm`."""

    head: ClassVar[str] = "mtp"
    unit: ClassVar[str] = "nats of all offsets per token"

    def writes(self) -> bool:
        return True

    def build(self, setting: Setting) -> Method:
        from harness_plugins.objective.mtp.mtp import SeveralTokensAhead

        return SeveralTokensAhead(setting.attend_across_documents, self.logits_chunk)


@hookimpl
def register_objective() -> dict[str, type]:
    return {"mtp": MtpConfig}
