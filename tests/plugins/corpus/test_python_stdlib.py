"""The corpus of the running Python's own library."""

import ast
import sysconfig
from pathlib import Path

import pytest

from harness.config import ConfigError, plugin_config
from harness.errors import UserError
from harness_plugins.corpus.python_stdlib.python_stdlib import build, files


def test_it_is_the_library_without_its_tests_and_without_what_was_installed() -> None:
    names = [path.relative_to(sysconfig.get_path("stdlib")).as_posix() for path in files()]
    assert {"os.py", "json/decoder.py", "unittest/case.py"} <= set(names)
    assert not [name for name in names if name.startswith(("test/", "idlelib/idle_test/")) or "/tests/" in name]
    assert not [name for name in names if "site-packages" in name or "dist-packages" in name]


def test_each_document_is_a_file_as_it_is() -> None:
    corpus = build()
    by_name = {document.name: document.text for document in corpus.read(0, len(corpus))}
    assert by_name["json/decoder.py"] == Path(sysconfig.get_path("stdlib"), "json/decoder.py").read_bytes().decode()
    ast.parse(by_name["os.py"])


def test_it_is_large_enough_for_a_ladder() -> None:
    assert sum(path.stat().st_size for path in files()) > 5_000_000


def test_files_that_are_no_utf8_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "b.py").write_bytes(b"# \xe9\n")
    (tmp_path / "z.py").write_text("z = 1\n")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "tests.py").write_text("a = 1\n")
    (tmp_path / "a" / "tests").mkdir()
    (tmp_path / "a" / "tests" / "c.py").write_text("c = 1\n")
    assert [document.name for document in build(tmp_path).read(0, 2)] == ["a/tests.py", "z.py"]


def test_a_python_without_source_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no library in source form.*corpus=text"):
        build(tmp_path)


def test_the_fingerprint_is_the_same_twice_and_there_are_no_options() -> None:
    config = plugin_config("corpus", "python_stdlib", "corpus")
    assert config.fingerprint() == config.fingerprint()
    with pytest.raises(ConfigError, match=r"corpus.path is not an option"):
        plugin_config("corpus", {"name": "python_stdlib", "path": "x"}, "corpus")
