"""DeBERTa's buckets of distances against their definition in words, and against DeBERTa-v2's own."""

import math

import pytest
import torch

from harness.config import ConfigError, plugin_config
from harness_plugins.position.disentangled.module import bucket

CPU = torch.device("cpu")
SIZES = [(256, 512), (8, 20), (6, 30), (64, 500)]


def config(**values):
    return plugin_config("position", {"name": "disentangled", **values}, "position")


@pytest.mark.parametrize(("count", "longest"), SIZES)
def test_each_distance_has_its_bucket(count, longest):
    """The first half are single distances; each of the others ends where its share of the way to the longest does, on
    a scale of logarithms."""
    exact = count // 2
    ends = [exact * ((longest - 1) / exact) ** (k / (exact - 1)) for k in range(exact)]
    for distance in range(longest):
        expected = distance
        if distance > exact:
            expected = exact + next(k for k, end in enumerate(ends) if distance <= end * (1 + 1e-6))
        for behind in (distance, -distance):
            assert bucket(torch.tensor([behind]), count, longest).item() == math.copysign(expected, behind)


@pytest.mark.parametrize(("count", "longest"), SIZES)
def test_they_are_deberta_v2s(count, longest):
    from transformers.models.deberta_v2.modeling_deberta_v2 import make_log_bucket_position

    behind = torch.arange(-3 * longest, 3 * longest + 1)
    expected = make_log_bucket_position(behind, count, longest).long()
    assert torch.equal(bucket(behind, count, longest), expected)


@pytest.mark.parametrize("buckets", [6, None])
@pytest.mark.parametrize(("queries", "offset"), [(25, 0), (3, 15), (1, 24)])
def test_the_row_of_a_pair_is_that_of_its_distance(buckets, queries, offset):
    """From the far end ahead to the far end behind; distances beyond the longest share the last row."""
    position = config(buckets=buckets, longest=9).build(4, 2, 2)
    each_way = position.table.num_embeddings // 2
    assert each_way == (buckets or 9)
    rows_QK = position.rows(queries, offset, CPU)
    for q in range(queries):
        for k in range(offset + queries):
            behind = offset + q - k
            number = behind if buckets is None else bucket(torch.tensor([behind]), buckets, 9).item()
            assert rows_QK[q, k] == min(max(number + each_way, 0), 2 * each_way - 1)


def test_its_vectors_are_normed_where_it_is_said():
    plain, normed = config(longest=9, buckets=None), config(longest=9, buckets=None, norm="layernorm")
    torch.manual_seed(0)
    for ours in (plain, normed):
        position = ours.build(4, 2, 2)
        vectors_RC = position.prepare(torch.arange(3))
        expected = position.table.weight
        if ours is normed:
            expected = torch.nn.functional.layer_norm(expected, (4,))
        torch.testing.assert_close(vectors_RC, expected)
        own = ours.parameters(4, 2) + ours.norm_parameters(4)
        assert own == sum(parameter.numel() for parameter in position.parameters())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"buckets": 9}, "buckets=9 is odd"),
        ({"buckets": 32, "longest": 17}, "the first 16 distances have buckets of their own"),
    ],
)
def test_buckets_that_cannot_be_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        config(**values)
