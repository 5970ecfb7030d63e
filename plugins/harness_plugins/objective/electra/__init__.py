"""Replaced token detection (Clark et al. 2020, "ELECTRA"): which tokens of a text another model has put there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness import hookimpl
from harness.config import option
from harness.interfaces.architecture import DECODER
from harness.interfaces.method import Method, ObjectiveConfig, Setting
from harness.interfaces.visibility import Condition, Full
from harness_plugins.objective.mlm import MASK

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class ElectraConfig(ObjectiveConfig):
    """Replaced token detection (Clark et al. 2020): hidden tokens are proposed by a masked language model, and every
    token is told to be the text's own or a proposal. Both share the body."""

    likelihood: ClassVar[str | None] = "replaced_token"
    head: ClassVar[str] = "replaced_token"
    unit: ClassVar[str] = "nats per hidden token, and weighted nats per token"

    rate: float = option(0.15, "share of the tokens that are hidden, and proposed", minimum=0.001, maximum=1)
    weight: float = option(50.0, "weight of telling tokens apart, beside 1 for proposing them", minimum=0)
    whole_words: bool = option(False, "whether words are hidden, with all of their tokens, and not single tokens")

    def asks(self, topology: str = DECODER) -> frozenset[type[Condition]]:
        return frozenset({Full})

    def extra_tokens(self) -> tuple[str, ...]:
        return (MASK,)

    def body_passes(self) -> int:
        """Of the hidden text, and of the one with the proposals."""
        return 2

    def build(self, setting: Setting) -> Method:
        from harness_plugins.objective.electra.electra import ReplacedTokenDetection

        return ReplacedTokenDetection(self, setting)


@hookimpl
def register_objective() -> dict[str, type]:
    return {"electra": ElectraConfig}
