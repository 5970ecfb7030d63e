"""The unigram language model: what it learns, against definitions written out over all segmentations."""

import math
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from harness.config import plugin_config
from harness_plugins.tokenizer.unigram.pieces import _lattices, learn

WORDS = Counter({"abab": 3, "ab": 5, "ba": 1, "aab": 2, "bbbb": 1})
PIECES = ["a", "b", "ab", "ba", "abab", "bb", "aab"]
LOGP = np.log(np.array([0.2, 0.15, 0.3, 0.05, 0.1, 0.1, 0.1]))


def segmentations(word: str) -> Iterator[list[int]]:
    if not word:
        yield []
    for number, piece in enumerate(PIECES):
        if word.startswith(piece):
            for rest in segmentations(word[len(piece) :]):
                yield [number, *rest]


def test_expected_counts_are_those_over_all_segmentations() -> None:
    expected = np.zeros(len(PIECES))
    for word, n in WORDS.items():
        found = list(segmentations(word))
        p = np.array([math.exp(sum(LOGP[number] for number in one)) for one in found])
        for one, share in zip(found, p / p.sum(), strict=True):
            for number in one:
                expected[number] += n * share
    counted = sum(lattice.expected(LOGP) for lattice in _lattices(WORDS, PIECES))
    assert counted == pytest.approx(expected, rel=1e-12)


def test_the_next_best_segmentation_of_a_piece_is_that_of_all_others() -> None:
    for lattice in _lattices(dict.fromkeys(PIECES[2:], 1), PIECES):
        for number, best in zip(lattice.whole_N, lattice.best_without_whole(LOGP), strict=True):
            others = [one for one in segmentations(PIECES[number]) if one != [number]]
            assert best == pytest.approx(max(sum(LOGP[part] for part in one) for one in others), rel=1e-12)


def test_what_is_learned_is_likelier_than_characters_and_sums_to_one() -> None:
    words = Counter({"hello": 50, "help": 30, "yellow": 20, "low": 40, "owl": 5})
    pieces = dict(learn(words, sorted(set("".join(words))), room=12))
    assert len(pieces) == 12
    assert set("heloypw") <= pieces.keys(), "every character is a piece"
    assert "hello" in pieces
    assert sum(math.exp(logp) for logp in pieces.values()) == pytest.approx(1, abs=1e-4)


def test_a_text_is_cut_as_is_likeliest() -> None:
    """The library's Viterbi search against all segmentations, with what was learned."""
    texts = ["hello help yellow low owl hello hello low low"] * 5
    tokenizer = plugin_config("tokenizer", {"name": "unigram", "size": 290}, "tokenizer").train(texts)
    import json

    scores = dict(json.loads(tokenizer.library.to_str())["model"]["vocab"][256:])

    def best(word: str) -> float:
        if not word:
            return 0.0
        stops = [stop for stop in range(1, len(word) + 1) if word[:stop] in scores]
        return max((scores[word[:stop]] + best(word[stop:]) for stop in stops), default=-math.inf)

    for word in ("hello", " help", "yellowlow", " owlhello"):
        found = [tokenizer.decode([token]) for token in tokenizer.encode(word)]
        assert "".join(found) == word
        assert sum(scores[piece] for piece in found) == pytest.approx(best(word), abs=1e-9)
