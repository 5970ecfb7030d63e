"""What counting reaches: on the tokens that the run saw, on the samples that it was scored on."""

import math

import numpy as np
import pytest

from harness.composition import run_config
from harness.config import to_mapping
from harness.files import new_folder, write_json
from harness.planning.plan import dataset
from harness.rundir import RunDir
from harness.scoring.ngram import baselines
from harness.scoring.samples import samples_path, write_samples
from harness.studies.baselines import _compared, _on_pairs, _paired, _part, levels, seen


@pytest.fixture
def data(tmp_path):
    """Two texts of bytes, one three times as likely as the other."""
    sources = {}
    for name, weight in (("large", 3), ("small", 1)):
        (tmp_path / f"{name}.txt").write_text(" ".join(f"{name}{i}" for i in range(60)))
        sources[name] = f"{{name: text, path: {tmp_path}/{name}.txt, weight: {weight}}}"
    mix = ",".join(f"{name}: {source}" for name, source in sources.items())
    overrides = ["corpus=mix", f"+corpus.sources={{{mix}}}", "tokenizer=bytes", "data.held_out=0"]
    return dataset(run_config([*overrides, "data.sequence_length=10"]))


@pytest.mark.parametrize("places", [1, 7, 30, 300])
def test_what_was_seen_is_every_sequence_once_and_neighbours_are_joined(data, places):
    stream = data.stream(0)
    pieces = seen(stream, places)
    rows = {tuple(row) for row in stream.sequences(0, places).tokens_BS.tolist()}
    cut = [tuple(piece[i : i + 11].tolist()) for piece in pieces for i in range(0, len(piece) - 1, 10)]
    assert len(cut) == len(set(cut))
    assert set(cut) == rows
    sides = [part.side.read(0, part.side.tokens).tolist() for part in stream.parts]
    assert all(
        any(piece.tolist() == side[i : i + len(piece)] for side in sides for i in range(len(side))) for piece in pieces
    )


def test_all_of_a_text_is_one_piece(data):
    assert len(seen(data.stream(0), 300)) == 2


def test_a_difference_is_paired_by_document():
    """Against the textbook's t interval where all documents are of one length: then the ratio is a mean."""
    nats, lengths = np.array([3.0, 1.0, 2.5, 0.5]), np.array([2, 2, 2, 2])
    found = _paired(nats, lengths)
    bits = nats / lengths / math.log(2)
    assert found.value == pytest.approx(bits.mean())
    assert found.half_width == pytest.approx(3.1824 * bits.std(ddof=1) / 2, rel=1e-4)
    assert _paired(nats[:1], lengths[:1]).half_width is None


@pytest.mark.parametrize(
    ("low", "by", "high", "said"),
    [
        (0.1, 0.2, 0.3, "beats a token bigram (2.000) by 0.200 (0.100 to 0.300)"),
        (-0.1, 0.1, 0.3, "cannot be told from a token bigram (2.000), lower by 0.100 (−0.100 to 0.300)"),
        (-0.3, -0.2, -0.1, "loses to a token bigram (2.000) by 0.200 (0.100 to 0.300)"),
        (None, -0.2, None, "is lower than a token bigram (2.000) by −0.200 on its only document"),
    ],
)
def test_a_win_is_a_win_only_where_the_interval_says_so(low, by, high, said):
    row = {"name": "token bigram", "bits_per_byte": 2.0, "best_run_lower_by": by, "low": low, "high": high}
    assert _part(row) == said


def test_choosers_know_lengths_and_frequencies_alone(data):
    unigram = baselines([np.frombuffer(b"aaaaaaab" * 50, dtype=np.uint8).astype(np.int64)], data.tokenizer)[0]
    columns = {
        "choices": [["aa", "aaa"], ["aaa", "aa"], ["aa", "ab"], ["ab", "bb"], ["bb", "ba"]],
        "metric.accuracy": [1.0, 1.0, 0.0, 0.0, 0.0],
    }
    row = _on_pairs("pairs_x", columns, unigram)
    assert row["fewer tokens"] == pytest.approx((1 + 0 + 3 * 0.5) / 5)
    assert row["frequent tokens"] == pytest.approx((1 + 0 + 1 + 1 + 0) / 5)
    assert (row["more tokens"], row["rare tokens"]) == (1 - row["fewer tokens"], 1 - row["frequent tokens"])
    assert row["best run"] == pytest.approx(0.4)


def test_chance_is_counted_from_the_choices_of_each_sample(tmp_path):
    run = RunDir(tmp_path / "run")
    common = {"filter": "none", "prompt": "", "target": "a", "responses": [], "metric.margin": 1.0, "metric.acc": 1.0}
    choices = [["a", "b", "c", "d"], ["a", "b"]]
    samples = [
        {**common, "document": i, "choices": c, "log_likelihoods": [0.0] * len(c)} for i, c in enumerate(choices)
    ]
    write_samples(run, "s", "questions", 1000, samples)
    write_samples(run, "s", "questions", 900, samples[:1])
    row = {"run": "run", "suite": "s", "task": "questions", "metric": "acc", "value": 1.0}
    row |= {"stderr": None, "n": 2, "likelihood": "causal"}
    write_json(run.path / "scores.json", [{**row, "checkpoint": step} for step in (1000, 900)])
    assert levels(run, None) == [{"task": "questions", "metric": "acc", "name": "chance", "value": (1 / 4 + 1 / 2) / 2}]


def test_tokens_are_counted_with_the_tokenizer_that_the_run_was_trained_with(tmp_path):
    """One that it took over from its parent, whose corpus was another: that of its own corpus would cut otherwise."""
    for name in ("own", "parents"):
        (tmp_path / f"{name}.txt").write_text(f"the {name} words and more of {name} " * 300)
    words = ["experiment=tiny", "corpus=text", "tokenizer.size=270", "data.held_out=0"]
    own, parents = (run_config([*words, f"corpus.path={tmp_path / name}.txt"]) for name in ("own", "parents"))
    run = RunDir(tmp_path / "run")
    write_json(run.path / "config.json", to_mapping(own))
    run.update_manifest(identity={"tokenizer": "its checksum", "steps": 1})
    with new_folder(run.path / "tokenizer") as folder:
        dataset(parents).tokenizer.save(folder)
    text = "the own words"
    row = {"document": 0, "filter": "none", "prompt": "", "target": text, "responses": [], "choices": []}
    write_samples(run, "s", "held_out_text", 1, [{**row, "log_likelihoods": [-9.0], "metric.bits_per_byte": 1.0}])
    found = _compared(run, 4096, "held_out_text", {"held_out_text": samples_path(run, "s", "held_out_text", 1)})
    told = next(row for row in found["rows"] if row["nats_per_token"] is not None)
    tokens = told["bits_per_byte"] * math.log(2) * len(text) / told["nats_per_token"]
    assert round(tokens) == len(dataset(parents).tokenizer.encode(text)) != len(dataset(own).tokenizer.encode(text))
