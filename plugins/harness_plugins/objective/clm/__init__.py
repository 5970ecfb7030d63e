"""Causal language modelling: every token from those before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness.interfaces.method import Method, ObjectiveConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class ClmConfig(ObjectiveConfig):
    """Causal language modelling: every token from those before it."""

    def build(self, tokenizer: Any, attend_across_documents: bool) -> Method:
        from harness_plugins.objective.clm.clm import CausalLanguageModelling

        return CausalLanguageModelling(attend_across_documents, self.logits_chunk)


@hookimpl
def register_objective() -> dict[str, type]:
    return {"clm": ClmConfig}
