"""Which files `corpus.path` means, and what it refuses."""

from pathlib import Path

import pytest

from harness.config import ConfigError, plugin_config
from harness.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of texts by their own names."""
    for name in ["b.txt", "a.md", "deep/er/c.py", "image.png", ".hidden/d.txt", ".e.txt", "noted"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


def texts(path: object, **options: object) -> list[str]:
    corpus = plugin_config("corpus", {"name": "text", "path": path, **options}, "corpus").build()
    return [document.text for document in corpus.read(0, len(corpus))]


def test_a_file_a_folder_a_glob_and_a_list(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert texts(str(folder / "noted")) == ["noted"]
    assert texts(str(folder)) == ["a.md", "b.txt", "deep/er/c.py"]
    assert texts(str(folder / "*.txt")) == ["b.txt"]
    assert texts(str(folder / "**" / "*.py")) == ["deep/er/c.py"]
    assert texts([str(folder / "noted"), str(folder / "b.txt"), str(folder)]) == [
        "noted",
        "b.txt",
        "a.md",
        "deep/er/c.py",
    ]
    monkeypatch.setenv("HOME", str(folder))
    assert texts("~/b.txt") == ["b.txt"]


def test_a_folder_is_searched_for_the_endings_that_are_asked_for(folder: Path) -> None:
    assert texts(str(folder), suffixes=[".py", ".png"]) == ["deep/er/c.py", "image.png"]


def test_rows_of_the_field_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "a", "body": "b"}\n{"text": "c", "body": "d"}\n')
    assert texts(str(tmp_path)) == ["a", "c"]
    assert texts(str(tmp_path), field="body") == ["b", "d"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere.txt", r"corpus.path=.*nowhere.txt: there is no such file, folder or match"),
        ("*.nothing", r"corpus.path=.*nothing: there is no such file"),
        ("empty", r"corpus.path=.*empty is a folder without any file that ends in \.txt"),
    ],
)
def test_a_path_that_names_nothing_is_refused(folder: Path, path: str, message: str) -> None:
    (folder / "empty").mkdir()
    config = plugin_config("corpus", {"name": "text", "path": [str(folder), str(folder / path)]}, "corpus")
    for read in (config.build, config.fingerprint):
        with pytest.raises(UserError, match=message):
            read()


def test_an_empty_list_and_no_path_are_refused() -> None:
    with pytest.raises(UserError, match=r"corpus.path is empty"):
        plugin_config("corpus", {"name": "text", "path": []}, "corpus").build()
    with pytest.raises(ConfigError, match=r"corpus.path has no value: a file, a folder"):
        plugin_config("corpus", "text", "corpus")


def test_a_mistyped_option_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"corpus.pth is not an option of text. Did you mean path\?"):
        plugin_config("corpus", {"name": "text", "pth": "x"}, "corpus")
    with pytest.raises(ConfigError, match=r"corpus.path=\{.*\} is not a list"):
        plugin_config("corpus", {"name": "text", "path": {"a": 1}}, "corpus")


def test_moving_the_files_changes_no_fingerprint(folder: Path) -> None:
    def fingerprint() -> str:
        return plugin_config("corpus", {"name": "text", "path": str(folder)}, "corpus").fingerprint()

    before = fingerprint()
    (folder / "b.txt").rename(folder / "bb.txt")
    assert fingerprint() == before
    (folder / "bb.txt").write_text("other")
    assert fingerprint() != before
