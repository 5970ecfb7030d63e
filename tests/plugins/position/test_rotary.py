"""Rotary positions against the rotation of one pair of channels at a time."""

import math

import pytest
import torch

from harness.config import ConfigError, plugin_config


def rotary(base: float, head_width: int):
    return plugin_config("position", {"name": "rotary", "base": base}, "position").build(64, head_width)


def turned(vector: list[float], place: int, base: float) -> list[float]:
    """Su et al. 2021, equation 15, with channel d paired with d + D/2 as in LLaMA."""
    half = len(vector) // 2
    out = [0.0] * len(vector)
    for d in range(half):
        angle = place * base ** (-2 * d / len(vector))
        x, y = vector[d], vector[d + half]
        out[d] = x * math.cos(angle) - y * math.sin(angle)
        out[d + half] = x * math.sin(angle) + y * math.cos(angle)
    return out


@pytest.mark.parametrize(("base", "head_width"), [(10000.0, 8), (100.0, 2), (500000.0, 16)])
def test_each_pair_is_turned_by_its_angle(base, head_width):
    torch.manual_seed(0)
    position, heads_BTHD = rotary(base, head_width), torch.randn(2, 5, 3, head_width)
    positions_BT = torch.tensor([[0, 1, 2, 3, 4], [0, 0, 7, 1, 100]])
    found = position.rotate(heads_BTHD, position.prepare(positions_BT))
    for b in range(2):
        for t in range(5):
            for h in range(3):
                expected = torch.tensor(turned(heads_BTHD[b, t, h].tolist(), positions_BT[b, t].item(), base))
                torch.testing.assert_close(found[b, t, h], expected, rtol=1e-4, atol=1e-5)


def test_places_that_all_rows_share_need_no_rows():
    position, heads_BTHD = rotary(10000.0, 8), torch.randn(2, 5, 3, 8)
    shared = position.rotate(heads_BTHD, position.prepare(torch.arange(5)))
    assert torch.equal(shared, position.rotate(heads_BTHD, position.prepare(torch.arange(5).expand(2, 5))))


def test_angles_survive_a_model_in_bfloat16():
    """The angle of place 4096 has no meaning in bfloat16, whose numbers there are 32 apart."""
    position = rotary(10000.0, 8).to(torch.bfloat16)
    cos, _ = position.prepare(torch.tensor([4096]))
    assert cos[0, 0, 0].item() == pytest.approx(math.cos(4096), abs=1e-3)


def test_an_odd_head_is_refused():
    with pytest.raises(ConfigError, match="a head has 9"):
        plugin_config("position", "rotary", "position").check_head(9)
