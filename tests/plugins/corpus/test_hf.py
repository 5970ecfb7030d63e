"""Data sets of `datasets`: from folders and files made here; the Hub as far as it can be asked for without a network."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import datasets
import huggingface_hub
import pytest
from huggingface_hub.errors import RepositoryNotFoundError

from harness.config import ConfigError, plugin_config
from harness.errors import UserError

TEXTS = ["one", "zwei\nlines", "", "trois é"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("harness_plugins.corpus.hf.hf._made", {})
    return tmp_path / "cache" / "harness" / "documents"


@pytest.fixture
def rows() -> datasets.Dataset:
    return datasets.Dataset.from_dict({"text": TEXTS, "other": [t.upper() or None for t in TEXTS], "number": range(4)})


def corpus(path: object, **options: object) -> object:
    return plugin_config("corpus", {"name": "hf", "path": str(path), **options}, "corpus")


def texts(path: object, **options: object) -> list[str]:
    built = corpus(path, **options).build()
    return [document.text for document in built.read(0, len(built))]


def saved(folder: Path, rows: datasets.Dataset, form: str) -> Path:
    folder.mkdir()
    if form == "save_to_disk":
        rows.save_to_disk(folder)
    elif form == "arrow":
        rows.save_to_disk(folder / "saved")
        shutil.move(next((folder / "saved").glob("*.arrow")), folder / "rows.arrow")
        shutil.rmtree(folder / "saved")
    else:
        getattr(rows, {"jsonl": "to_json"}.get(form, f"to_{form}"))(folder / f"rows.{form}")
    return folder


# ------------------------------------------------------------------------------------ local folders


@pytest.mark.parametrize("form", ["save_to_disk", "parquet", "jsonl", "arrow"])
def test_every_form_of_a_local_data_set_has_the_same_documents_and_fingerprint(tmp_path, rows, form):
    folder = saved(tmp_path / "data", rows, form)
    assert texts(folder) == TEXTS
    (tmp_path / "rows.jsonl").write_text(
        "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in TEXTS)
    )
    same = plugin_config("corpus", {"name": "text", "path": str(tmp_path / "rows.jsonl")}, "corpus")
    assert corpus(folder).fingerprint() == same.fingerprint()
    assert texts(folder, field="other") == [text.upper() for text in TEXTS]


def test_a_single_file_is_a_data_set(tmp_path, rows):
    saved(tmp_path / "data", rows, "parquet")
    (tmp_path / "data" / "other.parquet").write_text("no parquet")
    assert texts(tmp_path / "data" / "rows.parquet") == TEXTS


def test_splits_are_chosen_by_name(tmp_path, rows):
    datasets.DatasetDict(train=rows, test=rows.select([0])).save_to_disk(tmp_path / "saved")
    files = saved(tmp_path / "files", rows, "parquet")
    (files / "rows.parquet").rename(files / "train.parquet")
    rows.select([0]).to_parquet(files / "test.parquet")
    for folder in (tmp_path / "saved", files):
        assert texts(folder) == TEXTS
        assert texts(folder, split="test") == ["one"]
        with pytest.raises(UserError, match=r"tset"):
            texts(folder, split="tset")


def test_configurations_are_chosen_by_name(tmp_path, rows):
    for name, part in (("all", rows), ("few", rows.select([1]))):
        (tmp_path / "data" / name).mkdir(parents=True)
        part.to_parquet(tmp_path / "data" / name / "train.parquet")
    configs = "".join(f"- config_name: {name}\n  data_files: {name}/*.parquet\n" for name in ("all", "few"))
    (tmp_path / "data" / "README.md").write_text(f"---\nconfigs:\n{configs}---\n")
    assert texts(tmp_path / "data", config="few") == [TEXTS[1]]
    assert texts(tmp_path / "data", config="all") == TEXTS
    with pytest.raises(UserError, match=r"nope"):
        texts(tmp_path / "data", config="nope")


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [({"documents": 2}, 2), ({"bytes": 1}, 1), ({"bytes": 4}, 2), ({"documents": 3, "bytes": 10**6}, 3), ({}, 4)],
)
def test_documents_and_bytes_bound_what_is_read(tmp_path, rows, bounds, expected):
    assert texts(saved(tmp_path / "data", rows, "parquet"), **bounds) == TEXTS[:expected]


def test_other_content_in_the_same_place_is_another_corpus(tmp_path, rows):
    folder = saved(tmp_path / "data", rows, "parquet")
    before = corpus(folder).fingerprint()
    rows.select([2, 1]).to_parquet(folder / "rows.parquet")
    assert corpus(folder).fingerprint() != before
    assert texts(folder) == [TEXTS[2], TEXTS[1]]


def test_the_documents_are_written_once(tmp_path, rows, cache, monkeypatch):
    folder = saved(tmp_path / "data", rows, "parquet")
    texts(folder)
    monkeypatch.setattr("harness_plugins.corpus.hf.hf._made", {})  # as in a new process
    monkeypatch.setattr("harness_plugins.corpus.hf.hf._write", None)
    assert texts(folder) == TEXTS


# -------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("field", "message"),
    [("txt", r"row 0 of train: no field txt\. Did you mean text\?"), ("number", r"field number is int, not text")],
)
def test_a_field_that_holds_no_text_is_named(tmp_path, rows, cache, field, message):
    with pytest.raises(UserError, match=message):
        texts(saved(tmp_path / "data", rows, "parquet"), field=field)
    assert not [path for path in cache.iterdir() if path.is_dir()]


@pytest.mark.parametrize("form", ["save_to_disk", "parquet", "jsonl", "arrow"])
def test_damaged_files_are_told_in_one_paragraph_and_leave_nothing(tmp_path, rows, cache, form):
    folder = saved(tmp_path / "data", rows, form)
    damaged = next(file for file in folder.iterdir() if file.suffix in (".parquet", ".jsonl", ".arrow"))
    damaged.write_bytes(damaged.read_bytes()[:50])
    with pytest.raises(UserError, match=r"corpus.path=.*data: `datasets` cannot read it \(\w"):
        texts(folder)
    assert not [path for path in cache.iterdir() if path.is_dir()]


def test_a_data_set_s_own_code_is_never_run(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "data.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(UserError, match=r"cannot read it \(Dataset scripts are no longer supported"):
        texts(tmp_path / "data")
    assert not (tmp_path / "ran").exists()


def test_an_empty_folder_and_a_path_that_is_no_name_are_refused(tmp_path):
    (tmp_path / "data").mkdir()
    with pytest.raises(UserError, match=r"doesn't contain any data files"):
        texts(tmp_path / "data")
    with pytest.raises(UserError, match=r"there is no such folder or file, and no such name on the Hub"):
        texts(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"corpus.path has no value"):
        plugin_config("corpus", "hf", "corpus")


# --------------------------------------------------------------------------------------------- the Hub


@pytest.mark.parametrize("offline", [True, False], ids=["HF_HUB_OFFLINE", "no network"])
def test_a_hub_out_of_reach_is_said_within_seconds_and_what_to_do(offline, tmp_path):
    """In a process of its own: the library reads its environment when it is imported."""
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "HF_HUB_OFFLINE": str(int(offline))}
    env |= {"HF_ENDPOINT": "http://127.0.0.1:9"}  # where nobody listens
    words = ["why", "corpus=hf", "corpus.path=some/where", "corpus.documents=5"]
    before = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli", *words],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert time.monotonic() - before < 15  # of which the imports take the most
    said = " ".join(done.stderr.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert "corpus.path=some/where: there is no such folder here, and the Hub is out of reach (" in said
    assert "Give a local folder instead" in said
    assert "Traceback" not in said
    assert "Retrying" not in said


def hub(monkeypatch, answer):
    """The Hub as it would answer to the one question that is asked of it."""

    def dataset_info(self, name, revision=None, timeout=None):
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(sha=answer)

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", dataset_info)


def test_an_unknown_name_on_the_hub_is_told(monkeypatch):
    response = SimpleNamespace(status_code=404, headers={}, request=SimpleNamespace())
    hub(monkeypatch, RepositoryNotFoundError("404", response=response))
    with pytest.raises(UserError, match=r"some/where: there is no such folder here and no such data set on the Hub"):
        texts("some/where")


def test_what_the_hub_gives_is_asked_for_once_bounded_and_at_one_commit(monkeypatch, rows):
    asked = []

    def load_dataset(path, config, *, split, revision, streaming):
        asked.append((path, config, split, revision))
        assert streaming
        return rows.to_iterable_dataset()

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    hub(monkeypatch, "abc123")
    assert texts("some/set", config="en", split="test", documents=2) == TEXTS[:2]
    monkeypatch.setattr("harness_plugins.corpus.hf.hf._made", {})  # as in a new process
    hub(monkeypatch, ConnectionError("no network"))
    assert texts("some/set", config="en", split="test", documents=2) == TEXTS[:2]
    assert asked == [("some/set", "en", "test", "abc123")]


def test_a_stream_that_breaks_off_leaves_nothing(monkeypatch, cache):
    def rows():
        yield {"text": "one"}
        raise ConnectionError("the connection was lost")

    stream = datasets.IterableDataset.from_generator(rows)
    monkeypatch.setattr(datasets, "load_dataset", lambda *args, **options: stream)
    hub(monkeypatch, "abc123")
    with pytest.raises(UserError, match=r"some/set: `datasets` cannot read it \(the connection was lost\)"):
        texts("some/set")
    assert not [path for path in cache.iterdir() if path.is_dir()]
    assert texts("some/set", documents=1) == ["one"]
