"""Gated linear attention (Yang et al. 2024): linear attention whose memory decays by what each place says, channel by
channel of the keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from harness import hookimpl
from harness.config import ConfigError, option, slot
from harness.interfaces.architecture import PartCount
from harness.models.recurrent import KERNELS, RecurrentConfig, recurrence_flops

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class GLAConfig(RecurrentConfig):
    """As it stands, a small one of the paper's (section 4.4): each layer has a mixer and a feedforward."""

    kernels: ClassVar[tuple[str, ...]] = KERNELS

    defaults: list[Any] = field(
        default_factory=lambda: [
            "_self_",
            {"feedforward": "gated"},
            {"norm": "rmsnorm"},
            {"head": "language_model"},
        ]
    )

    feedforward: Any = slot("feedforward", "what each place computes by itself")
    attention_heads: int = option(4, "heads", minimum=1)
    expand_keys: float = option(0.5, "channels of keys and queries of all heads, in widths", minimum=0.0)
    expand_values: float = option(1.0, "channels of values of all heads, in widths", minimum=0.0)
    decay_rank: int = option(16, "channels that decays are made from", minimum=1)
    decay_temperature: float = option(16.0, "decays are sigmoids to the power of 1 / decay_temperature", minimum=1.0)
    chunk: int = option(16, "places that are compared two by two; the state is handed on between chunks", minimum=1)

    def check(self) -> None:
        for name, channels in (("expand_keys", self.keys), ("expand_values", self.values)):
            if channels < 1 or channels % self.attention_heads:
                raise ConfigError(
                    f"attention_heads={self.attention_heads} does not divide the {channels} channels that "
                    f"{name} × width gives."
                )

    @property
    def keys(self) -> int:
        """Channels of the keys, of all heads."""
        return int(self.expand_keys * self.width)

    @property
    def values(self) -> int:
        """Channels of the values, of all heads."""
        return int(self.expand_values * self.width)

    def mixers(self, layer: int) -> Mapping[str, Any]:
        from harness_plugins.architecture.gla.mixer import Mixer

        return {"mixer": Mixer(self)}

    def mixer_counts(self, sequence_length: int) -> list[PartCount]:
        heads, width = self.attention_heads, self.width
        decays = self.decay_rank * (width + self.keys)
        matrices = width * (2 * self.keys + 3 * self.values) + decays
        size = matrices + self.keys + self.values + self.norm.parameters(self.values // heads)
        recurrence = recurrence_flops(
            heads, heads, self.keys // heads, self.values // heads, True, self.chunk, sequence_length
        )
        return [PartCount("mixer", size, 2 * matrices + recurrence, size)]

    def layer_state_bytes(self, bytes_per_number: int) -> int:
        """The state in float32."""
        return 4 * self.keys * self.values // self.attention_heads


@hookimpl
def register_architecture() -> dict[str, type]:
    return {"gla": GLAConfig}


@hookimpl
def config_folders() -> list[str]:
    return ["pkg://harness_plugins.architecture.gla.conf"]
