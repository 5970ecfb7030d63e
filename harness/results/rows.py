"""Run directories to rows: the columns of the tables `runs`, `scores` and `options`, each defined once.

A run directory that cannot be read is named in a warning and passed over: one damaged file must not hide
five thousand good ones.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UserError

Row = dict[str, Any]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Column:
    """One column. type: DuckDB's. source: a dotted path into the manifest (its `config` is config.json), or a
    function of both. meaning: what it says, with its unit."""

    name: str
    type: str
    source: str | Callable[[Row], Any]
    meaning: str


def _seed(of: str) -> Callable[[Row], Any]:
    def seed(run: Row) -> Any:
        own = _at(run, f"config.seeds.{of}")
        return _at(run, "config.seed") if own is None else own

    return seed


def _numerics(run: Row) -> Any:
    found = json.dumps(run["fingerprint"], sort_keys=True) if run.get("fingerprint") else None
    return found and hashlib.blake2b(found.encode(), digest_size=4).hexdigest()


#: The table `runs`, one row for each run directory.
RUNS = (
    Column("id", "VARCHAR", "id", "the run's id, the name of its directory"),
    Column("state", "VARCHAR", "state", "new, running, finished, failed or interrupted"),
    Column("created", "VARCHAR", "created", "when it was started, ISO 8601"),
    # what was asked for
    Column("architecture", "VARCHAR", "config.architecture.name", "architecture"),
    Column("method", "VARCHAR", "config.method.name", "objective or alignment"),
    Column("quantizer", "VARCHAR", "config.quantizer.name", "quantizer"),
    Column("optimizer", "VARCHAR", "config.optimizer.name", "optimizer"),
    Column("schedule", "VARCHAR", "config.schedule.name", "learning-rate schedule"),
    Column("corpus", "VARCHAR", "config.corpus.name", "corpus"),
    Column("tokenizer", "VARCHAR", "config.tokenizer.name", "tokenizer"),
    Column("width", "BIGINT", "config.architecture.width", "channels"),
    Column("layers", "BIGINT", "config.architecture.layers", "layers"),
    Column("sequence_length", "BIGINT", "config.data.sequence_length", "tokens in one sequence"),
    Column("batch_size", "BIGINT", "config.data.batch_size", "sequences in one optimizer step"),
    Column("lr", "DOUBLE", "config.optimizer.lr", "peak learning rate"),
    Column("precision", "VARCHAR", "config.trainer.precision", "arithmetic"),
    Column("seed", "BIGINT", "config.seed", "the seed of what has none of its own"),
    Column("seed_init", "BIGINT", _seed("init"), "seed of the initialisation"),
    Column("seed_data", "BIGINT", _seed("data"), "seed of the order of the data"),
    Column("seed_noise", "BIGINT", _seed("noise"), "seed of dropout and other noise"),
    # what that amounts to
    Column("parameters", "BIGINT", "model.parameters", "parameters, all of them"),
    Column("non_embedding", "BIGINT", "model.non_embedding", "parameters outside look-up tables"),
    Column("active", "BIGINT", "model.active", "parameters that one token uses"),
    Column("steps", "BIGINT", "budget.steps", "optimizer steps of the whole run"),
    Column("tokens", "BIGINT", "budget.tokens", "training tokens of the whole run, repeats counted"),
    Column("unique_tokens", "BIGINT", "budget.unique_tokens", "training tokens of the whole run, repeats not counted"),
    Column("epochs", "DOUBLE", "budget.epochs", "passes over the training text; in a mix, the most of any source"),
    Column(
        "flops", "DOUBLE", "budget.flops", "training FLOPs, exact: every matrix product, three forward passes' worth"
    ),
    Column(
        "flops_6nd", "DOUBLE", "budget.flops_6nd", "training FLOPs by 6ND, N without embeddings (Kaplan et al. 2020)"
    ),
    Column(
        "init_from", "VARCHAR", "identity.parents.init", "the run at a step, or folder, whose weights it began with"
    ),
    Column("continues", "VARCHAR", "identity.parents.continue", "the run at a step that it goes on from"),
    Column("own_steps", "BIGINT", "budget.own_steps", "optimizer steps of this run itself, without what it continues"),
    Column("own_flops", "DOUBLE", "budget.own_flops", "training FLOPs, exact, of this run itself"),
    # what came of it
    Column("held_out_loss", "DOUBLE", "result.held_out_loss", "loss on held-out documents, nats per token"),
    Column("held_out_stderr", "DOUBLE", "result.held_out_stderr", "its standard error"),
    Column("train_loss", "DOUBLE", "result.train_loss", "last training loss, nats per token"),
    Column("seconds", "DOUBLE", "result.seconds", "training time"),
    Column("tokens_per_second", "DOUBLE", "result.tokens_per_second", "training speed"),
    Column("model_bytes", "BIGINT", "result.model_bytes", "bytes of the file that the model is loaded from"),
    Column("quantized", "DOUBLE", "quantization.share", "share of the parameters that is quantized"),
    Column("code", "VARCHAR", "code.digest", "digest of the code that made it"),
    # how it was computed; a run that went on under another fingerprint says "1, then 4"
    Column("numerics", "VARCHAR", _numerics, "digest of the numerics fingerprint: under one, equal runs are bit-equal"),
    *(
        Column(name, "VARCHAR", f"fingerprint.{name}", meaning)
        for name, meaning in {
            "device": "instruction set or device",
            "threads": "CPU threads of one process",
            "world_size": "processes",
            "strategy": "how they share the run",
            "micro_batch": "sequences in one forward pass",
            "compile": "whether it was compiled",
            "deterministic": "whether deterministic algorithms only",
            "torch": "PyTorch's version",
        }.items()
    ),
)

#: The table `scores`, one row for each score.
SCORES = (
    Column("run", "VARCHAR", "run", "the run's id"),
    Column("checkpoint", "BIGINT", "checkpoint", "its checkpoint, as a step"),
    Column("suite", "VARCHAR", "suite", "suite"),
    Column("task", "VARCHAR", "task", "task"),
    Column("metric", "VARCHAR", "metric", "metric"),
    Column("value", "DOUBLE", "value", "the score"),
    Column("stderr", "DOUBLE", "stderr", "its standard error"),
    Column("n", "BIGINT", "n", "samples"),
    Column("likelihood", "VARCHAR", "likelihood", "kind of likelihood"),
)

#: The table `options`: every option of every run, whatever plugin it belongs to.
OPTIONS = (
    Column("run", "VARCHAR", "run", "the run's id"),
    Column("key", "VARCHAR", "key", "dotted key, as on the command line"),
    Column("value", "VARCHAR", "value", "its value, as JSON; text without quotes"),
)


def run_rows(runs: str | Path) -> Iterator[Row]:
    for folder in _folders(runs):
        if row := run_row(folder.path):
            yield row


def run_row(path: str | Path) -> Row | None:
    """One run's row of the table `runs`; None where there is no run, or none that can be read."""
    manifest = read_manifest(path)
    return manifest and run_columns({**manifest, "id": os.path.basename(path)})


def read_manifest(path: str | Path) -> Row | None:
    """A run's manifest with its config.json as `config`; None where there is no run, or none that can be read."""
    return _guarded(path, _manifest)


def run_columns(manifest: Row) -> Row:
    """The columns of the table `runs` from what `read_manifest` gives."""
    return _row(RUNS, manifest)


def score_rows(runs: str | Path) -> Iterator[Row]:
    for folder in _folders(runs):
        yield from run_scores(folder.path)


def run_scores(path: str | Path) -> Iterator[Row]:
    """One run's rows of the table `scores`; none where they cannot be read."""
    for score in _guarded(path, _scores) or ():
        if isinstance(score, dict):
            score["run"] = os.path.basename(path)
            yield {c.name: _typed(c.type, score.get(c.name)) for c in SCORES}


def option_rows(runs: str | Path) -> Iterator[Row]:
    for folder in _folders(runs):
        for key, value in leaves((read_manifest(folder.path) or {}).get("config", {})):
            yield {"run": folder.name, "key": key, "value": value if isinstance(value, str) else json.dumps(value)}


def _folders(runs: str | Path) -> list[os.DirEntry[str]]:
    """By name, without what is hidden (half-made, moved aside)."""
    try:
        with os.scandir(runs) as found:
            return sorted((f for f in found if not f.name.startswith(".") and f.is_dir()), key=lambda f: f.name)
    except OSError:
        raise UserError(f"There is no folder of runs at {runs}. Give the right one with runs=<folder>.") from None


def _manifest(path: str) -> Row | None:
    if not os.path.exists(f"{path}/manifest.json") and not os.path.exists(f"{path}/config.json"):
        return None  # a folder of somebody else's
    return {**_load(f"{path}/manifest.json", dict), "config": _load(f"{path}/config.json", dict, {})}


def _scores(path: str) -> Any:
    return _load(f"{path}/scores.json", list, [])


def _guarded(path: str | Path, read: Callable[[str], Any]) -> Any:
    try:
        return read(str(path))
    except (OSError, ValueError) as error:
        log.warning("Run %s is passed over: %s.", path, str(error).rstrip("."))
        return None


def _load(path: str, expected: type, missing: Any = None) -> Any:
    """A JSON file's content. Raises OSError or ValueError, naming the file."""
    try:
        with open(path, "rb") as file:
            value = json.loads(file.read())
    except FileNotFoundError:
        if missing is not None:
            return missing
        raise ValueError(f"{os.path.basename(path)} is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{os.path.basename(path)} cannot be read ({error})") from None
    if not isinstance(value, expected):
        raise ValueError(f"{os.path.basename(path)} does not hold a {expected.__name__}")
    return value


def _row(columns: tuple[Column, ...], source: Row) -> Row:
    return {
        c.name: _typed(c.type, _at(source, c.source) if isinstance(c.source, str) else c.source(source))
        for c in columns
    }


def _at(value: Any, path: str) -> Any:
    for key in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def _typed(type: str, value: Any) -> Any:
    """The value if it is of the column's type, else None."""
    if type == "VARCHAR":
        return None if value is None else str(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if type == "DOUBLE":
        return float(value)
    return int(value) if math.isfinite(value) and abs(value) < 2**63 else None


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key and value of everything in nested mappings."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}" if path else key)
    else:
        yield path, value
