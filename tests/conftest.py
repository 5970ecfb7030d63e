"""One thread each, one cache for the whole session, and nothing from the person's own environment."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.pop("HARNESS_PLUGINS", None)

import pytest


@pytest.fixture(scope="session", autouse=True)
def _one_cache(tmp_path_factory, worker_id="master"):
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
