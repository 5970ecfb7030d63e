"""Gated convolutions over the last few places (Dauphin et al. 2017), as layers of a residual stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness import hookimpl
from harness.config import option, slot
from harness.interfaces.architecture import PartCount
from harness.models.recurrent import RecurrentConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class MineConfig(RecurrentConfig):
    """Gated convolutions: each layer sees the last few places, and all layers together as many times more."""

    defaults: list[Any] = field(
        default_factory=lambda: ["_self_", {"feedforward": "gated"}, {"norm": "rmsnorm"}, {"head": "language_model"}]
    )

    feedforward: Any = slot("feedforward", "what each place computes by itself")
    places: int = option(4, "places that a layer sees, its own included", minimum=2)

    def mixers(self, layer: int) -> Mapping[str, Any]:
        from harness.scaffold.architecture.idea import GatedConvolution

        return {"convolution": GatedConvolution(self.width, self.places)}

    def mixer_counts(self, sequence_length: int) -> list[PartCount]:
        """One matrix, from all places that are seen to values and gates."""
        size = self.places * self.width * 2 * self.width
        return [PartCount("convolution", size, 2 * size, size)]

    def layer_state_bytes(self, bytes_per_number: int) -> int:
        """The places before the next one."""
        return (self.places - 1) * self.width * bytes_per_number


@hookimpl
def register_architecture() -> dict[str, type]:
    return {"mine": MineConfig}


@hookimpl
def config_folders() -> list[str]:
    return ["pkg://harness.scaffold.architecture.conf"]
