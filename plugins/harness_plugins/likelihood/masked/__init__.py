"""The pseudo-likelihood of a masked language model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness import hookimpl
from harness.interfaces.likelihood import Asked, Likelihood, LikelihoodConfig
from harness.interfaces.visibility import Condition, Full

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class MaskedConfig(LikelihoodConfig):
    """Σ log p(token | all others but those of its word that follow it) (Salazar et al. 2020; the words: Kauf & Ivanova
    2023). It is no likelihood: these conditionals do not multiply to the probability of the text. Each takes a forward
    row of its own, so that of whole documents every eighth token is asked for; choices and answers are asked exactly.
    """

    proper: ClassVar[bool] = False
    sees: ClassVar[type[Condition]] = Full

    def build(self, asked: Asked) -> Likelihood:
        from harness_plugins.likelihood.masked.masked import PseudoLikelihood

        return PseudoLikelihood(asked)


@hookimpl
def register_likelihood() -> dict[str, type]:
    return {"masked": MaskedConfig}
