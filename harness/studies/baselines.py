"""What counting reaches: n-gram models of the tokens that a study's best run saw, on the samples that it was scored on.

All comparisons are of like with like: the same documents, each from an empty context, and paired document by document.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.data.curriculum import stages
from harness.data.dataset import form_of
from harness.files import checksum, read_json, write_json
from harness.interfaces.analysis import Finding
from harness.interfaces.corpus import DOCUMENTS
from harness.launch.run import as_carried_out
from harness.planning.plan import dataset
from harness.registry import registry
from harness.reports.style import size
from harness.results.columns import active_non_embedding
from harness.rundir import RunDir
from harness.stored import likelihood_of, stored_config

if TYPE_CHECKING:
    from harness.data.stream import Stream
    from harness.interfaces.likelihood import LikelihoodConfig
    from harness.scoring.ngram import Baseline

Row = dict[str, Any]
HELD_OUT, PAIRS = "held_out_", "pairs_"
#: What can choose between two texts without reading them.
CHOOSERS = ("fewer tokens", "more tokens", "frequent tokens", "rare tokens")
CONFIDENCE = 0.95
FORMAT = 4  #: of baselines.json


def baselines_of(run: RunDir, folder: Path) -> Finding | None:
    """How one run compares; counted once and kept in the study's folder as ``baselines.json``.

    None where the run reads no documents, was not scored on held-out ones of its largest source, or has numbers that
    are no probabilities of texts, as those of counts are.
    """
    config, name = stored_config(run), likelihood_of(run)
    if name is None:
        return None
    likelihood: type[LikelihoodConfig] = registry().get("likelihood", name)
    if not likelihood.proper:
        return None
    if form_of(config.corpus) != DOCUMENTS:
        return None
    task = HELD_OUT + max(config.corpus.mixture(), key=lambda source: source.weight).name
    samples = _samples(run)
    if task not in samples:
        return None
    file, budget = folder / "baselines.json", run.manifest()["budget"]["tokens"]
    of = [FORMAT, run.id, budget, {name: checksum(path) for name, path in sorted(samples.items())}]
    kept = read_json(file) if file.exists() else {}
    if kept.get("of") != of:
        kept = {"of": of, **_compared(run, budget, task, samples)}
        write_json(file, kept)
    return _finding(run, kept["rows"], kept["pairs"])


def levels(run: RunDir, finding: Finding | None) -> list[Row]:
    """Rows {task, metric, name, value}: what is reached without a model that reads. Of several choosers between two
    texts (a guess, and those of `_on_pairs`) the best."""
    found: dict[tuple[str, str], Row] = {}
    for task, path in _samples(run).items():
        columns = _columns(path)
        for metric in {"acc", "accuracy"} & {
            name.removeprefix("metric.") for name in columns if all(columns["choices"])
        }:
            found[task, metric] = {"task": task, "metric": metric, "name": "chance", "value": _chance(columns)}
    for row in finding.tables["minimal pairs"] if finding else []:
        name = max(CHOOSERS, key=lambda chooser: row[chooser])
        if row[name] > found[row["task"], "accuracy"]["value"]:
            found[row["task"], "accuracy"] |= {"name": name, "value": row[name]}
    rows = finding.tables["held-out documents"] if finding else []
    return list(found.values()) + [
        {"task": row["task"], "metric": metric, "name": row["name"], "value": row[metric]}
        for row in rows
        for metric in ("nats_per_token", "bits_per_byte")
        if row[metric] is not None
    ]


def _samples(run: RunDir) -> dict[str, Path]:
    """The sample-level outputs of each task at the last checkpoint that was scored."""
    from harness.scoring.samples import samples_of

    scores = sorted(run.scores(), key=lambda row: int(row["checkpoint"]))
    paths = {row["task"]: samples_of(run, row) for row in scores}
    return {task: path for task, path in paths.items() if path.is_file()}


def _columns(samples: Path) -> dict[str, list[Any]]:
    from harness.scoring.samples import read_samples

    return dict(read_samples(samples).to_pydict())


def _chance(columns: dict[str, list[Any]]) -> float:
    """How often a guess among each sample's choices is right."""
    return float(np.mean([1 / len(set(choices)) for choices in columns["choices"]]))


# ---------------------------------------------------------------------------------------- counting


def _compared(run: RunDir, budget: int, task: str, samples: dict[str, Path]) -> dict[str, list[Row]]:
    from harness.scoring.ngram import baselines

    config, inherited = as_carried_out(run)
    data = dataset(config, inherited=inherited)
    staged = stages(config.data, run.manifest()["identity"]["steps"])
    stream = data.stream(config.with_seeds().seeds.data or 0, staged)
    unigram, *models = baselines(seen(stream, budget // data.sequence_length), data.tokenizer)
    pairs = [name for name in sorted(samples) if name.startswith(PAIRS)]
    return {
        "rows": [_on_documents(task, _columns(samples[task]), model, data.tokenizer) for model in models],
        "pairs": [_on_pairs(name, _columns(samples[name]), unigram) for name in pairs],
    }


def seen(stream: Stream, places: int) -> list[np.ndarray]:
    """The tokens at a stream's first places, with their last targets: neighbouring sequences joined into one piece,
    and each sequence once, however often it came."""
    source, _, sequence = stream.locate(np.arange(places))
    where = np.unique(np.stack([source, sequence]), axis=1)
    gaps = np.flatnonzero((np.diff(where[0]) != 0) | (np.diff(where[1]) != 1)) + 1
    length, pieces = stream.length, []
    for sources, sequences in zip(*(np.split(line, gaps) for line in where), strict=True):
        side = stream.parts[sources[0]].side
        pieces.append(side.read(int(sequences[0]) * length, (int(sequences[-1]) + 1) * length + 1))
    return pieces


@dataclass(frozen=True)
class _Difference:
    """A model's bits per byte less another's, on the same documents."""

    value: float
    half_width: float | None  #: of its interval; None for a single document


def _on_documents(task: str, columns: dict[str, list[Any]], model: Baseline, tokenizer: Any) -> Row:
    texts = columns["target"]
    nats, of_run = model.nats(texts), -np.array([values[0] for values in columns["log_likelihoods"]])
    lengths = np.array([len(text.encode()) for text in texts])
    tokens = sum(map(len, tokenizer.encode_all(texts)))
    better = _paired(nats - of_run, lengths)
    return {
        "name": model.name,
        "task": task,
        "documents": len(texts),
        "nats_per_token": float(nats.sum() / tokens) if model.unit == "token" else None,
        "bits_per_byte": float(nats.sum() / lengths.sum() / np.log(2)),
        "best_run": float(of_run.sum() / lengths.sum() / np.log(2)),
        "best_run_lower_by": better.value,
        "low": None if better.half_width is None else better.value - better.half_width,
        "high": None if better.half_width is None else better.value + better.half_width,
    }


def _paired(nats: np.ndarray, lengths: np.ndarray) -> _Difference:
    """Σ nats / Σ bytes in bits, with Student's interval over documents."""
    from lm_eval.api.metrics import bits_per_byte
    from scipy.stats import t

    from harness.scoring.statistics import standard_error

    items = list(zip((-nats).tolist(), lengths.tolist(), strict=True))
    error = standard_error(bits_per_byte, items)
    half = None if error is None else float(t.ppf((1 + CONFIDENCE) / 2, len(items) - 1) * error)
    return _Difference(float(bits_per_byte(items)), half)


def _on_pairs(task: str, columns: dict[str, list[Any]], unigram: Baseline) -> Row:
    """Accuracy of the run and of the choosers: a rule by length or by frequency, and its opposite. A tie is half
    right."""
    good, bad = zip(*columns["choices"], strict=True)
    lengths = [np.array(list(map(len, unigram.encode(texts)))) for texts in (good, bad)]
    nats = [unigram.nats(texts) for texts in (good, bad)]
    fewer, frequent = _share(lengths[1] - lengths[0]), _share(nats[1] - nats[0])
    choosers = dict(zip(CHOOSERS, (fewer, 1 - fewer, frequent, 1 - frequent), strict=True))
    return {"task": task, "pairs": len(good), "best run": float(np.mean(columns["metric.accuracy"])), **choosers}


def _share(lead: np.ndarray) -> float:
    return float(np.mean((lead > 0) + 0.5 * (lead == 0)))


# --------------------------------------------------------------------------------------- the finding


def _finding(run: RunDir, rows: list[Row], pairs: list[Row]) -> Finding:
    manifest = run.manifest()
    N = size(active_non_embedding(manifest))
    who = f"the best run (N = {N}, D = {size(manifest['budget']['tokens'])})"
    sentences = [_documents_sentence(who, rows), *([_pairs_sentence(who, pairs)] if pairs else [])]
    values = {"run": run.id, **{row["name"]: row["best_run_lower_by"] for row in rows}}
    return Finding("baselines", "ok", sentences, values, {"held-out documents": rows, "minimal pairs": pairs})


def _documents_sentence(who: str, rows: list[Row]) -> str:
    first, parts = rows[0], [_part(row) for row in rows]
    return (
        f"On the {first['documents']} documents of {first['task']} {who} reaches {first['best_run']:.3f} bits per "
        f"byte: it {', '.join(parts[:-1])}, and {parts[-1]}. These count its own training tokens, with interpolated "
        f"Kneser–Ney smoothing; in brackets the {CONFIDENCE:.0%} interval of the difference, paired by document."
    )


def _part(row: Row) -> str:
    by, low, high = row["best_run_lower_by"], row["low"], row["high"]
    name = f"a {row['name']} ({row['bits_per_byte']:.3f})"
    if low is None:
        return f"is lower than {name} by {by:.3f} on its only document".replace("-", "−")
    if low <= 0 <= high:
        return f"cannot be told from {name}, lower by {by:.3f} ({low:.3f} to {high:.3f})".replace("-", "−")
    if by > 0:
        return f"beats {name} by {by:.3f} ({low:.3f} to {high:.3f})"
    return f"loses to {name} by {-by:.3f} ({-high:.3f} to {-low:.3f})"


def _pairs_sentence(who: str, pairs: list[Row]) -> str:
    least, most = min(row["best run"] for row in pairs), max(row["best run"] for row in pairs)
    choosers = [max(row[chooser] for chooser in CHOOSERS) for row in pairs]
    return (
        f"Of the minimal pairs ({len(pairs)} kinds) {who} has {least:.0%} to {most:.0%} right; the best of four rules "
        f"that do not read (fewer or more tokens, frequent or rare ones) {min(choosers):.0%} to {max(choosers):.0%}."
    )
