"""Causal language modelling of those places alone that have something before them to foretell them from."""

from __future__ import annotations

from dataclasses import dataclass

from harness import hookimpl
from harness.config import option
from harness.interfaces.method import Method, ObjectiveConfig, Setting

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class MineConfig(ObjectiveConfig):
    """Every token from those before it, but for the first ones of a row, or of a document where none sees another."""

    skip: int = option(4, "first places that are not learned", minimum=0)

    def build(self, setting: Setting) -> Method:
        from harness.scaffold.objective.idea import MineObjective

        return MineObjective(self.skip, setting.attend_across_documents, self.logits_chunk)


@hookimpl
def register_objective() -> dict[str, type]:
    return {"mine": MineConfig}


@hookimpl
def config_folders() -> list[str]:
    return ["pkg://harness.scaffold.objective.conf"]
