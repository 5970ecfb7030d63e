"""Sample-level outputs: one Parquet file for each task and checkpoint."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.files import write_atomic
from harness.rundir import RunDir


def samples_path(run: RunDir, suite: str, task: str, step: int) -> Path:
    """``samples/<suite>/<task>@<step>.parquet``; what cannot stand in a file's name becomes ``_``."""
    folder, name = (re.sub(r"[^A-Za-z0-9._-]", "_", word) for word in (suite, task))
    return run.path / "samples" / folder / f"{name}@{step}.parquet"


def samples_of(run: RunDir, score: Mapping[str, Any]) -> Path:
    """Where the samples behind a score are."""
    return samples_path(run, score["suite"], score["task"], score["checkpoint"])


def write_samples(run: RunDir, suite: str, task: str, step: int, samples: Sequence[dict[str, Any]]) -> None:
    """Columns: document, filter, prompt, target, responses, choices, log_likelihoods (nats), and metric.<name>."""
    import pyarrow
    import pyarrow.parquet

    fixed = {
        "document": pyarrow.int64(),
        "filter": pyarrow.string(),
        "prompt": pyarrow.string(),
        "target": pyarrow.string(),
        "responses": pyarrow.list_(pyarrow.string()),
        "choices": pyarrow.list_(pyarrow.string()),
        "log_likelihoods": pyarrow.list_(pyarrow.float64()),
    }
    metrics = dict.fromkeys(key for sample in samples for key in sample if key not in fixed)
    schema = pyarrow.schema([*fixed.items(), *((name, pyarrow.float64()) for name in metrics)])
    buffer = io.BytesIO()
    table = pyarrow.Table.from_pylist([{key: _valid(value) for key, value in s.items()} for s in samples], schema)
    pyarrow.parquet.write_table(table, buffer, compression="zstd")
    write_atomic(samples_path(run, suite, task, step), buffer.getvalue())


def read_samples(path: Path) -> Any:
    """One file's pyarrow.Table. Raises UserError where it is damaged."""
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:  # `read_table` imports what reads folders, for 0.3 s
            return file.read()
    except (OSError, pyarrow.ArrowException) as error:
        reason = str(error).split("\n")[0].rstrip(".")
        raise UserError(f"{path} is damaged ({reason}). Remove it, and score the run again.") from None


def _valid(value: Any) -> Any:
    """Without lone surrogates, which a text may hold and Parquet cannot."""
    if isinstance(value, list):
        return [_valid(item) for item in value]
    return value.encode(errors="replace").decode() if isinstance(value, str) else value
