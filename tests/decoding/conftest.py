"""A transformer's Config from its differences to a tiny LLaMA."""

from collections.abc import Callable
from typing import Any

import pytest

from harness.config import plugin_config

PARTS = {
    "attention": "multi_head",
    "position": "rotary",
    "feedforward": "gated",
    "norm": "rmsnorm",
    "head": "language_model",
}


@pytest.fixture(scope="session")
def transformer() -> Callable[..., Any]:
    def config(**values: Any) -> Any:
        tiny = {"name": "transformer", "width": 32, "layers": 2, **PARTS}
        return plugin_config("architecture", {**tiny, **values}, "architecture")

    return config
