"""Mamba-2 (Dao, Gu 2024, “Transformers are SSMs”): state spaces whose decay is one number for each head and place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from harness import hookimpl
from harness.config import ConfigError, option
from harness.interfaces.architecture import PartCount
from harness.models.recurrent import KERNELS, RecurrentConfig, recurrence_flops

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class Mamba2Config(RecurrentConfig):
    """As it stands, a small one. Layers have a mixer and no feedforward."""

    kernels: ClassVar[tuple[str, ...]] = KERNELS

    defaults: list[Any] = field(
        default_factory=lambda: ["_self_", {"norm": "rmsnorm"}, {"head": "language_model"}],
    )

    expand: float = option(2.0, "channels of the mixer's values, in widths", minimum=0.0)
    channels: int = option(16, "channels of a head's values (P)", minimum=1)
    state: int = option(32, "channels of a head's keys and queries, B and C (N)", minimum=1)
    groups: int = option(1, "groups of heads that share keys and queries", minimum=1)
    taps: int = option(4, "places that the short convolutions see, the newest included", minimum=1)
    bias: bool = option(False, "whether the projections have biases")
    convolution_bias: bool = option(True, "whether the short convolutions have biases")
    norm_epsilon: float = option(1e-5, "added to the mean square in the norm before the mixer's output", minimum=0.0)
    chunk: int = option(32, "places that are compared two by two; the state is handed on between chunks", minimum=1)

    def check(self) -> None:
        if self.inner < 1 or self.inner % self.channels:
            raise ConfigError(
                f"channels={self.channels} does not divide the {self.inner} channels of the values, which are expand × "
                "width."
            )
        if self.state_heads % self.groups:
            raise ConfigError(f"groups={self.groups} does not divide the {self.state_heads} heads.")

    @property
    def inner(self) -> int:
        """Channels of the values, of all heads."""
        return int(self.expand * self.width)

    @property
    def state_heads(self) -> int:
        return self.inner // self.channels

    @property
    def convolved(self) -> int:
        """Channels that go through a short convolution: values, keys and queries."""
        return self.inner + 2 * self.groups * self.state

    def mixers(self, layer: int) -> Mapping[str, Any]:
        from harness_plugins.architecture.mamba2.mixer import Mixer

        return {"mixer": Mixer(self)}

    def mixer_counts(self, sequence_length: int) -> list[PartCount]:
        heads, projected = self.state_heads, self.inner + self.convolved + self.state_heads
        matrices = self.width * (projected + self.inner)
        biases = self.bias * (projected + self.width) + self.convolution_bias * self.convolved
        size = matrices + biases + self.convolved * self.taps + 3 * heads + self.inner
        recurrence = recurrence_flops(self.groups, heads, self.state, self.channels, False, self.chunk, sequence_length)
        return [PartCount("mixer", size, 2 * matrices + recurrence, size)]

    def layer_state_bytes(self, bytes_per_number: int) -> int:
        """The state in float32, and the places that the convolutions see again."""
        return 4 * self.inner * self.state + bytes_per_number * self.convolved * (self.taps - 1)


@hookimpl
def register_architecture() -> dict[str, type]:
    return {"mamba2": Mamba2Config}


@hookimpl
def config_folders() -> list[str]:
    return ["pkg://harness_plugins.architecture.mamba2.conf"]
