"""The count-based baselines of a study: from the tokens that its best run saw, on the text that it was scored on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from harness.config import RunConfig, from_mapping
from harness.planning.plan import dataset
from harness.rundir import RunDir, checksum, read_json, write_json

HELD_OUT = "held_out_"


def baselines_of(run: RunDir, folder: Path) -> list[dict[str, Any]]:
    """Rows {name, task, nats_per_token, bits_per_byte, tokens} for the largest source; kept in the study's folder.

    Empty where the run was not scored on held-out documents.
    """
    kept = folder / "baselines.json"
    manifest, config = run.manifest(), from_mapping(RunConfig, run.config())
    task = HELD_OUT + max(config.corpus.mixture(), key=lambda source: source.weight).name
    samples = sorted((run.path / "samples").glob(f"{task}@*.parquet"))
    if not samples:
        return []
    key = [run.id, manifest["budget"]["tokens"], checksum(samples[-1])]
    if kept.exists() and (found := read_json(kept))["of"] == key:
        return list(found["rows"])
    rows = _count(config, manifest["budget"]["tokens"], _texts(samples[-1]), task)
    write_json(kept, {"of": key, "rows": rows})
    return rows


def _texts(samples: Path) -> list[str]:
    """The texts that a run was scored on."""
    import pyarrow.parquet

    return list(pyarrow.parquet.read_table(samples, columns=["target"])["target"].to_pylist())


def _count(config: RunConfig, tokens: int, texts: list[str], task: str) -> list[dict[str, Any]]:
    from harness.scoring.ngram import baselines

    data, length = dataset(config), config.data.sequence_length
    stream = data.stream(config.with_seeds().seeds.data or 0)
    rows_BS = stream.sequences(0, tokens // length).tokens_BS[:, :length]
    found = baselines(np.asarray(rows_BS), texts, data.tokenizer)
    return [
        {"name": b.name, "task": task, "nats_per_token": b.nats if b.name.startswith("token") else None,
         "bits_per_byte": b.bits_per_byte, "tokens": tokens}
        for b in found
    ]  # fmt: skip
