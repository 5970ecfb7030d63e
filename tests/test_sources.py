"""What the digest of a plugin's source covers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.sources import _imported, source_digest

PLUGIN = "strange.objective.plugin.config"
FILES = {
    "objective/plugin/__init__.py": "x = 1",
    "objective/plugin/config.py": "from .idea import x",
    "objective/plugin/idea.py": "from strange.objective.base.base import x",
    "objective/base/__init__.py": "",
    "objective/base/base.py": "def x():\n    from ... import tools\n    from ..beside import y",
    "objective/beside/__init__.py": "y = 1",
    "objective/unused/__init__.py": "z = 1",
    "tools/__init__.py": "import torch",
}


def digest(module: str = PLUGIN) -> str:
    """As another process sees the files."""
    source_digest.cache_clear()
    _imported.cache_clear()
    return source_digest((), (module,))


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    for name, text in FILES.items():
        (tmp_path / "strange" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "strange" / name).write_text(f"{text}\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "strange"]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path / "strange"


@pytest.mark.parametrize(("changed", "told"), [(name, "unused" not in name) for name in FILES])
def test_a_plugins_digest_covers_its_folder_and_what_it_borrows(package: Path, changed: str, told: bool) -> None:
    before = digest()
    with (package / changed).open("a") as file:
        file.write("w = 2\n")
    assert (digest() != before) == told


def test_a_module_outside_any_package_is_its_file(tmp_path, monkeypatch) -> None:
    (tmp_path / "strange_module.py").write_text("x = 1\n")
    (tmp_path / "beside.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = digest("strange_module")
    (tmp_path / "beside.py").write_text("x = 2\n")
    assert digest("strange_module") == before
    (tmp_path / "strange_module.py").write_text("x = 2\n")
    assert digest("strange_module") != before


def test_a_first_party_objective_is_told_by_the_code_that_it_is_made_of(monkeypatch) -> None:
    before, read = digest("harness_plugins.objective.distill"), Path.read_bytes
    more = {("clm", "clm.py"): b"\nw = 2"}
    monkeypatch.setattr(Path, "read_bytes", lambda self: read(self) + more.get(self.parts[-2:], b""))
    assert digest("harness_plugins.objective.distill") != before
