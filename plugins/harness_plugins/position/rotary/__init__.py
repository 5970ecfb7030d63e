"""Rotary positions (Su et al. 2021): queries and keys are turned by an angle that grows with their place."""

from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness.config import ConfigError, fields_of, option
from harness.interfaces.parts import PositionConfig

HARNESS_INTERFACE = 1

#: The scalings that know how often a pair turns within the original length, each with its default of `fast`.
BY_ROTATIONS = {"yarn": 32.0, "llama3": 4.0}

#: The scalings that each option means something to. Elsewhere it would change a run's id and nothing else.
USED_BY = {
    "factor": ("linear", "ntk", "yarn", "llama3", "longrope"),
    "original_length": ("yarn", "llama3", "longrope"),
    "slow": ("yarn", "llama3"),
    "fast": ("yarn", "llama3"),
    "temperature": ("yarn", "longrope"),
    "short_factors": ("longrope",),
    "long_factors": ("longrope",),
}


@dataclass(kw_only=True)
class RotaryConfig(PositionConfig):
    base: float = option(
        10000.0, "base of the wavelengths: channel pair d turns base^(-2d/D) radians each place", minimum=1.0
    )
    share: float = option(
        1.0, "share of each head's channels that are turned, the first of them", neutral=1.0, minimum=0.0, maximum=1.0
    )
    interleaved: bool = option(
        False, "which channels make a pair; true: neighbours (RoFormer, GPT-J); false: d and d + D/2 (LLaMA, GPT-NeoX)",
        neutral=False,
    )  # fmt: skip
    scaling: str = option(
        "none",
        "how frequencies are lowered for sequences `factor` times as long. linear: all alike (Chen et al. 2023); ntk: "
        "by a larger base, the slow ones most; yarn: the slow ones, and sharper attention (Peng et al. 2023); llama3: "
        "the slow ones, as LLaMA-3.1 does; longrope: each pair by a factor of its own, and others in longer sequences "
        "than before (Ding et al. 2024)",
        neutral="none",
        choices=("none", "linear", "ntk", "yarn", "llama3", "longrope"),
    )
    factor: float = option(1.0, "how many times as long as those before", neutral=1.0, minimum=1.0)
    original_length: int | None = option(
        None, "of yarn, llama3 and longrope: the sequences before, in tokens", neutral=None, minimum=1
    )
    slow: float = option(
        1.0, "of yarn and llama3: a pair that turns so many times or fewer in the original length is slowed down fully",
        neutral=1.0, minimum=0.0,
    )  # fmt: skip
    fast: float | None = option(
        None, "of yarn and llama3: one that turns so many times or more is not; null: 32 in yarn, 4 in llama3",
        neutral=None, minimum=0.0,
    )  # fmt: skip
    temperature: float | None = option(
        None, "of yarn and longrope: what queries and keys are multiplied with in the channels that are turned "
        "(DeepSeek: 1, and attention.scale for all channels); null: 0.1 ln(factor) + 1 in yarn, "
        "√(1 + ln(factor) / ln(original_length)) in longrope", neutral=None, minimum=0.0,
    )  # fmt: skip
    short_factors: list[float] = option(
        [], "of longrope: what each pair's frequency is divided by in sequences of original_length and less", neutral=[]
    )
    long_factors: list[float] = option([], "of longrope: and in longer ones", neutral=[])

    def check(self) -> None:
        for name, scalings in USED_BY.items():
            if (
                self.scaling not in scalings
                and getattr(self, name) != fields_of(RotaryConfig)[name].metadata["neutral"]
            ):
                raise ConfigError(
                    f"{name}={getattr(self, name)} does nothing where scaling={self.scaling}, only where it is "
                    f"{' or '.join(scalings)}: leave it out, or choose another scaling."
                )
        if self.scaling in (*BY_ROTATIONS, "longrope") and self.original_length is None:
            raise ConfigError(
                f"scaling={self.scaling} needs original_length: how long sequences were before, in tokens."
            )
        if self.scaling in BY_ROTATIONS and not 0 < self.slow < self.fastest:
            raise ConfigError(
                f"slow={self.slow} and fast={self.fastest} are numbers of rotations: slow must be more than 0 and less "
                "than fast."
            )
        if self.scaling == "yarn" and self.base == 1.0:
            raise ConfigError("scaling=yarn slows some frequencies down, and with base=1 there is but one.")
        if min([1.0, *self.short_factors, *self.long_factors]) <= 0.0:
            raise ConfigError("short_factors and long_factors divide frequencies: all must be more than 0.")
        if self.scaling == "longrope" and self.original_length == 1 and self.temperature is None:
            raise ConfigError("scaling=longrope with original_length=1 needs a temperature: its logarithm is 0.")

    @property
    def fastest(self) -> float:
        """`fast` with its default. Only of a scaling that goes by rotations."""
        return BY_ROTATIONS[self.scaling] if self.fast is None else self.fast

    def channels(self, head_width: int) -> int:
        """How many channels of each head are turned."""
        return int(self.share * head_width)

    def check_head(self, head_width: int) -> None:
        channels = self.channels(head_width)
        part = f", of which share={self.share} are {channels}" if self.share < 1.0 else ""
        if channels % 2 or channels == 0:
            raise ConfigError(
                f"position=rotary turns pairs of channels, but a head has {head_width}{part}: choose other heads"
                f"{' or another share' if part else ''}."
            )
        for name in ("short_factors", "long_factors") if self.scaling == "longrope" else ():
            if len(getattr(self, name)) != channels // 2:
                raise ConfigError(
                    f"position.{name} has {len(getattr(self, name))} factors, and a head has {channels // 2} pairs of "
                    "channels that are turned: scaling=longrope needs one for each."
                )
        if self.scaling == "ntk" and channels == 2:
            raise ConfigError(
                "position.scaling=ntk slows down all pairs of channels but the fastest, and there is no other where a "
                f"head has {head_width}{part}: choose wider heads or another scaling."
            )

    def build(self, width: int, heads: int, head_width: int) -> Any:
        from harness_plugins.position.rotary.module import Rotary

        return Rotary(self, head_width)


@hookimpl
def register_position() -> dict[str, type]:
    return {"rotary": RotaryConfig}
