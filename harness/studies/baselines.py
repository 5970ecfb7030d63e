"""The count-based baselines of a study: from the tokens that its best run saw, on the text that it was scored on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from harness.config import RunConfig, from_mapping
from harness.planning.plan import dataset
from harness.rundir import RunDir, read_json, write_json

HELD_OUT = "held_out_"


def baselines_of(run: RunDir, folder: Path) -> list[dict[str, Any]]:
    """Rows {name, task, nats_per_token, bits_per_byte, tokens} for the corpus's largest source; kept in the study's folder.

    Empty where the run was not scored on held-out documents.
    """
    kept = folder / "baselines.json"
    manifest, config = run.manifest(), from_mapping(RunConfig, run.config())
    source = max(config.corpus.mixture(), key=lambda source: source.weight).name
    texts = held_out_texts(run, f"{HELD_OUT}{source}")
    key = [manifest["identity"]["data"], manifest["budget"]["tokens"], run.id, len(texts), sum(map(len, texts))]
    if kept.exists() and (found := read_json(kept))["of"] == key:
        return list(found["rows"])
    rows = _count(config, manifest["budget"]["tokens"], texts, f"{HELD_OUT}{source}") if texts else []
    write_json(kept, {"of": key, "rows": rows})
    return rows


def held_out_texts(run: RunDir, task: str) -> list[str]:
    """The texts that a run was scored on, from its kept samples."""
    import pyarrow.parquet

    files = sorted((run.path / "samples").glob(f"{task}@*.parquet"))
    return list(pyarrow.parquet.read_table(files[-1], columns=["target"])["target"].to_pylist()) if files else []


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
