"""Every corpus keeps what its kind promises."""

import json

import pytest

from harness.config import plugin_config
from harness.testing import CorpusKit


def corpus(name, **options):
    return plugin_config("corpus", {"name": name, **options}, "corpus")


class OfFiles(CorpusKit):
    """A corpus of the user's files, some of which are made here."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path, monkeypatch):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        self.folder = tmp_path / "files"
        self.folder.mkdir()
        rows = [{"text": f"Text {n}.\n" * n, "prompt": f"{n} + {n} =", "completion": f" {n + n}"} for n in range(9)]
        (self.folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


class TestExamples(OfFiles):
    def corpus(self):
        return corpus("examples", path=str(self.folder))


class TestHuggingFace(OfFiles):
    def corpus(self):
        return corpus("hf", path=str(self.folder))


class TestText(OfFiles):
    def corpus(self):
        return corpus("text", path=str(self.folder))


class TestMix(CorpusKit):
    config = corpus(
        "mix",
        sources={
            "a": {"name": "synthetic", "documents": 9, "weight": 1},
            "b": {"name": "python_stdlib", "weight": 2},
        },
    )


class TestPythonStdlib(CorpusKit):
    config = corpus("python_stdlib")


@pytest.mark.slow
class TestPythonTasks(CorpusKit):
    config = corpus("python_tasks")


@pytest.mark.slow
class TestPythonTasksAsPreferences(CorpusKit):
    config = corpus("python_tasks", examples="preferences")


class TestSynthetic(CorpusKit):
    config = corpus("synthetic", documents=12)
