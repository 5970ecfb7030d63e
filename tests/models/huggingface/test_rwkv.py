"""RWKV-4."""

import pytest
import torch

from harness.errors import UserError
from harness.models.huggingface import config_from_transformers
from harness_plugins.architecture.rwkv import mixers, wkv
from tests.models.huggingface.families import INPUTS, TOLERANCE, FamilyTests, error, ours_from, their_model

RWKV = {"hidden_size": 24, "num_hidden_layers": 3}


@pytest.fixture(autouse=True)
def _inputs_are_longer_than_two_chunks(monkeypatch):
    monkeypatch.setattr(wkv, "CHUNK", 16)


class TestRWKV(FamilyTests):
    model_type = "rwkv"
    cases = {
        "plain": RWKV,
        "tied, of another hidden width": {**RWKV, "tie_word_embeddings": True, "intermediate_size": 40},
    }
    mutants = {"plain": [{"norm.bias": False}, {"norm.epsilon": 1e-1}]}


def changed(model):
    """How far its logits are from theirs."""
    with torch.no_grad():
        return error(model.logits(INPUTS), their_model(TestRWKV, "plain")(INPUTS).logits)


@pytest.fixture
def ours():
    return ours_from(their_model(TestRWKV, "plain"))[1]


@torch.no_grad()
def test_every_parameter_is_needed(ours):
    for name, parameter in ours.named_parameters():
        before = parameter.clone()
        parameter.zero_()
        assert changed(ours) > TOLERANCE, name
        parameter.copy_(before)
    assert changed(ours) <= TOLERANCE


def test_code_that_is_wrong_is_found_out(ours, monkeypatch):
    sums, mean = wkv._sums, wkv._mean

    def faded_too_early(keys, values, decay_C, known, state):
        numerator, denominator, exponent = sums(keys, values, decay_C, known, state)
        return numerator, denominator, exponent - decay_C

    def without_the_place_itself(keys, values, first_C, known, before):
        return mean(keys, values, first_C - 1e9, known, before)

    def mixed_the_other_way(shift, hidden_BTC, before_BTC):
        return hidden_BTC + shift.share * (before_BTC - hidden_BTC)

    for of, name, wrong in (
        (wkv, "_sums", faded_too_early),
        (wkv, "_mean", without_the_place_itself),
        (mixers.Shift, "forward", mixed_the_other_way),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(of, name, wrong)
            assert not changed(ours) <= TOLERANCE, name


@torch.no_grad()
def test_what_they_rescale_is_the_same():
    """In evaluation they halve the stream after every few layers, and the weights that write to it."""
    case = type("Deep", (TestRWKV,), {"cases": {"deep": {**RWKV, "num_hidden_layers": 5, "rescale_every": 2}}})
    theirs = their_model(case, "deep")
    _, ours = ours_from(theirs)
    before = theirs.rwkv.blocks[4].attention.output.weight.clone()
    assert error(ours.logits(INPUTS), theirs(INPUTS).logits) <= TOLERANCE
    assert torch.equal(theirs.rwkv.blocks[4].attention.output.weight, before / 4)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"attention_hidden_size": 48}, "attention_hidden_size=48 has no counterpart"),
        ({"layer_norm_epsilon": 1e-3}, "layer_norm_epsilon=0.001 has no counterpart"),
    ],
)
def test_what_we_cannot_express_is_refused(values, message):
    with pytest.raises(UserError, match=message):
        config_from_transformers({**their_model(TestRWKV, "plain").config.to_dict(), **values})
