"""RWKV-4 (Peng et al. 2023): weighted means over what was before, each channel with its own decay, and token shift."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from harness import hookimpl
from harness.config import option
from harness.interfaces.architecture import PartCount
from harness.models.recurrent import RecurrentConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class RWKVConfig(RecurrentConfig):
    """As it stands, a small one. Each layer mixes over time and then over channels; both see the place before."""

    #: Small embeddings, normed (Peng et al. 2023, section 3.4).
    embedding_norm: ClassVar[bool] = True
    embedding_std: ClassVar[float | None] = 1e-4

    defaults: list[Any] = field(
        default_factory=lambda: ["_self_", {"norm": "layernorm"}, {"head": "language_model"}],
    )

    hidden: int | None = option(None, "channels of channel mixing's hidden layer; null: 4 × width", minimum=1)

    def hidden_width(self) -> int:
        return self.hidden or 4 * self.width

    def computes(self) -> dict[str, Any]:
        return {**super().computes(), "hidden": self.hidden_width()}

    def mixers(self, layer: int) -> Mapping[str, Any]:
        from harness_plugins.architecture.rwkv.mixers import ChannelMix, TimeMix

        depth = layer / max(1, self.layers - 1)
        return {
            "time_mix": TimeMix(self.width, depth, layer / self.layers),
            "channel_mix": ChannelMix(self.width, self.hidden_width(), layer / self.layers),
        }

    def mixer_counts(self, sequence_length: int) -> list[PartCount]:
        """The recurrence has no matrix products."""
        width, hidden = self.width, self.hidden_width()
        time, channel = 4 * width**2, 2 * width * hidden + width**2
        return [
            PartCount("time_mix", time + 5 * width, 2 * time, time + 5 * width),
            PartCount("channel_mix", channel + 2 * width, 2 * channel, channel + 2 * width),
        ]

    def layer_state_bytes(self, bytes_per_number: int) -> int:
        """The place before, twice, and in float32 numerator, denominator and largest exponent."""
        return self.width * (2 * bytes_per_number + 3 * 4)


@hookimpl
def register_architecture() -> dict[str, type]:
    return {"rwkv": RWKVConfig}


@hookimpl
def config_folders() -> list[str]:
    return ["pkg://harness_plugins.architecture.rwkv.conf"]
