"""Fill in the middle: a piece of a text from what stands before and behind it, by a causal model."""

from __future__ import annotations

from dataclasses import dataclass

from harness import hookimpl
from harness.config import option
from harness.interfaces.method import Method, ObjectiveConfig, Setting

HARNESS_INTERFACE = 1

#: What stands before the prefix, the suffix and the middle.
PREFIX, SUFFIX, MIDDLE = "<PRE>", "<SUF>", "<MID>"


@dataclass(kw_only=True)
class FimConfig(ObjectiveConfig):
    """Fill in the middle (Bavarian et al. 2022): causal language modelling of documents, a share of which is written in
    another order, cut in three between any tokens. The others stay plain, and as these the model is scored."""

    rate: float = option(
        0.5, "share of the documents that are cut; at 1 the model is scored in a form that it has not learned",
        minimum=0.0, maximum=1.0,
    )  # fmt: skip
    spm: float = option(
        0.5, "share of the cut ones in which the suffix comes before prefix and middle (SPM); in the others, between "
        "them (PSM)", minimum=0.0, maximum=1.0,
    )  # fmt: skip

    def extra_tokens(self) -> tuple[str, ...]:
        return (PREFIX, SUFFIX, MIDDLE)

    def build(self, setting: Setting) -> Method:
        from harness_plugins.objective.fim.fim import FillInTheMiddle

        return FillInTheMiddle(self, setting)


@hookimpl
def register_objective() -> dict[str, type]:
    return {"fim": FimConfig}
