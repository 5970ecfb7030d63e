"""The likelihood of a continuation as what S-denoising cuts off at the end of a text."""

from __future__ import annotations

from dataclasses import dataclass

from harness import hookimpl
from harness.interfaces.likelihood import Asked, Likelihood, LikelihoodConfig
from harness_plugins.likelihood.infilling import Infilling

HARNESS_INTERFACE = 1

#: What announces it.
MODE = "[S2S]"


@dataclass(kw_only=True)
class SequentialConfig(LikelihoodConfig):
    """Σ log p(token | the mode, the context and a sentinel, and the tokens behind the sentinel before it): the question
    in the form of UL2's S-denoising (Tay et al. 2023, section 3.1). That the piece ends there is not asked."""

    def build(self, asked: Asked) -> Likelihood:
        return Infilling(asked, mode=[asked.extra[MODE]])


@hookimpl
def register_likelihood() -> dict[str, type]:
    return {"sequential": SequentialConfig}
