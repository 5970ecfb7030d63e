"""Order: permutations without tables, mixtures in closed form, a generator for each place."""

from collections import Counter
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from harness.data.order import PERIOD, Mixture, Mixtures, Order, Permutation, quantise, randomness

weights = st.lists(st.floats(0.01, 1.0), min_size=1, max_size=6)


@given(st.integers(1, 5000), st.text())
def test_a_permutation_is_a_bijection(n: int, key: str) -> None:
    assert sorted(Permutation(n, key)(np.arange(n)).tolist()) == list(range(n))


@given(st.integers(1, 2**40), st.data())
def test_any_part_of_it_can_be_asked_for(n: int, data) -> None:
    index = np.array(data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=20)))
    permutation = Permutation(n, "key")
    together, alone = permutation(index), [int(permutation(index[i : i + 1])[0]) for i in range(len(index))]
    assert together.tolist() == alone
    assert ((together >= 0) & (together < n)).all()


@pytest.mark.parametrize("n", [2, 5, 16, 17])
def test_every_index_goes_everywhere_equally_often_over_keys(n: int) -> None:
    """χ² over the n × n table of (from, to), (n − 1)² degrees of freedom, at one in a million."""
    keys = 2000
    seen = np.zeros((n, n))
    for key in range(keys):
        seen[np.arange(n), Permutation(n, str(key))(np.arange(n))] += 1
    statistic = ((seen - keys / n) ** 2 / (keys / n)).sum()
    assert statistic < chi2.ppf(1 - 1e-6, (n - 1) ** 2)


@pytest.mark.parametrize("n", [1000, 4096, 5000])
def test_no_trace_of_the_old_order_is_left(n: int) -> None:
    """Correlations of places with indices, and of neighbours, within five standard errors of none."""
    new = Permutation(n, "key")(np.arange(n)).astype(float)
    for pair in [(np.arange(n), new), (new[:-1], new[1:]), (new[:-2], new[2:])]:
        assert abs(np.corrcoef(*pair)[0, 1]) < 5 / np.sqrt(n)
    assert (np.diff(new) == 1).sum() < 10  # expected: 1


def test_keys_give_unrelated_permutations() -> None:
    first, second = (Permutation(4096, key)(np.arange(4096)).astype(float) for key in ("a/0", "a/1"))
    assert abs(np.corrcoef(first, second)[0, 1]) < 5 / 64


@given(weights, st.integers(0, 10**6))
def test_a_mixture_in_closed_form_is_what_counting_gives(weights: list[float], start: int) -> None:
    mixture = Mixture(weights)
    source, ordinal = mixture(np.arange(start, start + 200))
    before = mixture.counts_before(start)
    assert before.sum() == start
    for s, o in zip(source.tolist(), ordinal.tolist(), strict=True):
        assert o == before[s]
        before[s] += 1
    assert before.tolist() == mixture.counts_before(start + 200).tolist()


@given(weights, st.integers(0, 10**6))
def test_the_place_of_an_ordinal_is_where_it_is_drawn(weights: list[float], ordinal: int) -> None:
    mixture = Mixture(weights)
    for source in range(len(weights)):
        found = mixture(np.array([mixture.place_of(source, ordinal)]))
        assert (int(found[0][0]), int(found[1][0])) == (source, ordinal)


@given(weights)
def test_a_mixture_is_evenly_spread(weights: list[float]) -> None:
    """Up to any place each source has had its share, give or take one place and half of one for each source."""
    mixture = Mixture(weights)
    shares = mixture.counts_S / mixture.period
    for place in range(0, 2 * mixture.period, 7):
        assert np.abs(mixture.counts_before(place) - place * shares).max() <= 1 + len(weights) / 2


@st.composite
def changing_mixtures(draw) -> list[tuple[int, list[float]]]:
    """Weights of three sources, some of them 0, and how long each is kept; in the last all are drawn."""
    some = st.lists(st.sampled_from([0.0, 1.0, 3.0]), min_size=3, max_size=3).filter(any)
    changes = draw(st.lists(st.tuples(st.integers(1, 40), some), max_size=4))
    firsts = accumulate([length for length, _ in changes], initial=0)
    return list(zip(firsts, [*(weights for _, weights in changes), [2.0, 1.0, 1.0]], strict=True))


@given(changing_mixtures(), st.integers(0, 150))
def test_changing_mixtures_are_one_after_the_other(changes: list[tuple[int, list[float]]], start: int) -> None:
    """Against the mixtures' own beginnings, put one behind the other and counted."""
    ends = [first for first, _ in changes[1:]] + [400]
    one_by_one = [Mixture(w)(np.arange(end - first))[0] for (first, w), end in zip(changes, ends, strict=True)]
    expected, before = np.concatenate(one_by_one).tolist(), Counter()
    mixtures = Mixtures(changes)
    source, ordinal = mixtures(np.arange(400))
    assert source.tolist() == expected
    for place, (s, o) in enumerate(zip(source.tolist(), ordinal.tolist(), strict=True)):
        assert mixtures.counts_before(place).tolist() == [before[number] for number in range(3)]
        assert o == before[s]
        assert mixtures.place_of(s, o) == place
        before[s] += 1
    later = mixtures(np.arange(start, start + 50))
    assert [part.tolist() for part in later] == [
        source[start : start + 50].tolist(),
        ordinal[start : start + 50].tolist(),
    ]


@st.composite
def growing_pools(draw) -> list[tuple[int, int]]:
    """First draw and size of each; some are used up before they grow, some are left after no draw at all."""
    sizes = sorted(draw(st.lists(st.integers(1, 30), min_size=1, max_size=5)))
    firsts = accumulate(draw(st.lists(st.integers(0, 40), min_size=len(sizes) - 1, max_size=len(sizes) - 1)), initial=0)
    return list(zip(firsts, sizes, strict=True))


@given(growing_pools(), st.text(max_size=3))
def test_an_order_draws_what_is_left_and_begins_again_where_nothing_is(pools: list[tuple[int, int]], key: str) -> None:
    """Against a bag that is emptied: what a pool grows by is put in, and an empty bag is filled again."""
    order, count = Order(key, pools), 150
    epoch, found = order(np.arange(count))
    size = dict(pools)[0]
    bag, passes, shown = set(range(size)), 0, set()
    repeats, complete = [], None
    for draw, (e, thing) in enumerate(zip(epoch.tolist(), found.tolist(), strict=True)):
        grown = max([size, *(m for first, m in pools if first <= draw)])
        bag |= set(range(size, grown))
        size = grown
        if not bag:
            bag, passes = set(range(size)), passes + 1
        assert e == passes
        bag.remove(thing)
        repeats += [draw] if thing in shown else []
        assert order.distinct(draw) == len(shown)
        shown.add(thing)
        complete = complete if complete is not None or len(shown) < pools[-1][1] else draw + 1
    assert not repeats or order.first_repeat == repeats[0]
    assert complete is None or complete <= order.all_came
    assert count < order.all_came or complete is not None


@given(growing_pools(), st.lists(st.integers(0, 10**6), min_size=1, max_size=5))
def test_any_draw_of_an_order_is_found_without_the_others(pools: list[tuple[int, int]], draws: list[int]) -> None:
    order = Order("key", pools)
    together = np.stack(order(np.array(draws)))
    assert together.T.tolist() == [[int(x[0]) for x in order(np.array([draw]))] for draw in draws]


def test_all_that_is_left_is_equally_likely_to_come() -> None:
    """Two things and, after one draw, two more: χ² over the 12 orders in which they can come, at one in a million."""
    seen = Counter(tuple(Order(str(key), [(0, 2), (1, 4)])(np.arange(4))[1].tolist()) for key in range(3000))
    assert len(seen) == 12
    assert sum((n - 250) ** 2 / 250 for n in seen.values()) < chi2.ppf(1 - 1e-6, 11)


@given(weights)
def test_weights_are_kept_to_a_thousandth(weights: list[float]) -> None:
    counts = quantise(weights)
    assert counts.min() >= 1
    assert counts.sum() <= PERIOD
    assert np.abs(counts / counts.sum() - np.array(weights) / sum(weights)).max() <= 1 / PERIOD


@pytest.mark.parametrize(
    ("weights", "counts"),
    [([1.0], [1]), ([0.9, 0.1], [9, 1]), ([1, 1, 1], [1, 1, 1]), ([2.0, 1.0], [2, 1]), ([0.5, 0.3, 0.2], [5, 3, 2])],
)
def test_simple_proportions_are_exact_and_short(weights: list[float], counts: list[int]) -> None:
    assert quantise(weights).tolist() == counts


def test_randomness_depends_on_seed_and_place_alone() -> None:
    draws = {(seed, place): randomness(seed)(place).random(3).tolist() for seed in range(3) for place in range(50)}
    assert len({tuple(draw) for draw in draws.values()}) == len(draws)
    assert randomness(2)(49).random(3).tolist() == draws[2, 49]
    assert randomness(-1)(2**62).random() != randomness(1)(2**62).random()


def test_neighbouring_places_are_independent() -> None:
    first = np.array([randomness(0)(place).random() for place in range(4000)])
    assert abs(first.mean() - 0.5) < 5 * np.sqrt(1 / 12 / 4000)
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 5 / np.sqrt(4000)
