"""Min-p sampling (Nguyen et al. 2024, arXiv:2407.01082): the surer the model, the fewer tokens stay."""

from __future__ import annotations

from dataclasses import dataclass

from harness import hookimpl
from harness.config import option
from harness.interfaces.sampler import Sampler, SamplerConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class MineConfig(SamplerConfig):
    """Tokens stay whose probability is at least a share of the likeliest one's."""

    min_p: float = option(0.1, "that share", minimum=0.0, maximum=1.0)
    temperature: float = option(1.0, "divides the logits first; below 1 is sharper", minimum=0.01)

    def build(self) -> Sampler:
        from harness.scaffold.sampler.idea import MineSampler

        return MineSampler(self.min_p, self.temperature)


@hookimpl
def register_sampler() -> dict[str, type]:
    return {"mine": MineConfig}
