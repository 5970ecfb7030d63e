"""Shards: the same for any number of processes, whole or made again, whatever kills their makers."""

import contextlib
import fcntl
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from harness.data.shards import Shards, Side, open_shards, shards, write
from harness.data.split import is_held_out
from harness.errors import RunFailed, UserError
from tests.data.corpora import Bytes, Given, some_texts

QUIET = lambda done, total: None  # noqa: E731


def make(corpus: Given, tokenizer: Bytes | None = None, held_out: float = 0.3, progress=QUIET) -> Shards:
    return shards(corpus, tokenizer or Bytes(), "tokenizer", held_out, progress)


def documents(side: Side) -> list[str]:
    """What the tokens say, cut at the ends that the index gives."""
    ends = side.end_places_D.tolist()
    starts = [0, *(end + 1 for end in ends)]
    assert starts.pop() == side.tokens
    assert all(side.read(end, end + 1) == 256 for end in ends)
    return [bytes(side.read(s, e).tolist()).decode() if s < e else "" for s, e in zip(starts, ends, strict=True)]


def folder_of(cache: Path) -> Path:
    (folder,) = (path for path in (cache / "shards").iterdir() if path.is_dir())
    return folder


def test_every_document_with_text_is_on_its_side(cache: Path) -> None:
    texts = some_texts()
    made = make(Given(texts=texts))
    for side, held in [(made.train, False), (made.held_out, True)]:
        numbers = [i for i, text in enumerate(texts) if text and is_held_out(text, 0.3) == held]
        assert side.numbers_D.tolist() == numbers
        assert documents(side) == [texts[i] for i in numbers]
        assert side.text_bytes == sum(len(texts[i]) for i in numbers) == side.tokens - len(numbers)


def test_equal_documents_fall_on_one_side(cache: Path) -> None:
    made = make(Given(texts=[f"text {i % 50}" for i in range(200)]))
    assert not set(documents(made.train)) & set(documents(made.held_out))


@pytest.mark.parametrize(("size", "dtype"), [(257, "<u2"), (2**16, "<u2"), (2**16 + 1, "<u4")])
def test_tokens_are_as_wide_as_the_vocabulary_needs(tmp_path: Path, size: int, dtype: str) -> None:
    write(tmp_path, Given(texts=["abc", "de"]), Bytes(size), 0.0, QUIET)
    files = sorted(tmp_path.glob("*.tokens"))
    on_disk = np.concatenate([np.fromfile(file, dtype=dtype) for file in files])
    assert on_disk.tolist() == [*b"abc", size - 1, *b"de", size - 1]
    assert open_shards(tmp_path).train.read(0, 7).tolist() == on_disk.tolist()


def test_any_number_of_processes_writes_the_same_files(tmp_path: Path) -> None:
    def content(processes: int) -> dict[str, bytes]:
        folder = tmp_path / str(processes)
        folder.mkdir()
        write(folder, Given(texts=some_texts()), Bytes(), 0.3, QUIET, processes)
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    assert content(1) == content(2) == content(3)


def test_progress_goes_up_to_all_documents(cache: Path) -> None:
    seen = []
    make(Given(texts=some_texts(100)), progress=lambda done, total: seen.append((done, total)))
    assert seen[0] == (0, 100)
    assert seen[-1] == (100, 100)
    assert sorted(seen) == seen


def test_what_is_whole_is_not_made_again(cache: Path) -> None:
    make(Given(texts=some_texts()))
    make(Given(texts=some_texts()), progress=lambda done, total: pytest.fail("made again"))


def test_other_content_tokenizer_or_share_is_made_anew(cache: Path) -> None:
    make(Given(texts=some_texts()))
    make(Given(texts=some_texts(99)))
    make(Given(texts=some_texts()), held_out=0.2)
    shards(Given(texts=some_texts()), Bytes(), "another", 0.3, QUIET)
    assert len([path for path in (cache / "shards").iterdir() if path.is_dir()]) == 4


def flip_a_byte(folder: Path) -> None:
    victim = sorted(folder.glob("train*.tokens"))[1]
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)


def truncate(folder: Path) -> None:
    victim = sorted(folder.glob("train*.tokens"))[-1]
    victim.write_bytes(victim.read_bytes()[:-2])


def remove_a_shard(folder: Path) -> None:
    sorted(folder.glob("held_out*.tokens"))[0].unlink()


def damage_the_index(folder: Path) -> None:
    (folder / "shards.json").write_text("{}")


def remove_the_checksums(folder: Path) -> None:
    (folder / "checksums.json").unlink()


def damage_a_table(folder: Path) -> None:
    sorted(folder.glob("*.npy"))[0].write_bytes(b"")


@pytest.mark.parametrize(
    "damage", [flip_a_byte, truncate, remove_a_shard, damage_the_index, remove_the_checksums, damage_a_table]
)
def test_what_is_damaged_is_made_again(cache: Path, damage) -> None:
    texts = some_texts()
    whole = documents(make(Given(texts=texts)).train)
    damage(folder_of(cache))
    seen = []
    again = make(Given(texts=texts), progress=lambda done, total: seen.append(done))
    assert documents(again.train) == whole
    assert seen[-1] == len(texts)
    make(Given(texts=texts), progress=lambda done, total: pytest.fail("made a third time"))


def test_a_bad_document_leaves_nothing_half_made(cache: Path) -> None:
    class Broken(Given):
        def read(self, start: int, stop: int):
            yield from super().read(start, stop)
            if stop == len(self.texts):
                raise UserError("rows.jsonl, line 9: not JSON.")

    with pytest.raises(UserError, match="line 9"):
        make(Broken(texts=some_texts()))
    assert [path.suffix for path in (cache / "shards").iterdir()] == [".lock"]


def test_a_corpus_that_changes_while_it_is_read_is_refused(cache: Path) -> None:
    with pytest.raises(UserError, match="changed while it was read"):
        make(Given(name="given", texts=some_texts(), trouble="changes"))
    assert [path.suffix for path in (cache / "shards").iterdir()] == [".lock"]


def test_a_process_that_is_killed_is_told_not_waited_for(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="was killed"):
        write(tmp_path, Given(texts=some_texts(), trouble="killed"), Bytes(), 0.3, QUIET, processes=2)


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"cannot be written: .*XDG_CACHE_HOME"):
        make(Given(texts=some_texts()))


SLOW_MAKER = """
from harness.data import shards
from tests.data.corpora import Bytes, Given, some_texts

shards._cores = lambda: 2
report = lambda done, total: print(done, flush=True)
shards.shards(Given(texts=some_texts(), seconds=0.05), Bytes(), "tokenizer", 0.3, report)
"""


def start_slow_maker() -> subprocess.Popen[str]:
    root = Path(__file__).parents[2]
    return subprocess.Popen([sys.executable, "-c", SLOW_MAKER], stdout=subprocess.PIPE, text=True, cwd=root)


def test_of_several_makers_one_makes_and_the_others_wait(cache: Path) -> None:
    makers = [start_slow_maker() for _ in range(3)]
    said = [maker.communicate()[0] for maker in makers]
    assert [maker.returncode for maker in makers] == [0, 0, 0]
    assert sorted(bool(progress) for progress in said) == [False, False, True]


def test_a_maker_that_is_killed_leaves_no_lock_and_no_remains(cache: Path) -> None:
    """SIGKILL while two children write: they end too, the lock is free, the next one makes it from the beginning."""
    maker = subprocess.Popen(
        [sys.executable, "-c", SLOW_MAKER], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert maker.stdout is not None
    assert [int(maker.stdout.readline()) >= 0 for _ in range(3)]
    maker.kill()
    maker.wait()
    assert list((cache / "shards").glob(".*"))
    assert is_free_within(5.0, next((cache / "shards").glob("*.lock")))
    made = make(Given(texts=some_texts()))
    assert sorted(documents(made.train) + documents(made.held_out)) == sorted(text for text in some_texts() if text)
    assert not list((cache / "shards").glob(".*"))


def is_free_within(seconds: float, lock: Path) -> bool:
    """A child that outlived the maker would hold the lock that it inherited."""
    for _ in range(int(seconds / 0.05)):
        with open(lock, "a") as file, contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.05)
    return False


def test_a_shard_that_is_cut_short_while_it_is_read_is_told_and_does_not_kill(cache: Path) -> None:
    made = make(Given(texts=some_texts()))
    file = next(folder_of(cache).glob("train-*.tokens"))
    content = file.read_bytes()
    with open(file, "r+b") as cut:
        cut.truncate(len(content) // 2)
    with pytest.raises(RunFailed, match=r"\.tokens was cut short while it was read"):
        made.train.read(0, made.train.tokens)
    file.unlink()
    file.write_bytes(content)  # as another process puts a whole one in its place
    made.train.read(0, 1)
