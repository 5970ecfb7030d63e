"""From config to data: what is held out, what is counted, what the fingerprint sees."""

import random
from pathlib import Path

import numpy as np
import pytest

from harness.data.dataset import fingerprint, prepare
from harness.data.split import is_held_out
from harness.errors import UserError
from tests.data.corpora import Given, rows_file, run_config, some_texts


def mix(tmp_path: Path, weight: float = 3.0) -> dict:
    prose = rows_file(tmp_path / "prose.jsonl", some_texts(300))
    problems = {"name": "synthetic", "documents": 50, "problems": 4}
    return {"name": "mix", "sources": {"prose": {**prose, "weight": weight}, "problems": {**problems, "weight": 1.0}}}


def test_nothing_held_out_is_trained_on(tmp_path: Path) -> None:
    texts = [f"text {i % 120}" for i in range(400)]
    data = prepare(run_config(rows_file(tmp_path / "a.jsonl", texts), held_out=0.3, sequence_length=16))
    (held,) = data.held_out
    held_texts = {document.text for document in held.documents}
    side = data.sources[0].shards.train
    trained = set(
        "".join(data.tokenizer.decode(side.read(0, side.tokens).tolist())).replace("text", "\ntext").split("\n")
    )
    assert held_texts == {text for text in texts if is_held_out(text, 0.3)}
    assert not held_texts & trained
    assert held_texts | trained - {""} == set(texts)


def test_held_out_documents_are_told_by_source(tmp_path: Path) -> None:
    data = prepare(run_config(mix(tmp_path), held_out=0.3, sequence_length=16))
    assert [held.source for held in data.held_out] == ["problems", "prose"]
    prose = data.held_out[1].documents
    assert [document.text for document in prose] == [
        text for text in some_texts(300) if text and is_held_out(text, 0.3)
    ]
    assert prose[1:3] == list(prose)[1:3]
    assert prose[-1] == list(prose)[-1]


def test_validation_has_no_sequence_twice_and_knows_no_seed(tmp_path: Path) -> None:
    rng = random.Random(0)
    corpora = {
        label: {
            **rows_file(tmp_path / f"{label}.jsonl", [rng.randbytes(30).hex() for _ in range(100)]),
            "weight": weight,
        }
        for label, weight in [("a", 1), ("b", 3)]
    }
    data = prepare(run_config({"name": "mix", "sources": corpora}, held_out=0.3, sequence_length=16))
    everything, few = data.validation(10**6), data.validation(5)
    assert len(set(map(tuple, everything.tokens_BS.tolist()))) == len(everything.tokens_BS) > 20
    assert (few.tokens_BS == everything.tokens_BS[:5]).all()
    held = [s.shards.held_out for s in data.sources]
    long = " ".join(",".join(map(str, side.read(0, side.tokens).tolist())) for side in held)
    assert all(",".join(map(str, row)) in long for row in everything.tokens_BS.tolist())


def test_without_held_out_documents_there_is_no_validation(tmp_path: Path) -> None:
    data = prepare(run_config(mix(tmp_path), held_out=0.0, sequence_length=16))
    assert data.validation(100).tokens_BS.shape == (0, 17)
    assert [len(held.documents) for held in data.held_out] == [0, 0]


def test_unique_tokens_are_counted_and_repeats_stated(tmp_path: Path) -> None:
    """Half of 60 places each: 30 sequences of a source that has 3, and of one that has 12."""
    small, large = "s" * 30, "l" * 120
    corpus = {
        "name": "mix",
        "sources": {
            "small": {**rows_file(tmp_path / "s.jsonl", [small]), "weight": 1},
            "large": {**rows_file(tmp_path / "l.jsonl", [large]), "weight": 1},
        },
    }
    data = prepare(run_config(corpus, held_out=0.0, sequence_length=10))
    assert data.unique_tokens == {"small": 31, "large": 121}
    assert data.epochs(600) == {"small": 10.0, "large": 2.5}
    assert data.distinct(600) == 30 + 120
    assert data.distinct(20) == 20


def test_bytes_per_token_counts_the_end_tokens(tmp_path: Path) -> None:
    data = prepare(run_config(rows_file(tmp_path / "a.jsonl", ["abc", "é"]), held_out=0.0, sequence_length=2))
    assert data.bytes_per_token == pytest.approx(5 / 7)


def test_a_tokenizer_sees_training_documents_alone(tmp_path: Path) -> None:
    texts = [chr(0x4E00 + i) * 3 for i in range(100)]
    data = prepare(run_config(rows_file(tmp_path / "a.jsonl", texts), "characters", held_out=0.3, sequence_length=2))
    known = [data.tokenizer.decode(data.tokenizer.encode(text)) == text for text in texts]
    assert known == [not is_held_out(text, 0.3) for text in texts]


def test_prepared_twice_is_the_same(tmp_path: Path, cache: Path, monkeypatch) -> None:
    config = run_config(mix(tmp_path), {"name": "bpe", "size": 300}, sequence_length=16)
    first = prepare(config)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    second = prepare(config)
    for place in (0, 777):
        assert (first.stream(3).sequences(place, 50).tokens_BS == second.stream(3).sequences(place, 50).tokens_BS).all()
    assert first.fingerprint == second.fingerprint == fingerprint(config)


def test_a_damaged_tokenizer_is_trained_again(tmp_path: Path, cache: Path) -> None:
    config = run_config(mix(tmp_path), {"name": "bpe", "size": 300}, sequence_length=16)
    file = prepare(config).tokenizer_folder / "tokenizer.json"
    whole = file.read_text()
    file.write_text(whole.replace('"a"', '"b"', 1))
    assert prepare(config).tokenizer_folder == file.parent
    assert file.read_text() == whole


def test_the_fingerprint_sees_what_counts(tmp_path: Path) -> None:
    base = mix(tmp_path)
    configs = [
        run_config(base),
        run_config(base, held_out=0.1),
        run_config(base, "characters"),
        run_config(base, {"name": "bpe", "size": 300}),
        run_config(base, {"name": "bpe", "size": 301}),
        run_config(mix(tmp_path, weight=2.0)),
        run_config({**base, "sources": {**base["sources"], "problems": {**base["sources"]["problems"], "seed": 1}}}),
    ]
    assert len({fingerprint(config) for config in configs}) == len(configs)


def test_the_fingerprint_does_not_see_what_does_not_count(tmp_path: Path) -> None:
    before = fingerprint(run_config(mix(tmp_path)))
    moved = mix(tmp_path)
    (tmp_path / "prose.jsonl").rename(tmp_path / "moved.jsonl")
    moved["sources"]["prose"]["path"] = str(tmp_path / "moved.jsonl")
    moved["sources"]["prose"]["weight"], moved["sources"]["problems"]["weight"] = 0.75, 0.25
    assert fingerprint(run_config(moved, workers=4, sequence_length=77)) == before


@pytest.mark.parametrize(("texts", "held_out"), [([], 0.05), ([""], 0.05), (["a", "b"], 1.0)])
def test_a_corpus_with_nothing_to_train_on_is_refused(texts: list[str], held_out: float) -> None:
    with pytest.raises(UserError, match="corpus given has no text to train on"):
        prepare(run_config(Given(name="given", texts=texts), held_out=held_out))


def test_a_bad_row_is_told_and_leaves_no_shards(tmp_path: Path, cache: Path) -> None:
    corpus = rows_file(tmp_path / "rows.jsonl", some_texts())
    with open(tmp_path / "rows.jsonl", "a") as file:
        file.write("{oops\n")
    for tokenizer in ("bytes", "characters"):
        with pytest.raises(UserError, match=r"rows.jsonl, line 101: not JSON"):
            prepare(run_config(corpus, tokenizer))
    assert not [path for path in (cache / "shards").iterdir() if path.is_dir()]


def test_rows_of_a_batch_have_the_shapes_that_they_state(tmp_path: Path) -> None:
    data = prepare(run_config(mix(tmp_path), sequence_length=16))
    rows = data.stream(0).sequences(5, 3)
    assert rows.tokens_BS.shape == rows.documents_BS.shape == (3, 17)
    assert rows.places_B.tolist() == [5, 6, 7]
    assert (rows.documents_BS[:, 0] == 0).all()
    assert np.isin(np.diff(rows.documents_BS), (0, 1)).all()


def test_what_other_code_made_is_made_anew(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = run_config(rows_file(tmp_path / "a.jsonl", some_texts(50)), sequence_length=16)

    def folders() -> dict[str, int]:
        return {kind: len([f for f in (cache / kind).iterdir() if f.is_dir()]) for kind in ("tokenizers", "shards")}

    prepare(config)
    prepare(config)
    assert folders() == {"tokenizers": 1, "shards": 1}
    monkeypatch.setattr("harness.data.cache.source_digest", lambda rooms, modules: "of other code")
    prepare(config)
    assert folders() == {"tokenizers": 2, "shards": 2}
