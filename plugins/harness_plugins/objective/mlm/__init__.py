"""Masked language modelling: tokens that are hidden, from all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness import hookimpl
from harness.config import ConfigError, option
from harness.interfaces.architecture import DECODER
from harness.interfaces.method import Method, ObjectiveConfig, Setting
from harness.interfaces.visibility import Condition, Full

HARNESS_INTERFACE = 1

#: What stands where a token is hidden.
MASK = "[MASK]"


@dataclass(kw_only=True)
class MlmConfig(ObjectiveConfig):
    """Masked language modelling (Devlin et al. 2019): tokens that are hidden, from all others."""

    likelihood: ClassVar[str | None] = "masked"

    rate: float = option(0.15, "share of the tokens that are chosen and learned", minimum=0.001, maximum=1)
    masked: float = option(0.8, "share of the chosen that are hidden by [MASK]", minimum=0, maximum=1)
    random: float = option(0.1, "share of the chosen that are replaced by any token of text", minimum=0, maximum=1)
    whole_words: bool = option(False, "whether words are chosen, with all of their tokens, and not single tokens")

    def check(self) -> None:
        if self.masked + self.random > 1:
            raise ConfigError(
                f"objective=mlm has masked={self.masked} and random={self.random}, shares of the same tokens: together "
                "at most 1. What is left stays as it is."
            )

    def asks(self, topology: str = DECODER) -> frozenset[type[Condition]]:
        return frozenset({Full})

    def extra_tokens(self) -> tuple[str, ...]:
        return (MASK,)

    def build(self, setting: Setting) -> Method:
        from harness_plugins.objective.mlm.mlm import MaskedLanguageModelling

        return MaskedLanguageModelling(self, setting)


@hookimpl
def register_objective() -> dict[str, type]:
    return {"mlm": MlmConfig}
