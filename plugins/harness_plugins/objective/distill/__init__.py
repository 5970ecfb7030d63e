"""Distillation (Hinton et al. 2015): every token from those before it, and what another model makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness import hookimpl
from harness.config import option
from harness.interfaces.method import Method, ObjectiveConfig, Setting

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class DistillConfig(ObjectiveConfig):
    """Distillation (Hinton, Vinyals and Dean 2015): the predictions of `parents.teacher`, a run or a folder of
    transformers with the same tokenizer, are learned beside the text. The text's own loss is told as `clm`."""

    leans_on: ClassVar[tuple[str, ...]] = ("teacher",)
    taught_by: ClassVar[tuple[str, ...]] = ("teacher",)
    unit: ClassVar[str] = "nats per token, beside a teacher"

    temperature: float = option(
        2.0, "divides the logits of both before they are compared: the higher, the more unlikely tokens count",
        minimum=0.01, maximum=100,
    )  # fmt: skip
    weight: float = option(
        0.5, "share of the teacher's predictions in the loss; the rest is the text's", minimum=0, maximum=1
    )

    def build(self, setting: Setting) -> Method:
        from harness_plugins.objective.distill.distill import Distillation

        return Distillation(self, setting)


@hookimpl
def register_objective() -> dict[str, type]:
    return {"distill": DistillConfig}
