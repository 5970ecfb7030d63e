"""What stands at one place of the stream: whole examples, alone or packed, against slow and obvious ways."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from harness.data.cells import Cut, Whole, packing
from harness.data.dataset import fingerprint, prepare
from harness.data.shards import Side, open_shards, write
from harness.data.stream import Part, Stream
from harness.errors import UserError
from harness.interfaces.batch import ANSWER, CONTEXT, PADDING
from tests.data.corpora import Asked, Bytes, Given, run_config, some_examples

QUIET = lambda done, total: None  # noqa: E731

LENGTHS = st.lists(st.integers(1, 20), max_size=60)


def loads(lengths: list[int], cells: list[int]) -> list[int]:
    return np.bincount(cells, weights=lengths).astype(int).tolist() if cells else []


def best_fit(lengths: list[int], width: int) -> list[int]:
    """The loads of the cells: the longest first, each into the fullest cell that has room."""
    filled: list[int] = []
    for length in sorted(lengths, reverse=True):
        fitting = [load for load in filled if load + length <= width]
        if fitting:
            filled.remove(max(fitting))
        filled.append(max(fitting, default=0) + length)
    return filled


@given(LENGTHS)
def test_packing_puts_every_example_into_the_fullest_cell_that_has_room(lengths: list[int]) -> None:
    cells = packing(np.array(lengths, dtype=np.int64), 20).tolist()
    assert len(cells) == len(lengths)
    assert sorted(loads(lengths, cells)) == sorted(best_fit(lengths, 20))
    assert max(loads(lengths, cells), default=0) <= 20


@given(LENGTHS)
def test_no_two_packed_cells_would_fit_into_one(lengths: list[int]) -> None:
    filled = sorted(loads(lengths, packing(np.array(lengths, dtype=np.int64), 20).tolist()))
    assert len(filled) < 2 or filled[0] + filled[1] > 20


# --------------------------------------------------------------------------------------------- rows


def side(folder: Path, corpus: Asked, template: str = "plain") -> Side:
    folder.mkdir(exist_ok=True)
    write(folder, corpus, Bytes(), 0.0, QUIET, processes=1, template=template)
    return open_shards(folder).train


def said(row: np.ndarray, parts: np.ndarray, part: int) -> str:
    return bytes(row[(parts == part) & (row < 256)].tolist()).decode()


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), min_size=1, max_size=40), st.booleans())
def test_every_example_that_fits_stands_in_one_row_whole(tmp_path_factory, sizes, packed: bool) -> None:
    prompts = [chr(97 + i % 26) * a for i, (a, _) in enumerate(sizes)]
    answers = [[chr(65 + i % 26) * b] for i, (_, b) in enumerate(sizes)]
    fitting = [(p, a) for p, (a,) in zip(prompts, answers, strict=True) if len(p) + len(a) + 1 <= 16]
    assume(fitting)
    held = side(tmp_path_factory.mktemp("side"), Asked(prompts=prompts, answers=answers))
    cells = Whole(held, length=15, room=0, packed=packed)
    rows = cells.read(np.arange(len(cells)), np.arange(len(cells)))
    found = []
    for tokens, parts, documents in zip(rows.tokens_BS, rows.parts_BS, rows.documents_BS, strict=True):
        for number in np.unique(documents[parts != PADDING]):
            here = documents == number
            found.append((said(tokens[here], parts[here], CONTEXT), said(tokens[here], parts[here], ANSWER)))
            assert (np.diff(np.flatnonzero(here)) == 1).all()
            assert tokens[here][-1] == Bytes().end
        assert (tokens[parts == PADDING] == 0).all()
        assert not set(documents[parts == PADDING]) & set(documents[parts != PADDING])
    assert sorted(found) == sorted(fitting)
    assert cells.left_out == len(prompts) - len(fitting)
    assert rows.tokens_BS.shape[1] <= 16
    assert packed or len(cells) == len(fitting)


@pytest.mark.parametrize(("room", "fitting"), [(0, [0, 1]), (2, [0])])
def test_a_preference_needs_room_for_its_longer_answer_and_for_what_is_left_free(tmp_path, room, fitting) -> None:
    corpus = Asked(prompts=["pppp"] * 3, answers=[["a" * 5, "b" * 2], ["a" * 2, "b" * 6], ["a" * 9, "b"]])
    cells = Cut("examples", length=11, room=room)(side(tmp_path / "side", corpus))
    rows = cells.read(np.arange(len(cells)), np.arange(len(cells)))
    assert rows.numbers_B.tolist() == fitting
    for row, parts, number in zip(rows.tokens_BS, rows.parts_BS, rows.numbers_B, strict=True):
        texts = [said(row, parts, part) for part in range(3)]
        assert texts == ["pppp", *corpus.answers[number]]


def test_none_that_fits_is_told_with_what_would_help(tmp_path: Path) -> None:
    held = side(tmp_path / "side", some_examples(5))
    with pytest.raises(UserError, match=r"corpus c: none of its 5 examples fits into data.sequence_length=3 tokens"):
        Stream([Part("c", held, 1.0)], Cut("packed", 3), 0)
    with pytest.raises(UserError, match=r"tokens, which leaves 30 of them free for answers"):
        Stream([Part("c", held, 1.0)], Cut("examples", 32, room=30), 0)


# ------------------------------------------------------------------------------------------- shards


@pytest.mark.parametrize("answers", [1, 2])
def test_any_number_of_processes_writes_the_same_examples(tmp_path: Path, answers: int) -> None:
    def content(processes: int) -> dict[str, bytes]:
        folder = tmp_path / str(processes)
        folder.mkdir()
        write(folder, some_examples(100, answers), Bytes(), 0.3, QUIET, processes, template="chat")
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    first = content(1)
    assert len([name for name in first if name.endswith(".parts")]) > 2
    assert first == content(2) == content(3)


def test_parts_stand_beside_their_tokens_across_shards(tmp_path: Path) -> None:
    corpus = some_examples(100)
    held = side(tmp_path / "side", corpus)
    tokens, parts = held.read(0, held.tokens), held.parts(0, held.tokens)
    assert len(tokens) == len(parts) == held.tokens
    assert said(tokens, parts, CONTEXT) == "".join(corpus.prompts)
    assert said(tokens, parts, ANSWER) == "".join(answer for (answer,) in corpus.answers)


# ------------------------------------------------------------------------------------------- stream


def stream(folder: Path, kind: str, seed: int = 0, answers: int = 1) -> Stream:
    big, small = some_examples(50, answers), some_examples(9, answers)
    small.prompts = [f"small {prompt}" for prompt in small.prompts]
    sides = [side(folder / name, corpus) for name, corpus in (("big", big), ("small", small))]
    return Stream([Part("big", sides[0], 3), Part("small", sides[1], 1)], Cut(kind, 63), seed)


FIELDS = ("tokens_BS", "parts_BS", "documents_BS", "places_B", "sources_B")


@pytest.mark.parametrize(("kind", "answers"), [("packed", 1), ("examples", 1), ("examples", 2)])
def test_seeking_examples_is_asking_for_a_later_place(tmp_path: Path, kind: str, answers: int) -> None:
    made = stream(tmp_path, kind, answers=answers)
    whole = made.sequences(1000, 60)  # across the end of a block that is looked up at once
    for first, count in [(1000, 60), (1010, 7), (1024, 1), (1059, 1)]:
        part = made.sequences(first, count)
        rows, width = slice(first - 1000, first - 1000 + count), part.tokens_BS.shape[1]
        for name in FIELDS:
            expected = getattr(whole, name)[rows]
            if expected.ndim == 2:
                assert name == "documents_BS" or (expected[:, width:] == (PADDING if name == "parts_BS" else 0)).all()
                expected = expected[:, :width]
            real = part.parts_BS != PADDING if expected.ndim == 2 else slice(None)
            assert (getattr(part, name)[real] == expected[real]).all()


@pytest.mark.parametrize("kind", ["packed", "examples"])
def test_each_epoch_has_each_example_of_each_source_once(tmp_path: Path, kind: str) -> None:
    made = stream(tmp_path, kind)
    source, epoch, _ = made.locate(np.arange(12 * sum(made.sizes)))
    rows = made.sequences(0, 12 * sum(made.sizes))
    assert (rows.sources_B == source).all()
    corpora = [some_examples(50), some_examples(9)]
    orders = []
    for s, corpus in enumerate(corpora):
        for e in range(2):
            texts = [
                said(rows.tokens_BS[row][rows.documents_BS[row] == number], rows.parts_BS[row][rows.documents_BS[row] == number], ANSWER)
                for row in np.flatnonzero((source == s) & (epoch == e))
                for number in np.unique(rows.documents_BS[row][rows.parts_BS[row] != PADDING])
            ]  # fmt: skip
            assert sorted(texts) == sorted(answer for (answer,) in corpus.answers)
            orders.append(texts)
    assert orders[0] != orders[1]


def test_single_examples_know_their_number_in_their_corpus(tmp_path: Path) -> None:
    rows = stream(tmp_path, "examples").sequences(0, 100)
    corpora = [some_examples(50), some_examples(9)]
    for tokens, parts, source, number in zip(
        rows.tokens_BS, rows.parts_BS, rows.sources_B, rows.numbers_B, strict=True
    ):
        assert said(tokens, parts, ANSWER) == corpora[source].answers[number][0]
    assert stream(tmp_path, "packed").sequences(0, 100).numbers_B is None


# ------------------------------------------------------------------------------------------ dataset


def of_examples(corpus: object, **data: object):
    """A dataset whose places hold one example each."""
    made = prepare(run_config(corpus, sequence_length=64, **data))
    return type(made)(**{**vars(made), "cut": Cut("examples", 64)})


@pytest.mark.parametrize("epochs", [0.2, 0.5, 1.0, 1.7, 3.0])
def test_places_are_the_fewest_that_go_through_every_source_so_often(tmp_path: Path, epochs: float) -> None:
    def rows(name: str, count: int) -> dict[str, object]:
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps({"prompt": f"{i}", "completion": name}) + "\n" for i in range(count)))
        return {"name": "examples", "path": str(path)}

    sources = {"few": {**rows("few", 7), "weight": 1}, "many": {**rows("many", 40), "weight": 3}}
    made = of_examples({"name": "mix", "sources": sources}, held_out=0.0)
    source, _, _ = made.stream(0).locate(np.arange(1000))
    enough = [
        n for n in range(1, 1000) if (np.bincount(source[:n], minlength=2) >= epochs * np.array([7, 40]) - 1e-9).all()
    ]
    assert made.places(epochs) == enough[0]


def test_what_documents_hold_out_the_examples_made_from_them_hold_out(tmp_path: Path) -> None:
    texts = [f"the text of {i}" for i in range(60)]
    documents = prepare(run_config(Given(name="given", texts=texts), held_out=0.3))
    kept = [(texts[i % 60], f"prompt {i}", [f"answer {i}"]) for i in range(180)]
    asked = Asked(
        name="asked", made_from=[k[0] for k in kept], prompts=[k[1] for k in kept], answers=[k[2] for k in kept]
    )
    examples = of_examples(asked, held_out=0.3)
    (held_documents,), (held_examples,) = documents.held_out, examples.held_out
    held = {document.text for document in held_documents.documents}
    assert 5 < len(held) < 55
    assert [e.name for e in held_examples.documents] == [f"asked:{i}" for i in range(180) if texts[i % 60] in held]
    trained = examples.sources[0].shards.train.numbers_D
    assert sorted([*trained.tolist(), *(int(e.name[6:]) for e in held_examples.documents)]) == list(range(180))


def test_examples_of_one_prompt_are_on_one_side(tmp_path: Path) -> None:
    corpus = Asked(
        name="asked", prompts=[f"prompt {i % 40}" for i in range(160)], answers=[[f"{i}"] for i in range(160)]
    )
    made = of_examples(corpus, held_out=0.3)
    sides = [made.sources[0].shards.train, made.sources[0].shards.held_out]
    prompts = [{corpus.prompts[number] for number in side.numbers_D} for side in sides]
    assert not prompts[0] & prompts[1]
    assert len(prompts[0] | prompts[1]) == 40


def test_what_is_left_out_is_said_of_each_source_that_loses_something(tmp_path: Path) -> None:
    corpus = some_examples(30)
    corpus.answers[3] = corpus.answers[7] = ["y" * 80]
    assert of_examples(corpus, held_out=0.0).left_out() == [
        "corpus asked: 2 of 30 examples do not fit into data.sequence_length=64 tokens, and are left out"
    ]
    assert of_examples(some_examples(30), held_out=0.0).left_out() == []
    assert prepare(run_config(corpus, held_out=0.0, sequence_length=64)).left_out() == []  # cut anywhere, as text


def test_the_template_is_in_the_fingerprint_of_examples_alone(tmp_path: Path) -> None:
    asked, given_ = some_examples(), Given(texts=["a"])
    assert len({fingerprint(run_config(asked, template=t)) for t in ("plain", "chat")}) == 2
    assert len({fingerprint(run_config(given_, template=t)) for t in ("plain", "chat")}) == 1
