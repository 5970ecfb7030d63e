"""A tiny study of real parts: four models that train in a second each, on a few files of real Python."""

import json
import shutil
from pathlib import Path

import pytest

from harness.cli import main
from harness.registry import Entry, Registry, registry
from tests.studies.toys import Digits, Toy, ToyAlignment

SWEEP = """
question: does a model of two layers read better than one of one?
base:
  - scale=ladder
  - corpus=text
  - corpus.path=texts
  - data.held_out=0.3
  - data.sequence_length=32
  - tokenizer.size=300
  - suite.documents=6
  - suite.excerpt_bytes=256
  - suite.pairs=4
  - suite.problems=3
axes:
  scale.width: [16, 32]
  budget.tokens: [2048, 4096]
analyses: [power_law, chinchilla]
"""


def write_study(folder: Path) -> None:
    """texts/ and mine.yaml in a folder."""
    files = sorted(Path(json.__file__).parent.parent.glob("t*.py"))[:12]
    (folder / "texts").mkdir()
    for file in files:
        shutil.copy(file, folder / "texts")
    (folder / "mine.yaml").write_text(SWEEP)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The folder of the study after `harness study mine.yaml`; not to be changed."""
    folder = tmp_path_factory.mktemp("study")
    write_study(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["study", "mine.yaml", "launcher.workers=2"]) == 0
    return folder


@pytest.fixture
def here(finished, tmp_path, monkeypatch):
    """A copy of the finished study, as the working folder."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def with_toys(monkeypatch):
    """The plugins of `toys`, by the name toy."""
    found = Registry(dict(registry().entries), registry().broken)
    for kind, config in {"corpus": Toy, "alignment": ToyAlignment, "reward": Digits}.items():
        found.add(Entry(kind, "toy", config, "toys", "1"))
    monkeypatch.setattr("harness.registry.registry", lambda: found)
    for module in ("harness.composition", "harness.help", "harness.identity"):
        monkeypatch.setattr(f"{module}.registry", lambda: found)
