"""Causal language modelling: every token from those before it."""

from __future__ import annotations

from dataclasses import dataclass

from harness import hookimpl
from harness.interfaces.method import Method, ObjectiveConfig, Setting

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class ClmConfig(ObjectiveConfig):
    """Causal language modelling: every token from those before it."""

    def build(self, setting: Setting) -> Method:
        from harness_plugins.objective.clm.clm import CausalLanguageModelling

        return CausalLanguageModelling(setting.attend_across_documents, self.logits_chunk)


@hookimpl
def register_objective() -> dict[str, type]:
    return {"clm": ClmConfig}
