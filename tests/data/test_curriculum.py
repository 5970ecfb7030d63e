"""A curriculum: short sequences, small steps, some sources or what is easy first, any step found without the others."""

import math
from collections import Counter
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.config import ConfigError, from_mapping, plugin_config
from harness.data.curriculum import MANY, pieces, places, shares, stage_of, stages
from harness.data.dataset import Dataset, prepare
from harness.data.difficulty import easiest_first
from harness.data.loader import Rows, loader
from harness.data.stream import Stream
from harness.identity import determining
from harness.schema import DataConfig
from tests.data.corpora import rows_file, run_config, some_examples, some_texts
from tests.data.test_loader import Noisy, rows_of

STEPS, LENGTH, BATCH = 20, 16, 8
CURRICULUM = {"sequence_length": [[0.2, 4], [0.5, 8]], "batch_size": [[0.3, 2], [0.5, 4]]}


def data(**curriculum) -> DataConfig:
    return from_mapping(DataConfig, {"sequence_length": LENGTH, "batch_size": BATCH, "curriculum": curriculum})


def test_stages_are_shares_of_the_run():
    found = [(stage.first, stage.batch_size, stage.sequence_length) for stage in stages(data(**CURRICULUM), STEPS)]
    assert found == [(0, 2, 4), (4, 2, 8), (6, 4, 8), (10, 8, 16)]


@st.composite
def curricula(draw):
    def some(values):
        bounds = draw(st.lists(st.sampled_from([k / 20 for k in range(1, 20)]), unique=True, max_size=4))
        return [[share, draw(st.sampled_from(values))] for share in sorted(bounds)]

    return data(sequence_length=some([1, 2, 4, 8]), batch_size=some([1, 3, 8]))


@settings(max_examples=60)
@given(curricula(), st.integers(1, 50))
def test_the_places_of_a_step_begin_where_those_of_the_step_before_end(config: DataConfig, steps: int):
    """Against a walk over all steps, each asked for what it is."""
    found, place, shown = stages(config, steps), 0, {}
    for step in range(steps + 3):
        stage = stage_of(found, step)
        assert places(found, step) == place
        changes = config.curriculum
        expected = [
            next((value for share, value in of if step < share * steps - 1e-9), last)
            for of, last in ((changes.batch_size, BATCH), (changes.sequence_length, LENGTH))
        ]
        assert [stage.batch_size, stage.sequence_length] == expected
        place += stage.batch_size
        if step < steps:
            shown[stage.sequence_length] = shown.get(stage.sequence_length, 0) + stage.batch_size
    total = sum(shown.values())
    assert {n: share for n, share in shares(config, steps).items() if share} == pytest.approx(
        {n: own / total for n, own in shown.items()}
    )
    assert sum(shares(config, MANY).values()) == pytest.approx(1)


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Stream:
    folder: Path = tmp_path_factory.mktemp("curriculum")
    corpus = rows_file(folder / "rows.jsonl", some_texts(300))
    return prepare(run_config(corpus, sequence_length=LENGTH)).stream(seed=5)


def test_pieces_are_the_row_in_order_each_with_its_last_target(stream: Stream):
    whole = stream.sequences(3, 4)
    cut = pieces(whole, 4)
    assert cut.places_B.tolist() == list(range(3 * 4, 7 * 4))
    for row in range(4):
        own = cut.rows(slice(4 * row, 4 * row + 4))
        assert own.tokens_BS[:, :-1].ravel().tolist() == whole.tokens_BS[row, :-1].tolist()
        assert own.tokens_BS[:, 1:].ravel().tolist() == whole.tokens_BS[row, 1:].tolist()
        for piece, documents_S in enumerate(own.documents_BS):
            there = whole.documents_BS[row, 4 * piece : 4 * piece + 5]
            assert documents_S.tolist() == (there - there[0]).tolist()


def test_chance_is_keyed_by_the_length_and_the_piece(stream: Stream):
    """No piece draws what another one of the same length does, or a whole sequence."""
    noise = [stream.pieces(0, 8, length)[1](3).random() for length in (4, 8, LENGTH)]
    assert len(set(noise)) == 3
    assert noise[-1] == stream.randomness(3).random()
    rows, randomness = stream.pieces(0, 8, 4)
    assert len({randomness(int(place)).random() for place in rows.places_B}) == 32


def batches(stream: Stream, first_step: int = 0, count: int = STEPS, workers: int = 0, **shared):
    rows = Rows(BATCH, stages=stages(data(**CURRICULUM), STEPS), **shared)
    return list(islice(loader(stream, Noisy(), rows, first_step, workers), count))


def test_every_token_of_the_stream_is_shown_once_and_in_order(stream: Stream):
    steps = batches(stream)
    shown = np.concatenate([batch.inputs_BT.numpy().ravel() for step in steps for batch in step])
    total = 6 * 2 + 4 * 4 + 10 * 8
    assert shown.tolist() == stream.sequences(0, total).tokens_BS[:, :-1].ravel().tolist()
    widths = [step[0].inputs_BT.shape for step in steps]
    assert widths == [(8, 4)] * 4 + [(4, 8)] * 2 + [(8, 8)] * 4 + [(8, 16)] * 10


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_the_stream_is_the_same_for_any_number_of_workers_ranks_and_micro_batches(stream: Stream):
    alone = [rows_of(step) for step in batches(stream)]
    assert [rows_of(step) for step in batches(stream, workers=2)] == alone
    ranks = [batches(stream, micro_batch=1, rank=rank, world_size=2) for rank in range(2)]
    assert [[row for step in of_rank for row in rows_of(step)] for of_rank in zip(*ranks, strict=True)] == alone


def test_resuming_at_any_step_is_seeking(stream: Stream):
    whole = [rows_of(step) for step in batches(stream)]
    for first in range(STEPS):
        assert [rows_of(step) for step in batches(stream, first, 2)] == [*whole[first : first + 2], *_behind(stream)][
            :2
        ]


def _behind(stream: Stream):
    """What a run asks for that leaves steps out: it goes on with the last stage."""
    return [rows_of(step) for step in batches(stream, STEPS, 1)]


# ------------------------------------------------------------------------------ what stands at a place


MIXED = {"sources": [[0.25, {"plain": 1}], [0.5, {"plain": 1, "rare": 3}]], "easiest": [[0.3, 0.2], [0.6, 0.5]]}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Two sources, of letters that are the rarer the later they come."""
    folder: Path = tmp_path_factory.mktemp("two")
    rng = np.random.default_rng(0)
    corpora = {}
    for name, share in (("plain", 0.5), ("rare", 0.3)):
        letters = rng.geometric(share, size=(40, 37)).clip(max=26) + 96
        texts = ["".join(map(chr, of_one)) for of_one in letters.tolist()]
        corpora[name] = {**rows_file(folder / f"{name}.jsonl", texts), "weight": 1}
    return prepare(run_config({"name": "mix", "sources": corpora}, held_out=0.0, sequence_length=LENGTH))


def test_sources_weigh_what_the_stage_says(two: Dataset):
    of = stages(data(**MIXED), STEPS)
    source, _, _ = two.stream(1, of).locate(np.arange(STEPS * BATCH))
    shares = [(source[5 * k * BATCH : 5 * (k + 1) * BATCH] == 1).mean() for k in range(4)]
    assert shares == [0.0, 0.75, 0.5, 0.5]


def rarity(dataset: Dataset, number: int) -> dict[tuple[int, ...], float]:
    """Of each sequence of a source −Σ log of the share that its tokens have of all sequences; counted one by one."""
    side = dataset.sources[number].shards.train
    rows = [tuple(side.read(at, at + LENGTH).tolist()) for at in range(0, side.tokens - LENGTH, LENGTH)]
    counts = Counter(token for row in rows for token in row)
    return {row: -sum(math.log(counts[token] / counts.total()) for token in row) for row in rows}


def test_what_is_easy_comes_first(two: Dataset):
    """Whatever comes up to a share of the run is among that share of its source's sequences."""
    made = two.stream(1, stages(data(**MIXED), STEPS))
    bounds = []
    for number in range(2):
        nats = sorted(rarity(two, number).values())
        bounds.append({share: nats[math.ceil(share * len(nats)) - 1] + 1e-3 for share in (0.2, 0.5, 1.0)})
    rows = made.sequences(0, STEPS * BATCH)
    shown: dict[float, list[float]] = {}
    for place, (row, source) in enumerate(zip(rows.tokens_BS.tolist(), rows.sources_B.tolist(), strict=True)):
        share = next((share for until, share in MIXED["easiest"] if place < until * STEPS * BATCH), 1.0)
        nats = rarity(two, source)[tuple(row[:-1])]
        assert nats <= bounds[source][share]
        shown.setdefault(share, []).append(nats)
    means = [np.mean(of) for of in shown.values()]
    assert means == sorted(means)


def test_one_pass_shows_the_same_sequences_in_another_order(two: Dataset):
    """Nothing is shown twice while there is more, so that runs of an epoch with and without differ in order alone."""
    of = stages(data(easiest=[[0.2, 0.3], [0.5, 0.7]]), STEPS)
    plain, staged = two.stream(1), two.stream(1, of)
    count = min(plain.first_repeat(), staged.first_repeat())
    assert count > STEPS * BATCH
    assert staged.all_shown() == plain.all_shown()
    rows = [sorted(made.sequences(0, staged.all_shown()).tokens_BS.tolist()) for made in (plain, staged)]
    assert rows[0] == rows[1]


def test_unique_tokens_and_epochs_are_what_a_walk_counts(two: Dataset):
    """At many budgets, some of them beyond the sequences that are easy."""
    of = stages(data(easiest=[[0.3, 0.1], [0.6, 0.5]], sources=[[0.5, {"rare": 1}]]), 60)
    made = two.stream(0, of)
    source, _, sequence = made.locate(np.arange(60 * BATCH))
    for count in range(1, 60 * BATCH, 37):
        seen = set(zip(source[:count].tolist(), sequence[:count].tolist(), strict=True))
        assert two.distinct(count * LENGTH, of) == len(seen) * LENGTH
        drawn = np.bincount(source[:count], minlength=2) / made.sizes
        assert list(two.epochs(count * LENGTH, of).values()) == pytest.approx(drawn.tolist())
    assert two.distinct(18 * BATCH * LENGTH, of) < two.distinct(18 * BATCH * LENGTH)


def test_any_place_is_found_without_the_others(two: Dataset):
    of = stages(data(**MIXED), STEPS)
    whole = two.stream(1, of).sequences(0, 300).tokens_BS
    for place in range(0, 290, 23):
        assert (two.stream(1, of).sequences(place, 5).tokens_BS == whole[place : place + 5]).all()


def test_stages_of_short_or_small_steps_move_nothing(two: Dataset):
    of = stages(data(**CURRICULUM), STEPS)
    both = stages(data(**CURRICULUM, **MIXED), STEPS)
    assert len(both) > len(of)
    assert (two.stream(1, of).sequences(0, 200).tokens_BS == two.stream(1).sequences(0, 200).tokens_BS).all()


def test_examples_are_ranked_by_all_that_they_show():
    """Whole examples: what pads them is nobody's token."""
    of = run_config(some_examples(60), held_out=0.0, sequence_length=64)
    of.method = plugin_config("method", {"name": "sft", "packing": False}, "method")
    ready = prepare(of)
    side = ready.sources[0].shards.train
    bounds = [0, *(side.end_places_D + 1).tolist()]
    examples = [side.read(here, then).tolist() for here, then in pairwise(bounds)]
    counts = Counter(token for example in examples for token in example)
    nats = [-sum(math.log(counts[token] / counts.total()) for token in example) for example in examples]
    cells = ready.cut(side)
    ranked = cells.read(easiest_first(ready.cut, side), np.arange(len(cells))).numbers_B.tolist()
    by_number = dict(zip(side.numbers_D.tolist(), nats, strict=True))
    assert len(ranked) == 60
    assert all(by_number[one] <= by_number[two] + 1e-3 for one, two in pairwise(ranked))


def test_no_curriculum_is_no_part_of_a_runs_identity():
    assert "curriculum" not in determining(data())
    assert determining(data(batch_size=[[0.5, 4]]))["curriculum"] == {"batch_size": [[0.5, 4.0]]}


@pytest.mark.parametrize(
    ("curriculum", "said"),
    [
        ({"sequence_length": [[0.5, 5]]}, "does not divide data.sequence_length=16"),
        ({"batch_size": [[0.5, 9]]}, "more than the data.batch_size=8"),
        ({"batch_size": [[0.5, 4], [0.2, 6]]}, "the shares rise, between 0 and 1"),
        ({"batch_size": [[1.0, 4]]}, "the shares rise, between 0 and 1"),
        ({"sequence_length": [[0.5, 4.5]]}, "give pairs of a share and a whole number"),
        ({"sequence_length": [[0.5]]}, "give pairs of a share and a whole number"),
        ({"easiest": [[0.5, 1]]}, "give pairs of a share and another share, below 1"),
        ({"easiest": [[0.2, 0.5], [0.5, 0.4]]}, "what is drawn from grows from stage to stage"),
        ({"sources": [[0.5, {"a": 0}]]}, "weights by source, none below 0, one of them above"),
        ({"sources": [[0.5, {"a": 1, "b": -1}]]}, "weights by source, none below 0, one of them above"),
        ({"sources": [[0.5, {"a": "much"}]]}, "weights by source, none below 0, one of them above"),
        ({"sources": [[0.5, 3]]}, "give pairs of a share and weights by source"),
        ({"sources": [[1.5, {"a": 1}]]}, "the shares rise, between 0 and 1"),
    ],
)
def test_what_is_no_curriculum_is_refused(curriculum, said: str):
    with pytest.raises(ConfigError, match=said):
        data(**curriculum)


def test_the_stages_of_a_run_are_in_order():
    assert all(one.first < two.first and one.place < two.place for one, two in pairwise(stages(data(**CURRICULUM), 20)))
