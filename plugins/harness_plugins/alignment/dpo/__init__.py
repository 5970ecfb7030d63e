"""Direct preference optimisation (Rafailov et al. 2023, arXiv:2305.18290)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness import hookimpl
from harness.config import option
from harness.interfaces.corpus import PREFERENCES
from harness.interfaces.method import AlignmentConfig, Method, Setting

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class DpoConfig(AlignmentConfig):
    """Direct preference optimisation: better answers likelier than worse ones, measured against a reference."""

    reads: ClassVar[str] = PREFERENCES
    unit: ClassVar[str] = "nats per pair"
    leans_on: ClassVar[tuple[str, ...]] = ("reference",)

    beta: float = option(
        0.1, "how dear it is to leave the reference: a difference of 1/beta nats is a reward of one", minimum=0.0
    )
    label_smoothing: float = option(
        0.0, "share of pairs that are taken to be labelled the wrong way round (conservative DPO)", neutral=0.0,
        minimum=0.0, maximum=0.5,
    )  # fmt: skip
    logits_chunk: int | None = option(
        None, "tokens of answers whose logits are held at once; null: all of them", identity=False, minimum=1
    )

    def rows(self) -> int:
        return 2

    def build(self, setting: Setting) -> Method:
        from harness_plugins.alignment.dpo.dpo import DirectPreferenceOptimisation

        assert setting.log_probabilities is not None
        return DirectPreferenceOptimisation(
            self.beta,
            self.label_smoothing,
            setting.log_probabilities("reference"),
            setting.sequence_length,
            self.logits_chunk,
        )


@hookimpl
def register_alignment() -> dict[str, type]:
    return {"dpo": DpoConfig}
