"""Rotary positions against the rotation of one pair of channels at a time."""

import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from harness.config import ConfigError, plugin_config
from harness_plugins.position.rotary.scaling import frequencies


def config(**values):
    return plugin_config("position", {"name": "rotary", **values}, "position")


def rotary(base: float, head_width: int, **values):
    return config(base=base, **values).build(64, 3, head_width)


def turned(vector: list[float], place: int, base: float, turning: int, interleaved: bool) -> list[float]:
    """Su et al. 2021, equation 15, for the first `turning` channels; channel d paired with d + D/2 as in LLaMA, or
    2d with 2d + 1 as in the paper."""
    out = list(vector)
    for d in range(turning // 2):
        angle = place * base ** (-2 * d / turning)
        first, second = (2 * d, 2 * d + 1) if interleaved else (d, d + turning // 2)
        x, y = vector[first], vector[second]
        out[first] = x * math.cos(angle) - y * math.sin(angle)
        out[second] = x * math.sin(angle) + y * math.cos(angle)
    return out


@pytest.mark.parametrize(("base", "head_width"), [(10000.0, 8), (100.0, 2), (500000.0, 16)])
@pytest.mark.parametrize("share", [1.0, 0.5])
@pytest.mark.parametrize("interleaved", [False, True])
def test_each_pair_is_turned_by_its_angle(base, head_width, share, interleaved):
    if share * head_width < 2:
        share = 1.0
    torch.manual_seed(0)
    position = rotary(base, head_width, share=share, interleaved=interleaved)
    heads_BTHD, turning = torch.randn(2, 5, 3, head_width), int(share * head_width)
    positions_BT = torch.tensor([[0, 1, 2, 3, 4], [0, 0, 7, 1, 100]])
    found = position.rotate(heads_BTHD, position.prepare(positions_BT))
    for b in range(2):
        for t in range(5):
            for h in range(3):
                expected = torch.tensor(
                    turned(heads_BTHD[b, t, h].tolist(), positions_BT[b, t].item(), base, turning, interleaved)
                )
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


#: Each scaling as a user writes it, and as `transformers` calls it. LLaMA-3.1's, Qwen2.5's and made-up numbers.
SCALED = {
    "linear": (
        {"scaling": "linear", "factor": 4.0},
        {"rope_type": "linear", "factor": 4.0},
    ),
    "llama3": (
        {"base": 5e5, "scaling": "llama3", "factor": 8.0, "original_length": 8192},
        {"rope_theta": 5e5, "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
        | {"original_max_position_embeddings": 8192},
    ),
    "llama3, other bounds": (
        {"scaling": "llama3", "factor": 3.0, "original_length": 100, "slow": 2.0, "fast": 9.0},
        {"rope_type": "llama3", "factor": 3.0, "low_freq_factor": 2.0, "high_freq_factor": 9.0}
        | {"original_max_position_embeddings": 100},
    ),
    "yarn": (
        {"base": 1e6, "scaling": "yarn", "factor": 4.0, "original_length": 32768},
        {"rope_theta": 1e6, "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768},
    ),
    "yarn, other bounds": (
        {"scaling": "yarn", "factor": 16.0, "original_length": 200, "slow": 2.0, "fast": 20.0, "temperature": 1.5},
        {"rope_type": "yarn", "factor": 16.0, "beta_slow": 2.0, "beta_fast": 20.0, "attention_factor": 1.5}
        | {"original_max_position_embeddings": 200},
    ),
    "yarn, a short original": (
        {"scaling": "yarn", "factor": 2.0, "original_length": 4},
        {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 4},
    ),
}


@pytest.mark.parametrize("head_width", [2, 8, 64, 128])
@pytest.mark.parametrize("share", [1.0, 0.5])
@pytest.mark.parametrize("name", SCALED)
def test_scaled_frequencies_are_those_of_transformers(name, share, head_width):
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    ours, theirs = SCALED[name]
    if share * head_width < 2:
        share = 1.0
    rope = {"rope_theta": 1e4, **theirs, "partial_rotary_factor": share}
    there = LlamaConfig(head_dim=head_width, rope_parameters=rope, max_position_embeddings=131072)
    expected, expected_temperature = ROPE_INIT_FUNCTIONS[theirs["rope_type"]](there)
    position = rotary(**{"base": 1e4, **ours}, head_width=head_width, share=share)
    found = frequencies(position.config, int(share * head_width) // 2, torch.device("cpu"))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
    assert position.temperature == pytest.approx(expected_temperature, rel=1e-12)


def test_ntk_is_what_transformers_makes_of_a_sequence_so_many_times_as_long():
    """Its own is called dynamic; at a factor of 1 the base grows as the sequence does."""
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    rope = {"rope_theta": 1e4, "rope_type": "dynamic", "factor": 1.0}
    there = LlamaConfig(head_dim=16, rope_parameters=rope, max_position_embeddings=100)
    expected, _ = ROPE_INIT_FUNCTIONS["dynamic"](there, seq_len=500)
    found = frequencies(config(scaling="ntk", factor=5.0), 8, torch.device("cpu"))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)


@given(
    factor=st.floats(1.0, 64.0), pairs=st.integers(2, 64), scaling=st.sampled_from(["linear", "ntk", "yarn", "llama3"])
)
def test_a_scaling_lowers_the_slowest_pair_by_its_factor_and_none_by_more(factor, pairs, scaling):
    original = 64 if scaling in ("yarn", "llama3") else None
    scaled, plain = (
        frequencies(each, pairs, torch.device("cpu"))
        for each in (config(scaling=scaling, factor=factor, original_length=original, base=1e6), config(base=1e6))
    )
    ratio = plain / scaled
    assert ((ratio > 1 - 1e-4) & (ratio < factor * (1 + 1e-4))).all()
    assert ratio[-1].item() == pytest.approx(factor, rel=1e-4)
    if scaling != "linear":
        assert ratio[0].item() == pytest.approx(1.0, rel=1e-4)


@given(
    shift=st.integers(0, 5000),
    places=st.tuples(st.integers(0, 500), st.integers(0, 500)),
    values=st.sampled_from(
        [{}, {"interleaved": True}, {"share": 0.5}, {"scaling": "yarn", "factor": 4.0, "original_length": 128}]
    ),
)
def test_scores_depend_on_distance_only(shift, places, values):
    torch.manual_seed(0)
    position, (query, key) = rotary(1e4, 8, **values), torch.randn(2, 8)

    def score(i: int, j: int) -> torch.Tensor:
        turned = [
            position.rotate(v.view(1, 1, 1, 8), position.prepare(torch.tensor([p]))) for v, p in ((query, i), (key, j))
        ]
        return (turned[0] * turned[1]).sum()

    i, j = places
    torch.testing.assert_close(score(i + shift, j + shift), score(i, j), rtol=0, atol=1e-2)


def test_yarn_sharpens_attention():
    """Scores of what is turned are divided by t, √(1/t) = 0.1 ln(s) + 1 (Peng et al. 2023, section 3.4)."""
    position, heads_BTHD = rotary(1e4, 8, scaling="yarn", factor=16.0, original_length=64), torch.randn(1, 6, 2, 8)
    found = position.rotate(heads_BTHD, position.prepare(torch.arange(6)))
    torch.testing.assert_close(found.norm(dim=-1), heads_BTHD.norm(dim=-1) * (0.1 * math.log(16.0) + 1))


LONG_ROPE = {"scaling": "longrope", "original_length": 8, "short_factors": [1.0] * 4, "long_factors": [2.0]}


@pytest.mark.parametrize(
    ("values", "head_width", "message"),
    [
        ({}, 9, "a head has 9: choose other heads"),
        ({"share": 0.4}, 8, "a head has 8, of which share=0.4 are 3: choose other heads or another share"),
        ({"share": 0.1}, 8, "share=0.1 are 0"),
        ({"scaling": "ntk", "factor": 2.0}, 2, "there is no other where a head has 2"),
        (LONG_ROPE, 8, "long_factors has 1 factors, and a head has 4 pairs"),
    ],
)
def test_heads_that_cannot_be_turned_are_refused(values, head_width, message):
    with pytest.raises(ConfigError, match=message):
        config(**values).check_head(head_width)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"factor": 4.0}, "factor=4.0 does nothing where scaling=none"),
        ({"original_length": 7}, "original_length=7 does nothing where scaling=none, only where it is yarn or llama3"),
        ({"scaling": "linear", "factor": 2.0, "slow": 2.0}, "slow=2.0 does nothing where scaling=linear"),
        ({"scaling": "ntk", "factor": 2.0, "fast": 3.0}, "fast=3.0 does nothing where scaling=ntk"),
        ({"scaling": "llama3", "original_length": 8, "temperature": 2.0}, "temperature=2.0 does nothing where"),
        ({"scaling": "yarn", "factor": 4.0}, "scaling=yarn needs original_length"),
        ({"scaling": "llama3", "original_length": 8, "slow": 4.0}, "slow=4.0 and fast=4.0 are numbers of rotations"),
        ({"scaling": "yarn", "original_length": 8, "base": 1.0}, "with base=1 there is but one"),
        ({**LONG_ROPE, "original_length": None}, "scaling=longrope needs original_length"),
        ({**LONG_ROPE, "long_factors": [0.0]}, "divide frequencies: all must be more than 0"),
        ({"long_factors": [2.0]}, "does nothing where scaling=none"),
        ({"scaling": "dynamic"}, "scaling='dynamic' is not possible"),
        ({"factor": 0.5, "scaling": "linear"}, "factor=0.5 is too small"),
    ],
)
def test_options_that_do_not_fit_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        config(**values)
