"""FAVOR+: features whose products are the softmax's weights, on average."""

import pytest
import torch

from harness.interfaces.visibility import Causal, Full, NotBefore
from harness.testing import AttentionKit
from harness.testing.sees import sees, visibilities
from harness_plugins.attention.random_features.module import directions
from tests.attentions import WIDTH, by_hand, config, in_pieces, passed, random_module, softmax_weight

ROWS, LENGTH = 3, 18


class TestKit(AttentionKit):
    config = config("random_features", heads=2, chunk=4, features=12)


def weight_of(module):
    """Σ_f φ(q)_f φ(k)_f (Choromanski et al. 2021, equation 5), without factors that cancel."""

    def features(x):
        scaled = x * x.shape[-1] ** -0.25
        return (scaled @ module.directions_FD.T - scaled.square().sum(-1, keepdim=True) / 2).exp()

    return lambda query_D, keys_KD: features(keys_KD) @ features(query_D)


@torch.no_grad()
@pytest.mark.parametrize("name", list(visibilities(config("random_features").visibilities, ROWS, LENGTH)))
def test_it_is_the_equation_for_every_visibility(name):
    options = config("random_features", chunk=4)
    module, hidden_BTC = random_module(options), torch.randn(ROWS, LENGTH, WIDTH)
    visibility = visibilities(options.visibilities, ROWS, LENGTH)[name]
    found = passed(module, hidden_BTC, visibility)
    expected = by_hand(module, hidden_BTC, sees(visibility, ROWS, LENGTH), weight_of(module))
    padding = visibility.get(NotBefore)
    is_real_BT = torch.ones(ROWS, LENGTH, dtype=torch.bool)
    if padding is not None:
        is_real_BT = torch.arange(LENGTH) >= padding.starts_B[:, None]
    torch.testing.assert_close(found[is_real_BT], expected[is_real_BT], rtol=1e-3, atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("visibility", [Causal(), Full()], ids=["causal", "full"])
def test_with_more_features_it_comes_nearer_to_the_softmax(visibility):
    """About as one over the root of their number, where queries and keys are no longer than the estimate bears: a
    hundred times as many leave about a tenth of the error."""
    torch.manual_seed(0)
    hidden_BTC, errors = 0.5 * torch.randn(2, LENGTH, WIDTH), []
    for features in (16, 1600):
        of_draws = []
        for key in range(5):
            module = random_module(config("random_features", features=features, key=key))
            expected = by_hand(module, hidden_BTC, sees(visibility, 2, LENGTH), softmax_weight)
            of_draws.append((passed(module, hidden_BTC, visibility) - expected).norm() / expected.norm())
        errors.append(sum(of_draws) / 5)
    assert 4 < errors[0] / errors[1] < 25


def test_directions_are_orthogonal_within_blocks_and_as_long_as_normal_vectors():
    directions_FD = directions(20 * 8, 8, key=3)
    for block in directions_FD.split(8):
        products = block @ block.T
        torch.testing.assert_close(products, products.diagonal().diag(), atol=1e-4, rtol=0)
    squares = directions_FD.square().sum(dim=1)  # χ² of 8 degrees: mean 8, variance 16
    assert abs(squares.mean() - 8) < 4 * (16 / 160) ** 0.5
    assert 8 < squares.var() < 26
    assert torch.equal(directions_FD, directions(160, 8, key=3))
    assert not torch.equal(directions_FD, directions(160, 8, key=4))


def test_directions_are_saved_with_the_weights_and_are_no_parameters():
    options = config("random_features", heads=2)
    module = random_module(options)
    assert module.state_dict()["directions_FD"].shape == (options.features_of_head(WIDTH), 8)
    assert sum(p.numel() for p in module.parameters()) == options.parameters(WIDTH)


@torch.no_grad()
def test_decoding_in_pieces_equals_one_pass():
    module, hidden_BTC = random_module(config("random_features", chunk=4)), torch.randn(2, LENGTH, WIDTH)
    visibility = Causal() & NotBefore(torch.tensor([0, 3]))
    found = in_pieces(module, hidden_BTC, visibility, [7, 1, 1, 6, 1, 1, 1])
    torch.testing.assert_close(found, passed(module, hidden_BTC, visibility), rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_long_queries_and_keys_overflow_nothing():
    module = random_module(config("random_features"))
    for linear in (module.queries, module.keys):
        linear.weight.mul_(30)
    assert passed(module, torch.randn(2, LENGTH, WIDTH), Causal()).isfinite().all()
