"""Documents in files: what is read, and what is refused with file and line."""

from pathlib import Path

import pytest

from harness.data.files import FileCorpus, fingerprint
from harness.errors import UserError


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def texts(corpus: FileCorpus, start: int = 0, stop: int | None = None) -> list[str]:
    return [document.text for document in corpus.read(start, len(corpus) if stop is None else stop)]


def test_a_file_is_a_document_and_a_row_of_jsonl_is_one(tmp_path: Path) -> None:
    a = write(tmp_path / "a.txt", "one\r\n")
    rows = write(tmp_path / "b.jsonl", '{"text": "two"}\n\n  \n{"text": "thrée", "other": 1}')
    empty = write(tmp_path / "c.jsonl", "")
    d = write(tmp_path / "d.md", "four")
    corpus = FileCorpus([a, rows, empty, d], root=tmp_path)
    assert texts(corpus) == ["one\r\n", "two", "thrée", "four"]
    assert [document.name for document in corpus.read(0, 4)] == ["a.txt", "b.jsonl:1", "b.jsonl:4", "d.md"]


def test_any_part_can_be_read(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{i}.jsonl", "".join(f'{{"text": "{i}.{j}"}}\n' for j in range(i))) for i in range(5)]
    corpus = FileCorpus(paths)
    whole = texts(corpus)
    assert len(corpus) == len(whole) == 10
    assert all(texts(corpus, i, j) == whole[i:j] for i in range(11) for j in range(i, 11))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{'text': 1}", r"rows.jsonl, line 3: not JSON"),
        ('{"text": "cut', r"rows.jsonl, line 3: not JSON"),
        ("[1, 2]", r"rows.jsonl, line 3: list where a JSON object should be"),
        ('{"texts": "a"}', r"rows.jsonl, line 3: no field text\. Did you mean texts\? corpus.field names"),
        ("{}", r"rows.jsonl, line 3: no field text\. None is known\."),
        ('{"text": 5}', r"rows.jsonl, line 3: field text is int, not text"),
        ('{"text": "\\ud800"}', r"rows.jsonl, line 3: field text is no valid Unicode"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path: Path, line: str, message: str) -> None:
    path = write(tmp_path / "rows.jsonl", f'{{"text": "good"}}\n\n{line}\n')
    with pytest.raises(UserError, match=message):
        texts(FileCorpus([path]))


def test_bytes_that_are_no_text_are_a_bad_row_too(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"rows.jsonl, line 1: not JSON"):
        texts(FileCorpus([write(tmp_path / "rows.jsonl", b'{"text": "\xff"}')]))


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"image.txt is not UTF-8 text \(byte 2\)"):
        texts(FileCorpus([write(tmp_path / "image.txt", b"ab\xff\x00")]))


def test_a_file_that_went_away_is_told(tmp_path: Path) -> None:
    gone = tmp_path / "gone.txt"
    for read in (lambda: texts(FileCorpus([gone])), lambda: fingerprint([gone], "text")):
        with pytest.raises(UserError, match=r"gone.txt cannot be read: No such file"):
            read()


def test_the_fingerprint_is_of_content_and_order_not_of_names(tmp_path: Path) -> None:
    a, b, c = (write(tmp_path / name, text) for name, text in [("a.txt", "one"), ("b.txt", "two"), ("c.md", "one")])
    assert fingerprint([a, b], "text") == fingerprint([c, b], "other")
    assert len({fingerprint(paths, "text") for paths in ([a, b], [b, a], [a], [a, b, c])}) == 4
    before = fingerprint([a, b], "text")
    write(b, "tw0")
    assert fingerprint([a, b], "text") != before


def test_the_field_counts_where_there_are_rows(tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.jsonl", '{"text": "a", "body": "b"}\n')
    same = write(tmp_path / "rows.txt", '{"text": "a", "body": "b"}\n')
    assert len({fingerprint([rows], "text"), fingerprint([rows], "body"), fingerprint([same], "text")}) == 3
