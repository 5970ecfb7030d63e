"""Greedy decoding: the likeliest token, the first of equals."""

from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness.interfaces.sampler import SamplerConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class GreedyConfig(SamplerConfig):
    def build(self) -> Any:
        return lambda logits_BV, generator=None: logits_BV.argmax(dim=-1)


@hookimpl
def register_sampler() -> dict[str, type]:
    return {"greedy": GreedyConfig}
