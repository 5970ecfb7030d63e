"""Python that compiles. Nothing is executed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness_plugins.reward.parses.parses import accepted, said


@dataclass(frozen=True)
class Compiles:
    tokenizer: Any
    least: int

    def __call__(self, prompt: str, completion: str, fields: Mapping[str, Any]) -> float:
        return float(said(self.tokenizer, completion) >= self.least and accepted(prompt + completion))
