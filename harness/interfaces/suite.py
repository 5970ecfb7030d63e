"""Suites: sets of lm-eval tasks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.config import PluginConfig, option, to_mapping
from harness.interfaces.corpus import Document


@dataclass(frozen=True)
class HeldOut:
    """What a suite may make its items from: held-out documents of one source of the corpus."""

    source: str
    documents: Sequence[Document]


@dataclass(kw_only=True)
class SuiteConfig(PluginConfig):
    """Base of every suite's Config."""

    limit: int | None = option(None, "documents of each task that are asked, from its first on; null: all", minimum=1)

    def fingerprint(self) -> str:
        """What determines its questions, the corpus apart: its options, and the content of files that they name."""
        return json.dumps(to_mapping(self), sort_keys=True)

    def needs_held_out(self) -> bool:
        """Whether `build` looks at the held-out documents."""
        return False

    def asks_of(self) -> float:
        """The share of corpora of its own that it holds out, by the hash that holds documents out of training: no run
        that was trained with less held out may be asked. 0: it has none."""
        return 0.0

    def build(self, held_out: Sequence[HeldOut], tokenizer: Any) -> dict[str, Any]:
        """lm-eval task objects by name. Raises UserError where a task's data is out of reach."""
        raise NotImplementedError
