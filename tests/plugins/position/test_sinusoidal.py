"""Sinusoidal positions, one number at a time."""

import math

import pytest
import torch

from harness.config import plugin_config


@pytest.mark.parametrize("width", [6, 7])
def test_each_channel_is_its_wave(width):
    """Vaswani et al. 2017, section 3.5."""
    position = plugin_config("position", {"name": "sinusoidal", "base": 100.0, "amplitude": 0.5}, "position")
    embeddings_BTC, positions_BT = torch.randn(2, 3, width), torch.tensor([[0, 1, 2], [5, 0, 700]])
    found = position.build(width, 1, width).embed(embeddings_BTC, positions_BT) - embeddings_BTC
    for b in range(2):
        for t in range(3):
            for c in range(width):
                angle = positions_BT[b, t].item() / 100.0 ** ((c - c % 2) / width)
                wave = math.cos(angle) if c % 2 else math.sin(angle)
                assert found[b, t, c].item() == pytest.approx(0.5 * wave, abs=1e-4)


def test_it_has_no_parameters_and_no_longest_sequence():
    config = plugin_config("position", "sinusoidal", "position")
    assert (config.parameters(8, 2), config.maximum_length()) == (0, None)
    assert not list(config.build(8, 2, 4).parameters())


def test_embeddings_keep_their_dtype():
    position = plugin_config("position", "sinusoidal", "position").build(8, 2, 4)
    assert position.embed(torch.randn(1, 3, 8, dtype=torch.bfloat16), torch.arange(3)).dtype == torch.bfloat16


@pytest.mark.parametrize("scaled", [False, True])
@torch.no_grad()
def test_waves_are_as_large_beside_tokens_as_in_the_paper(transformer, scaled):
    """There both begin with an amplitude and a standard deviation of 1: what a token is can be seen beside its place."""
    model = transformer(position="sinusoidal", width=64, scale_embeddings=scaled).build(500)
    tokens_TC = model.body.tokens.weight[:500] * (8 if scaled else 1)
    waves_TC = model.body.position.embed(torch.zeros(1, 500, 64), torch.arange(500))[0]
    assert (waves_TC.abs().max() / tokens_TC.std()).item() == pytest.approx(1, rel=0.05)


def test_an_amplitude_that_is_told_is_kept(transformer):
    assert transformer(position={"name": "sinusoidal", "amplitude": 0.3}).build(50).body.position.amplitude == 0.3
