"""What all kits share: a fault is one sentence, and a test fails with it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar
from unittest import SkipTest

F = TypeVar("F", bound=Callable[..., Any])


def sound(fault: str | None) -> None:
    """Raises AssertionError with the fault, if there is one."""
    if fault is not None:
        raise AssertionError(fault)


def skip(reason: str) -> None:
    """Leaves out a test that does not apply: pytest tells it as skipped."""
    raise SkipTest(reason)


def slow(test: F) -> F:
    """Marks a test as slow where pytest collects it; pytest is none of the harness's own requirements."""
    pytest = sys.modules.get("pytest")
    marked: F = test if pytest is None else pytest.mark.slow(test)
    return marked
