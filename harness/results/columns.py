"""The columns of the tables `runs`, `scores`, `measures` and `options`, each defined once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.errors import UserError
from harness.registry import METHOD, registry

Row = dict[str, Any]


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
        own = at(run, f"config.seeds.{of}")
        return at(run, "config.seed") if own is None else own

    return seed


def loss_in(run: Row) -> Any:
    """What a run's losses are told in: as the manifest says; older runs' manifests leave it to the method."""
    method, said = at(run, "config.method.name"), at(run, "model.loss_in")
    try:
        return said or (method and registry().get(METHOD, method).unit)  # type: ignore[attr-defined]
    except UserError:  # a method that is not installed here
        return None


def active_non_embedding(run: Row) -> Any:
    """The N of 6ND and of laws: parameters outside look-up tables, of experts those that one token uses."""
    counts = [at(run, f"model.{name}") for name in ("active", "parameters", "non_embedding")]
    if None in counts:
        return None
    active, parameters, non_embedding = counts
    return active - (parameters - non_embedding)  # a look-up table is active as a whole


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
    Column("adapter", "VARCHAR", "config.adapter.name", "adapter"),
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
    Column("active_non_embedding", "BIGINT", active_non_embedding, "of those, the ones outside look-up tables"),
    Column("steps", "BIGINT", "budget.steps", "optimizer steps of the whole run"),
    Column("tokens", "BIGINT", "budget.tokens", "training tokens of the whole run, repeats counted"),
    Column("unique_tokens", "BIGINT", "budget.unique_tokens", "training tokens of the whole run, repeats not counted"),
    Column("epochs", "DOUBLE", "budget.epochs", "passes over the training text; in a mix, the most of any source"),
    Column(
        "flops", "DOUBLE", "budget.flops", "training FLOPs, exact: every matrix product, three forward passes' worth"
    ),
    Column("flops_6nd", "DOUBLE", "budget.flops_6nd", "training FLOPs by 6ND, N active, without embeddings"),
    Column(
        "init_from", "VARCHAR", "identity.parents.init", "the run at a step, or folder, whose weights it began with"
    ),
    Column("continues", "VARCHAR", "identity.parents.continue", "the run at a step that it goes on from"),
    Column("own_steps", "BIGINT", "budget.own_steps", "optimizer steps of this run itself, without what it continues"),
    Column("own_flops", "DOUBLE", "budget.own_flops", "training FLOPs, exact, of this run itself"),
    # what came of it
    Column("loss_in", "VARCHAR", loss_in, "what the method tells its losses in, held-out and training ones"),
    Column("held_out_loss", "DOUBLE", "result.held_out_loss", "loss on held-out data, in what loss_in says"),
    Column("held_out_stderr", "DOUBLE", "result.held_out_stderr", "its standard error"),
    Column("train_loss", "DOUBLE", "result.train_loss", "last training loss, in what loss_in says"),
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

#: The table `measures`, one row for each thing that a run's method told of held-out data beside its loss.
MEASURES = (
    Column("run", "VARCHAR", "run", "the run's id"),
    Column("name", "VARCHAR", "name", "what was measured, as the method calls it"),
    Column("value", "DOUBLE", "value", "the mean over held-out data"),
    Column("stderr", "DOUBLE", "stderr", "its standard error"),
    Column("n", "BIGINT", "n", "what it is a mean over: so many pairs, tokens, completions"),
)

#: The table `options`: every option of every run, whatever plugin it belongs to.
OPTIONS = (
    Column("run", "VARCHAR", "run", "the run's id"),
    Column("key", "VARCHAR", "key", "dotted key, as in config.json: which plugin fills a slot stands at <slot>.name"),
    Column("value", "VARCHAR", "value", "its value, as JSON; text without quotes"),
)


def at(value: Any, path: str) -> Any:
    """What stands at a dotted path of nested mappings; None where nothing does."""
    for key in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value
