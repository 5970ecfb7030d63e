"""Mamba-2."""

import pytest
import torch
import torch.nn.functional as F

from harness.errors import UserError
from harness.models.huggingface import config_from_transformers
from harness.models.recurrent import chunks
from harness_plugins.architecture.mamba2 import mixer
from tests.models.huggingface.families import INPUTS, TOLERANCE, FamilyTests, error, ours_from, their_model

#: Inputs are longer than two chunks of 16.
MAMBA2 = {
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_heads": 6,
    "head_dim": 8,
    "state_size": 5,
    "n_groups": 2,
    "chunk_size": 16,
}


class TestMamba2(FamilyTests):
    model_type = "mamba2"
    cases = {
        "plain": MAMBA2,
        "tied, of one group, biased": {**MAMBA2, "n_groups": 1, "use_bias": True, "tie_word_embeddings": True},
        "other taps, epsilon and chunks": {
            **MAMBA2,
            "conv_kernel": 3,
            "use_conv_bias": False,
            "layer_norm_epsilon": 1e-2,
            "chunk_size": 7,
            "expand": 4,
            "num_heads": 12,
        },
    }
    mutants = {
        "plain": [{"convolution_bias": False}, {"groups": 1, "state": 10}],
        "tied, of one group, biased": [{"bias": False}],
        "other taps, epsilon and chunks": [{"norm_epsilon": 1e-5}, {"norm.epsilon": 1e-5}],
    }


def changed(model):
    """How far its logits are from theirs."""
    with torch.no_grad():
        return error(model.logits(INPUTS), their_model(TestMamba2, "plain")(INPUTS).logits)


@pytest.fixture
def ours():
    return ours_from(their_model(TestMamba2, "plain"))[1]


@torch.no_grad()
def test_every_parameter_is_needed(ours):
    """D and the bias of Δ among them: without one the logits are others."""
    for name, parameter in ours.named_parameters():
        before = parameter.clone()
        parameter.zero_()
        assert changed(ours) > TOLERANCE, name
        parameter.copy_(before)
    assert changed(ours) <= TOLERANCE


def wrong_chunk(handed_on):
    return lambda state, left, added: handed_on(state, left.roll(1, dims=1), added)


def wrong_place(between):
    """Decays that begin one place too early."""
    return lambda log_decay, inside: between(log_decay.roll(1, dims=-2), inside)


def normed_before_the_gate(norm, x, gate):
    grouped = x.unflatten(-1, (norm.groups, -1))
    return F.rms_norm(grouped, grouped.shape[-1:], eps=norm.epsilon).flatten(-2) * norm.weight * F.silu(gate)


def test_code_that_is_wrong_is_found_out(ours, monkeypatch):
    for of, name, wrong in (
        (chunks, "_handed_on", wrong_chunk(chunks._handed_on)),
        (chunks, "_between", wrong_place(chunks._between)),
        (mixer.GatedNorm, "forward", normed_before_the_gate),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(of, name, wrong)
            assert changed(ours) > TOLERANCE, name


@torch.no_grad()
def test_taps_from_the_other_end_are_found_out(ours):
    for block in ours.body.layers():
        block.mixer.values_convolution.weight.copy_(block.mixer.values_convolution.weight.flip(-1))
    assert changed(ours) > TOLERANCE


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hidden_act": "gelu"}, "hidden_act=gelu has no counterpart"),
        ({"time_step_limit": [0.01, 0.1]}, "time_step_limit=.*0.01, 0.1.* has no counterpart"),
        ({"num_heads": 5}, "num_heads=5 has no counterpart here, only 6"),
    ],
)
def test_what_we_cannot_express_is_refused(values, message):
    theirs = their_model(TestMamba2, "plain").config.to_dict()
    with pytest.raises(UserError, match=message):
        config_from_transformers({**theirs, **values})
