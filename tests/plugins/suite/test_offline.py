"""suite=offline: its items are right, and a model is asked what the item says."""

from __future__ import annotations

import ast
import builtins
import difflib
import keyword
import logging
import math
import random
import re
import symtable
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from harness.config import ConfigError, from_mapping
from harness.interfaces.corpus import Document
from harness.interfaces.suite import HeldOut
from harness.registry import registry
from harness.scoring.evaluate import Prepared
from harness_plugins.suite.offline.minimal_pairs import KINDS, Pair, is_python, minimal_pairs, read
from harness_plugins.suite.offline.suite import excerpt
from harness_plugins.suite.offline.tasks import Problems

Offline = registry().get("suite", "offline")
ITEMS = 60


def standard_library(files: int) -> list[Document]:
    """Some modules of the running interpreter, which every machine has."""
    import sysconfig
    from pathlib import Path

    folder = Path(sysconfig.get_path("stdlib"))
    paths = sorted(path for path in folder.glob("*.py") if 8_000 < path.stat().st_size < 60_000)
    return [Document(path.read_text(encoding="utf-8"), path.name) for path in paths[:: len(paths) // files][:files]]


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    return standard_library(24)


@pytest.fixture(scope="module")
def pairs(documents: list[Document]) -> dict[str, list[Pair]]:
    material = read(documents, most_bytes=240)
    return {kind: minimal_pairs(material, kind, ITEMS, seed=0) for kind in KINDS}


@pytest.fixture(params=sorted(KINDS))
def of_kind(request: pytest.FixtureRequest, pairs: dict[str, list[Pair]]) -> list[Pair]:
    return pairs[request.param]


# -------------------------------------------------------------------------------------- minimal pairs


def test_there_are_as_many_as_asked_for(of_kind: list[Pair]) -> None:
    assert len(of_kind) == ITEMS


def test_the_good_one_is_real_code_that_parses(of_kind: list[Pair], documents: list[Document]) -> None:
    """Each of its lines stands in the document that it names, but for the indentation."""
    texts = {document.name: {line.strip() for line in document.text.splitlines()} for document in documents}
    for pair in of_kind:
        ast.parse(pair.good)
        assert {line.strip() for line in pair.good.splitlines()} <= texts[pair.document]


def edit(pair: Pair) -> tuple[str, str]:
    """What stands in the good one where the bad one differs, and what in the bad one."""
    start = next(i for i, (a, b) in enumerate(zip(pair.good, pair.bad, strict=False)) if a != b)
    tail = next(i for i, (a, b) in enumerate(zip(pair.good[::-1], pair.bad[::-1], strict=False)) if a != b)
    tail = min(tail, len(pair.good) - start, len(pair.bad) - start)
    return pair.good[start : len(pair.good) - tail], pair.bad[start : len(pair.bad) - tail]


def error_of(text: str) -> SyntaxError:
    with pytest.raises(SyntaxError) as raised:
        ast.parse(text)
    return raised.value


def test_bracket(pairs: dict[str, list[Pair]]) -> None:
    for pair in pairs["bracket"]:
        good, bad = edit(pair)
        assert good in ")]}"
        assert bad in ")]}"
        assert "does not match opening parenthesis" in str(error_of(pair.bad))


def test_indentation(pairs: dict[str, list[Pair]]) -> None:
    for pair in pairs["indentation"]:
        assert [line.strip() for line in pair.good.splitlines()] == [line.strip() for line in pair.bad.splitlines()]
        changed = [(a, b) for a, b in zip(pair.good.splitlines(), pair.bad.splitlines(), strict=True) if a != b]
        assert len(changed) == 1
        assert abs(len(changed[0][0]) - len(changed[0][1])) == 4
        assert isinstance(error_of(pair.bad), IndentationError)


def words_of(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text)


def test_keyword(pairs: dict[str, list[Pair]]) -> None:
    for pair in pairs["keyword"]:
        changed = [(a, b) for a, b in zip(words_of(pair.good), words_of(pair.bad), strict=True) if a != b]
        assert len(changed) == 1
        assert all(keyword.iskeyword(word) for word in changed[0])
        assert not isinstance(error_of(pair.bad), IndentationError)


def symbols(table: symtable.SymbolTable) -> Iterator[symtable.Symbol]:
    yield from table.get_symbols()
    for child in table.get_children():
        yield from symbols(child)


def used_and_bound(text: str) -> tuple[set[str], set[str]]:
    """By Python's own symbol tables."""
    found = list(symbols(symtable.symtable(text, "", "exec")))
    bound = {symbol.get_name() for symbol in found if symbol.is_assigned() or symbol.is_parameter()}
    return {symbol.get_name() for symbol in found if symbol.is_referenced()}, bound


def test_undefined_name(pairs: dict[str, list[Pair]], documents: list[Document]) -> None:
    """The wrong name is used and nowhere bound, the right one is bound."""
    texts = {document.name: document.text for document in documents}
    for pair in pairs["undefined_name"]:
        ast.parse(pair.bad)
        ((good, bad),) = [(a, b) for a, b in zip(words_of(pair.good), words_of(pair.bad), strict=True) if a != b]
        used, bound = used_and_bound(pair.bad)
        assert bad in used - bound
        assert not hasattr(builtins, bad)
        assert bad not in words_of(texts[pair.document])
        assert good in used_and_bound(pair.good)[1]


def test_quote(pairs: dict[str, list[Pair]]) -> None:
    for pair in pairs["quote"]:
        assert sorted(edit(pair)) == ['"', "'"]
        assert "unterminated string literal" in str(error_of(pair.bad))


def test_edits_are_minimal(of_kind: list[Pair]) -> None:
    """One run of characters: a sign, a word or one step of indentation."""
    for pair in of_kind:
        assert len(pair.good.encode()) <= 240
        assert len(edit(pair)[0]) <= max(4, max(map(len, words_of(pair.good))))
        assert difflib.SequenceMatcher(a=pair.good, b=pair.bad, autojunk=False).ratio() > 0.6


def test_no_item_comes_twice(of_kind: list[Pair]) -> None:
    assert len({pair.good for pair in of_kind}) == len(of_kind)


def test_length_does_not_give_the_answer(of_kind: list[Pair]) -> None:
    """Who takes the shorter text is right in half of the cases, ties counting half."""
    right = sum((len(p.good) < len(p.bad)) + 0.5 * (len(p.good) == len(p.bad)) for p in of_kind)
    assert right == len(of_kind) / 2


def test_frequency_does_not_give_the_answer(of_kind: list[Pair], documents: list[Document]) -> None:
    """Who takes the text of the more frequent words (a unigram model of words and signs) is right in half of them."""
    counts = Counter(word for document in documents for word in words_of(document.text))
    right = 0.0
    for pair in of_kind:
        differ = [(a, b) for a, b in zip(words_of(pair.good), words_of(pair.bad), strict=True) if a != b]
        score = sum(math.log(counts[a] + 1) - math.log(counts[b] + 1) for a, b in differ)
        right += 0.5 if score == 0 else score > 0
    assert right == pytest.approx(len(of_kind) / 2, abs=1)


def test_items_come_from_many_documents(of_kind: list[Pair]) -> None:
    assert max(Counter(pair.document for pair in of_kind).values()) <= len(of_kind) / 4


def test_the_same_items_each_time(documents: list[Document], pairs: dict[str, list[Pair]]) -> None:
    again = read(documents[:], most_bytes=240)
    assert minimal_pairs(again, "keyword", ITEMS, seed=0) == pairs["keyword"]
    assert minimal_pairs(again, "keyword", ITEMS, seed=1) != pairs["keyword"]


def test_what_is_python() -> None:
    assert is_python(Document("x = 1\n", "a/b.py"))
    assert not is_python(Document("x = 1\n", "a/b.txt"))
    assert not is_python(Document("print 'two'\n", "old.py"))
    assert not is_python(Document("x = '\0'\n", "null.py"))


# ---------------------------------------------------------------------------------------- the whole suite


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return registry().get("tokenizer", "bytes")().train([])


def suite(**options: Any) -> Any:
    return from_mapping(Offline, {"documents": 4, "pairs": 6, "problems": 5, **options})


def test_its_tasks(documents: list[Document], tokenizer: Any) -> None:
    held_out = [HeldOut("stdlib", documents), HeldOut("synthetic", [Document("copy: a = a\n", "synthetic 1")])]
    tasks = suite(pair_documents=6).build(held_out, tokenizer)
    assert list(tasks) == [
        "held_out_stdlib", "held_out_synthetic", "pairs_bracket", "pairs_indentation", "pairs_keyword",
        "pairs_undefined_name", "pairs_quote", "copy", "induction", "addition",
    ]  # fmt: skip
    assert [len(task.test_docs()) for task in tasks.values()] == [4, 1, 6, 6, 6, 6, 6, 5, 5, 5]


def test_without_python_the_pairs_are_left_out(tokenizer: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        tasks = suite().build([HeldOut("plays", [Document("To be, or not to be", "hamlet.txt")])], tokenizer)
    assert not [name for name in tasks if name.startswith("pairs")]
    assert "no held-out document is Python" in caplog.text


def test_parts_can_be_left_out(documents: list[Document], tokenizer: Any) -> None:
    chosen = suite(documents=0, pairs=0)
    assert not chosen.needs_held_out()
    assert sorted(chosen.build([], tokenizer)) == ["addition", "copy", "induction"]


@pytest.mark.parametrize(
    ("difficulty", "message"),
    [
        ({"copi": [1, 2]}, "Did you mean copy"),
        ({"copy": [3]}, r"give \[least, greatest\]"),
        ({"addition": [2, 99]}, "from 1 to 32"),
    ],
)
def test_a_difficulty_that_cannot_be(difficulty: dict[str, list[int]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        suite(difficulty=difficulty)


def test_an_excerpt_is_whole_lines_from_somewhere(documents: list[Document]) -> None:
    for document in documents:
        text = excerpt(document, 512, seed=0)
        assert 0 < len(text.encode()) <= 512
        assert "\n" + text in "\n" + document.text
    starts = [document.text.index(excerpt(document, 512, seed=0)) for document in documents]
    assert sum(start > 0 for start in starts) > len(starts) / 2


class Uniform:
    """A model that finds every token equally likely, and says what it is told to say."""

    def __init__(self, tokenizer: Any, says: str = "") -> None:
        self.tokenizer, self.says = tokenizer, says

    def _log_likelihood(self, text: str) -> float:
        return -math.log(self.tokenizer.size) * len(self.tokenizer.encode(text))

    def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
        return [(self._log_likelihood(request.args[1]), False) for request in requests]

    def loglikelihood_rolling(self, requests: list[Any]) -> list[float]:
        return [self._log_likelihood(request.args[0]) for request in requests]

    def generate_until(self, requests: list[Any]) -> list[str]:
        return [self.says for _ in requests]


def test_a_uniform_model_has_the_known_scores(documents: list[Document], tokenizer: Any) -> None:
    """With a token for each byte: log₂ V bits per byte, ln V nats per token, and no choice between equal lengths."""
    prepared = Prepared(suite(pair_documents=6).build([HeldOut("stdlib", documents)], tokenizer), tokenizer)
    found = {(v.task, v.metric): v.value for v in prepared.evaluate(Uniform(tokenizer)).values}
    assert found["held_out_stdlib", "bits_per_byte"] == pytest.approx(math.log2(tokenizer.size))
    assert found["held_out_stdlib", "nats_per_token"] == pytest.approx(math.log(tokenizer.size))
    assert found["pairs_quote", "probability"] == 0.5
    assert found["pairs_quote", "margin"] == 0.0
    assert found["pairs_indentation", "accuracy"] == 0.5  # the shorter one
    assert found["copy", "log_likelihood_per_token"] == pytest.approx(-math.log(tokenizer.size))


@pytest.mark.parametrize(
    ("says", "exact_match", "token_accuracy", "edit_distance"),
    [
        (" 51", 1, 1, 0),
        (" 57", 0, 2 / 3, 1 / 3),
        (" 5", 0, 2 / 3, 1 / 3),
        (" 511", 0, 1, 1 / 4),
        ("51", 0, 0, 1 / 3),
        ("", 0, 0, 1),
    ],
)
def test_answers_right_and_nearly_right(
    tokenizer: Any, says: str, exact_match: float, token_accuracy: float, edit_distance: float
) -> None:
    from harness.data.synthetic import Problem

    task = Problems("addition", [Problem("addition: 12 + 39 =", "51", "addition", 2)] * 2, tokenizer.encode)
    prepared = Prepared({"addition": task}, tokenizer)
    found = {v.metric: v.value for v in prepared.evaluate(Uniform(tokenizer, says)).values}
    assert found["exact_match"] == exact_match
    assert found["token_accuracy"] == pytest.approx(token_accuracy)
    assert found["edit_distance"] == pytest.approx(edit_distance)
    assert found["log_likelihood"] == pytest.approx(-4 * math.log(tokenizer.size))  # " 51\n"


def test_each_discrete_metric_stands_beside_its_twins(documents: list[Document], tokenizer: Any) -> None:
    from harness.scoring.metrics import METRICS

    prepared = Prepared(suite(pair_documents=6).build([HeldOut("stdlib", documents)], tokenizer), tokenizer)
    values = prepared.evaluate(Uniform(tokenizer)).values
    samples = {(v.task, v.metric): v.n for v in values}
    for value in values:
        for twin in METRICS[value.metric].twins:
            assert samples[value.task, twin] == value.n


def test_problems_are_asked_as_they_are_trained(tokenizer: Any) -> None:
    """Prompt and answer together are a line of a synthetic document."""
    from harness.data import synthetic

    tasks = suite(documents=0, pairs=0, problems=30).build([], tokenizer)
    for kind, form in {"copy": r"copy: (.+) = \1\n", "addition": r"addition: \d+ \+ \d+ = \d+\n"}.items():
        for doc in tasks[kind].test_docs():
            assert re.fullmatch(form, doc["prompt"] + doc["target"])
    problem = synthetic.make("copy", random.Random(0), 3)
    assert synthetic.render(problem) == f"{problem.prompt} {problem.answer}\n"
