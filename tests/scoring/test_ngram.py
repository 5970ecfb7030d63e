"""Count-based baselines: proper distributions, equal to Kneser–Ney written out with dicts."""

import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.scoring.ngram import END_BYTE, NGram, _count, _piece_of_bytes, baselines


class Letters:
    """A tokenizer of one token for each of a, b, c, with 3 as the end."""

    size, end = 4, 3

    def encode_all(self, texts):
        return [["abc".index(letter) for letter in text] for text in texts]

    def decode(self, tokens):
        return "".join("abc"[token] for token in tokens)


def reference(documents: list[list[int]], order: int, vocabulary: int, context: list[int], token: int) -> float:
    """Interpolated Kneser–Ney as Chen & Goodman write it: one n-gram at a time, counted in dicts."""
    counts: list[Counter] = [Counter() for _ in range(order + 1)]
    for document in documents:
        padded = ["start"] * (order - 1) + document
        counts[order].update(tuple(padded[i - order + 1 : i + 1]) for i in range(order - 1, len(padded)))
    for length in range(order - 1, 0, -1):
        before = defaultdict(set)
        for gram in counts[length + 1]:
            before[gram[1:]].add(gram[0])
        counts[length] = Counter({gram: len(distinct) for gram, distinct in before.items()})

    def probability(context: tuple, token: int) -> float:
        length = len(context) + 1
        lower = probability(context[1:], token) if length > 1 else 1 / vocabulary
        following = {gram: count for gram, count in counts[length].items() if gram[:-1] == context}
        if not following:
            return lower
        values = list(counts[length].values())
        once, twice = values.count(1), values.count(2)
        discount = once / (once + 2 * twice) if once and twice else 0.5
        total = sum(following.values())
        direct = max(following.get((*context, token), 0) - discount, 0) / total
        return direct + discount * len(following) / total * lower

    padded = ["start"] * (order - 1) + context
    return probability(tuple(padded[len(padded) - order + 1 :]), token)


documents = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=12), min_size=1, max_size=5)


def flat(parts: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    lengths = [len(part) for part in parts]
    return np.concatenate([np.array(part) for part in parts]), np.cumsum([0, *lengths[:-1]])


@settings(max_examples=60, deadline=None)
@given(train=documents, context=st.lists(st.integers(0, 3), max_size=4), order=st.integers(1, 4))
def test_every_context_has_a_distribution_and_it_is_kneser_ney(train, context, order):
    tokens, starts = flat(train)
    found = NGram(tokens, order, 4, starts).distribution(context)
    assert found.sum() == pytest.approx(1)
    assert (found > 0).all()
    assert found == pytest.approx([reference(train, order, 4, context, token) for token in range(4)])


@settings(max_examples=30, deadline=None)
@given(train=documents, held_out=documents, order=st.integers(1, 3))
def test_a_document_does_not_see_the_one_before_it(train, held_out, order):
    model = NGram(*flat(train)[:1], order, 4, flat(train)[1])
    together = model.log_probabilities(*flat(held_out))
    alone = np.concatenate([model.log_probabilities(np.array(part)) for part in held_out])
    assert together == pytest.approx(alone)


def test_a_higher_order_knows_a_longer_pattern():
    tokens = np.array([0, 1, 0, 2] * 200)
    losses = [-NGram(tokens, order, 3).log_probabilities(tokens).mean() for order in (1, 2, 3)]
    assert losses[0] == pytest.approx(math.log(3), abs=0.2)
    assert losses[1] == pytest.approx(math.log(2) / 2, abs=0.05)  # after 0 comes 1 or 2, after those always 0
    assert losses[2] == pytest.approx(0, abs=0.05)


def test_nothing_is_counted_over_a_seam():
    """Pieces in any order, cut anywhere: what is counted is what stands within them, written out with dicts."""
    pieces = [np.array([0, 1, 2, 3, 0, 1]), np.array([2, 2, 1, 3, 1]), np.array([0, 0, 3])]
    for order in (2, 3):
        model = _count(pieces, order, 4, end=3)
        counted = Counter()
        for piece in pieces:
            after_end = False
            for i in range(len(piece)):
                start = max((j + 1 for j in range(i) if piece[j] == 3), default=None)
                before = list(piece[(0 if start is None else start) : i])
                after_end = start is not None
                if after_end:
                    before = [4] * (order - 1) + before
                if len(before) >= order - 1:
                    counted[tuple(int(t) for t in (*before[len(before) - order + 1 :], piece[i]))] += 1
        keys = {sum(t * 5 ** (order - 1 - k) for k, t in enumerate(gram)): n for gram, n in counted.items()}
        top = model.counted.levels[-1]
        assert dict(zip(top.keys_G.tolist(), top.counts_G.tolist(), strict=True)) == keys


def test_baselines_score_texts_without_their_end_and_by_bytes():
    found = {baseline.name: baseline for baseline in baselines([np.array([3, *[0, 1, 2, 3] * 50])], Letters())}
    assert list(found) == ["token unigram", "token bigram", "byte trigram", "token trigram"]
    texts = ["abc", "abca"]
    bigram = NGram(np.array([0, 1, 2, 3] * 50), 2, 4, starts=np.arange(0, 200, 4))
    for nats, document in zip(found["token bigram"].nats(texts), ([0, 1, 2], [0, 1, 2, 0]), strict=True):
        assert nats == pytest.approx(-bigram.log_probabilities(np.array(document)).sum())
    # Of bytes there are 257, of letters 4: what both have seen, they foretell alike.
    assert found["byte trigram"].nats(["abcabc"]) > found["byte trigram"].nats(["abc"])
    letters, bytes_ = found["token trigram"].nats(["abc"]), found["byte trigram"].nats(["abc"])
    assert letters == pytest.approx(bytes_, abs=0.1)


def test_documents_are_the_same_to_a_model_of_bytes_wherever_pieces_are_cut():
    tokens = np.array([0, 1, 2, 3, 2, 2, 3, 1])
    assert _piece_of_bytes(tokens, Letters()).tolist() == [97, 98, 99, END_BYTE, 99, 99, END_BYTE, 98]
    assert _piece_of_bytes(tokens[:4], Letters()).tolist() == [97, 98, 99, END_BYTE]
    assert _piece_of_bytes(tokens[3:], Letters()).tolist() == [END_BYTE, 99, 99, END_BYTE, 98]


def test_five_million_tokens_are_counted_in_seconds():
    import time

    tokens = np.random.default_rng(0).zipf(1.3, 5_000_000) % 512
    start = time.process_time()
    NGram(tokens, 3, 512)
    assert time.process_time() - start < 10
