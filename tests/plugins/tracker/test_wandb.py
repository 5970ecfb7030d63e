"""W&B offline: what a run has sent is read back from the file that `wandb sync` would send."""

import importlib.util
import json
import struct

import pytest

from harness.cli import main
from harness.errors import UserError
from harness.interfaces.tracker import TrackerConfig
from harness.rundir import RunDir
from harness_plugins.tracker.wandb import WandbConfig

installed = pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="needs W&B: `make trackers`")


@pytest.fixture(autouse=True)
def nobody(monkeypatch, tmp_path):
    """Nobody is logged in, and the environment says nothing."""
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def test_a_missing_package_is_said_before_anything_starts(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs the package wandb.*pip install 'harness-lm\[wandb\]'"):
        WandbConfig(name="wandb").require()


def test_online_without_a_key_is_said_before_anything_starts(monkeypatch, tmp_path):
    monkeypatch.setattr(TrackerConfig, "require_package", lambda self, package: None)
    with pytest.raises(UserError, match="no API key"):
        WandbConfig(name="wandb").require()
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password key\n")
    WandbConfig(name="wandb").require()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    with pytest.raises(UserError, match="no API key"):
        WandbConfig(name="wandb").require()
    monkeypatch.setenv("WANDB_MODE", "offline")
    WandbConfig(name="wandb").require()


def test_a_run_without_the_package_makes_nothing(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *at: find(name, *at) if name != "wandb" else None)
    assert main(["train", "experiment=tiny", "tracker=wandb", "suite=null"]) == 2
    assert "needs the package wandb, which is not installed" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def sent(run):
    """The records of each offline attempt: LevelDB's log (7 bytes of head; blocks of 32 KiB; each piece with its
    checksum, length and place in the record) of protocol buffers."""
    from wandb.proto import wandb_internal_pb2

    for path in sorted(run.path.glob("wandb/offline-run-*/*.wandb")):
        data, at, record, records = path.read_bytes(), 7, b"", []
        while at + 7 <= len(data):
            if 2**15 - at % 2**15 < 7:
                at += 2**15 - at % 2**15
                continue
            _, length, place = struct.unpack("<IHB", data[at : at + 7])
            record += data[at + 7 : at + 7 + length]
            at += 7 + length
            if place in (1, 4):  # whole, or its last piece
                records.append(wandb_internal_pb2.Record.FromString(record))
                record = b""
        yield records


def values(items):
    found = {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}
    return {name: value for name, value in found.items() if not name.startswith("_")}


@installed
@pytest.mark.slow
def test_a_run_trains_into_it_offline_and_is_sent_again_by_sync(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["experiment=tiny", "budget.tokens=16384", "suite=null", "tracker=wandb", "tracker.mode=offline"]
    assert main(["train", *words, "tracker.project=mine"]) == 0
    (run,) = (RunDir(path.parent) for path in (tmp_path / "runs").glob("*/manifest.json"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")  # W&B's service stays where it was started
    words = ["tracker=wandb", "tracker.mode=offline", "tracker.project=mine", "runs=../runs"]
    assert main(["sync", run.id, *words]) == 0
    attempts = list(sent(run))
    assert len(attempts) == 2
    for records in attempts:
        (begun,) = [record.run for record in records if record.WhichOneof("record_type") == "run"]
        assert (begun.run_id, begun.project) == (run.id, "mine")
        assert values(begun.config.update)["budget"]["tokens"] == 16384
        rows = [values(record.history.item) for record in records if record.WhichOneof("record_type") == "history"]
        assert rows == run.metrics()
        summary = {}
        for record in records:
            summary |= values(record.summary.update)
        assert summary["result/held_out_loss"] == run.manifest()["result"]["held_out_loss"]
        assert any(record.WhichOneof("record_type") == "exit" for record in records)
