"""One thread each, one cache for the whole session, and nothing from the person's own environment."""

import os
import signal
import threading

if threading.current_thread() is threading.main_thread():  # a shell's background job would have SIGINT ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.pop("HARNESS_PLUGINS", None)

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("patient", deadline=None)  # a busy machine is no failure
settings.load_profile("patient")


@pytest.fixture(scope="session", autouse=True)
def _one_cache(tmp_path_factory):
    """Tokenised corpora are kept for the session, shared by the workers of pytest-xdist, apart from the person's own."""
    root = tmp_path_factory.getbasetemp()
    shared = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(shared / "cache")
    yield
    if before is None:
        del os.environ["XDG_CACHE_HOME"]
    else:
        os.environ["XDG_CACHE_HOME"] = before


@pytest.fixture(scope="session")
def transformer() -> Callable[..., Any]:
    """A transformer's Config from its differences to a tiny LLaMA."""
    from harness.config import plugin_config

    parts = {"attention": "multi_head", "position": "rotary", "feedforward": "gated", "norm": "rmsnorm"}
    parts["head"] = "language_model"

    def config(**values: Any) -> Any:
        tiny = {"name": "transformer", "width": 32, "layers": 2, **parts}
        return plugin_config("architecture", {**tiny, **values}, "architecture")

    return config
