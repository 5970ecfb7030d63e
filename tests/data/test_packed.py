"""Compressed files: the same documents as unpacked, in any part, by any number of processes; damage is told by name."""

import gzip
import tracemalloc
from pathlib import Path

import pyarrow
import pytest

from harness.config import plugin_config
from harness.data.files import FileCorpus, fingerprint
from harness.data.packed import pieces
from harness.data.shards import write
from harness.errors import UserError
from harness.files import checksum
from tests.data.corpora import Bytes

ROWS = "".join(f'{{"text": "document {i} {"é" * (i % 7)}"}}\n\n' for i in range(200))


def zst(content: bytes) -> bytes:
    out = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(out, "zstd") as stream:
        stream.write(content)
    return out.getvalue().to_pybytes()


PACK = {".gz": gzip.compress, ".zst": zst}


@pytest.fixture(params=PACK)
def folders(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    """The same files as they are, and compressed."""
    plain, packed = tmp_path / "plain", tmp_path / "packed"
    for folder in (plain, packed):
        folder.mkdir()
    for name, text in {"a.txt": "one\r\n", "b.jsonl": ROWS, "c.md": "", "d.jsonl": ""}.items():
        (plain / name).write_bytes(text.encode())
        (packed / f"{name}{request.param}").write_bytes(PACK[request.param](text.encode()))
    return plain, packed


def corpus(folder: Path) -> FileCorpus:
    return plugin_config("corpus", {"name": "text", "path": str(folder)}, "corpus").build()


def test_a_compressed_folder_has_the_documents_and_the_fingerprint_of_the_plain_one(folders: tuple[Path, Path]) -> None:
    plain, packed = (corpus(folder) for folder in folders)
    assert len(packed) == len(plain) == 202
    assert [d.text for d in packed.read(0, 202)] == [d.text for d in plain.read(0, 202)]
    assert fingerprint(packed.paths, "text") == fingerprint(plain.paths, "text")
    for start, stop in [(200, 202), (7, 9), (7, 9), (0, 1), (150, 151)]:
        assert [d.text for d in packed.read(start, stop)] == [d.text for d in plain.read(start, stop)]


def test_names_are_those_of_the_file_and_its_lines(folders: tuple[Path, Path]) -> None:
    (path,) = folders[1].glob("b.jsonl.*")
    assert [document.name for document in FileCorpus([path], root=folders[1]).read(0, 2)] == [
        f"{path.name}:1",
        f"{path.name}:3",
    ]


def test_shards_are_the_same_for_any_number_of_processes(folders: tuple[Path, Path], tmp_path: Path) -> None:
    for number, (folder, processes) in enumerate([(folders[0], 1), (folders[1], 1), (folders[1], 3)]):
        (tmp_path / f"{number}").mkdir()
        write(tmp_path / f"{number}", corpus(folder), Bytes(), 0.2, lambda done, total: None, processes)
    sums = [{file.name: checksum(file) for file in (tmp_path / f"{n}").iterdir()} for n in range(3)]
    assert sums[0] == sums[1] == sums[2]


def test_archives_one_behind_the_other_are_one_text(tmp_path: Path) -> None:
    for ending, pack in PACK.items():
        path = tmp_path / f"a.txt{ending}"
        path.write_bytes(pack(b"one ") + pack(b"two"))
        assert [d.text for d in corpus(path).read(0, 1)] == ["one two"]


@pytest.mark.parametrize("ending", PACK)
@pytest.mark.parametrize("damage", ["cut", "cut in its head", "emptied", "no archive"])
def test_a_damaged_archive_is_named(ending: str, damage: str, tmp_path: Path) -> None:
    whole = PACK[ending](ROWS.encode())
    content = {"cut": whole[: len(whole) // 2], "cut in its head": whole[:5], "emptied": b"", "no archive": b"words "}
    path = tmp_path / f"rows.jsonl{ending}"
    path.write_bytes(content[damage])
    for read in (lambda: corpus(path), lambda: fingerprint([path], "text")):
        with pytest.raises(UserError, match=rf"rows.jsonl{ending} is damaged or cut short: \w"):
            read()


def test_a_flipped_byte_of_a_gzip_is_found(tmp_path: Path) -> None:
    damaged = bytearray(gzip.compress(ROWS.encode()))
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / "rows.jsonl.gz").write_bytes(damaged)
    with pytest.raises(UserError, match=r"rows.jsonl.gz is damaged or cut short"):
        corpus(tmp_path)


def test_a_bad_row_is_named_by_the_archive_and_its_line(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl.gz").write_bytes(gzip.compress(b'{"text": "a"}\n[]\n'))
    with pytest.raises(UserError, match=r"rows.jsonl.gz, line 2: list where"):
        list(corpus(tmp_path).read(0, 2))
    (tmp_path / "rows.jsonl.gz").rename(tmp_path / "rows.txt.gz")
    (tmp_path / "rows.txt.gz").write_bytes(gzip.compress(b"\xff"))
    with pytest.raises(UserError, match=r"rows.txt.gz is not UTF-8"):
        list(corpus(tmp_path).read(0, 1))


@pytest.mark.parametrize("ending", PACK)
def test_the_text_is_never_whole_in_memory(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"large.txt{ending}"
    path.write_bytes(PACK[ending](b"a line of thirty-two letters, no\n" * 2**19))  # 16 MiB
    tracemalloc.start()
    before = pyarrow.default_memory_pool().max_memory()
    try:
        assert sum(map(len, pieces(path))) == 33 * 2**19
        assert tracemalloc.get_traced_memory()[1] < 6 * 2**20
        assert pyarrow.default_memory_pool().max_memory() - before < 6 * 2**20
    finally:
        tracemalloc.stop()
