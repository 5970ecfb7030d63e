"""Brackets and quotes that match."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness_plugins.reward.parses.parses import LONGEST

CLOSES = {")": "(", "]": "[", "}": "{"}

#: What is looked at: brackets and quotes, but neither escaped characters nor apostrophes between letters.
MARKS = re.compile(r"\\.|(?<=[^\W\d_])'(?=[^\W\d_])|([()\[\]{}'\"])", re.DOTALL)


@dataclass(frozen=True)
class Brackets:
    tokenizer: Any
    least: int

    def __call__(self, prompt: str, completion: str, fields: Mapping[str, Any]) -> float:
        if len(prompt) + len(completion) > LONGEST:
            return 0.0
        lines = [line for line in completion.split("\n") if line.strip()]
        enough = len(self.tokenizer.encode("\n".join(lines))) >= self.least
        return float(enough and balanced(prompt + completion))


def balanced(text: str) -> bool:
    """Whether every bracket is closed by its like, the last one opened first, and every quote by the same quote;
    brackets within quotes do not count."""
    opened: list[str] = []
    quote = ""
    for mark in filter(None, MARKS.findall(text)):
        if quote:
            quote = "" if mark == quote else quote
        elif mark in "'\"":
            quote = mark
        elif mark not in CLOSES:
            opened.append(mark)
        elif not opened or opened.pop() != CLOSES[mark]:
            return False
    return not opened and not quote
