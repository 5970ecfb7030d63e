"""Python that parses. Nothing is executed."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: Characters that are looked at, so that a reward takes a bounded time; a longer text earns nothing.
LONGEST = 100_000


@dataclass(frozen=True)
class Parses:
    """1 where the prompt with the completion's whole lines parses and those say enough. The whole lines are the
    completion up to its last line break, or all of it where that parses."""

    tokenizer: Any
    least: int

    def __call__(self, prompt: str, completion: str, fields: Mapping[str, Any]) -> float:
        for lines in (completion, completion[: completion.rfind("\n") + 1]):
            if said(self.tokenizer, lines) >= self.least and accepted(prompt + lines, ast.PyCF_ONLY_AST):
                return 1.0
        return 0.0


def said(tokenizer: Any, text: str) -> int:
    """Tokens of the lines that are neither blank nor only a comment; none of a text that is too long."""
    if len(text) > LONGEST:
        return 0
    lines = [line for line in text.split("\n") if line.strip() and not line.lstrip().startswith("#")]
    return len(tokenizer.encode("\n".join(lines)))


def accepted(text: str, flags: int = 0) -> bool:
    """Whether Python's compiler takes the text for a module."""
    if len(text) > LONGEST:
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(text, "<completion>", "exec", flags, dont_inherit=True)
    except Exception:  # SyntaxError; of strange texts also ValueError, RecursionError, MemoryError, OverflowError
        return False
    return True
