"""Sampling from the model's distribution, made sharper by a temperature and cut by top-k and top-p."""

from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness.config import ConfigError, option
from harness.interfaces.sampler import SamplerConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class CategoricalConfig(SamplerConfig):
    """First the temperature, then top-k, then top-p of what is left."""

    temperature: float = option(1.0, "divides the logits; below 1 is sharper")
    top_k: int | None = option(None, "likeliest tokens that stay (Fan et al. 2018); null: all", minimum=1)
    top_p: float | None = option(
        None, "the fewest likeliest tokens stay whose probability is at least this (Holtzman et al. 2020); null: all",
        maximum=1.0,
    )  # fmt: skip

    def check(self) -> None:
        if self.temperature <= 0:
            raise ConfigError(
                f"temperature={self.temperature} is not positive. For the likeliest token, choose sampler=greedy."
            )
        if self.top_p is not None and self.top_p <= 0:
            raise ConfigError(f"top_p={self.top_p} is not positive: no token would be left.")

    def build(self) -> Any:
        from harness_plugins.sampler.categorical.sampler import Categorical

        return Categorical(self.temperature, self.top_k, self.top_p)


@hookimpl
def register_sampler() -> dict[str, type]:
    return {"categorical": CategoricalConfig}
