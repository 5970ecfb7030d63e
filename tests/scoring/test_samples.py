"""Sample-level outputs: what was written is read, and damage is told by name."""

import pytest

from harness.errors import UserError
from harness.rundir import RunDir
from harness.scoring.samples import read_samples, samples_path, write_samples

SAMPLE = {"document": 1, "filter": "none", "prompt": "a\ud800", "target": "b", "responses": ["c"], "choices": []}


def test_what_was_written_is_read(tmp_path):
    write_samples(RunDir(tmp_path), "s", "a/task", 3, [{**SAMPLE, "log_likelihoods": [-1.5], "metric.acc": 1.0}])
    (row,) = read_samples(samples_path(RunDir(tmp_path), "s", "a/task", 3)).to_pylist()
    assert row == {**SAMPLE, "prompt": "a?", "log_likelihoods": [-1.5], "metric.acc": 1.0}


@pytest.mark.parametrize("content", [b"", b"words", None])
def test_a_damaged_file_is_named(tmp_path, content):
    write_samples(RunDir(tmp_path), "s", "task", 3, [{**SAMPLE, "log_likelihoods": [-1.5]}])
    path = samples_path(RunDir(tmp_path), "s", "task", 3)
    path.write_bytes(path.read_bytes()[:100] if content is None else content)
    with pytest.raises(UserError, match=r"task@3.parquet is damaged \(\w.*\)\. Remove it, and score the run again"):
        read_samples(path)
