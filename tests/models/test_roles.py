"""The role of each parameter, and weights at the start."""

import pytest
import torch
from torch import nn

from harness.config import ConfigError
from harness.models.initialise import normal
from harness.models.roles import roles


def test_every_parameter_of_a_transformer_has_its_role(transformer):
    model = transformer(
        attention={"name": "multi_head", "bias": True},
        position="learned",
        norm="layernorm",
        feedforward="mlp",
        layers=1,
    ).build(100)
    found = roles(model)
    assert list(found) == [name for name, _ in model.named_parameters()]
    assert found["body.tokens.weight"] == found["body.position.table.weight"] == "embedding"
    assert found["body.blocks.0.attention.keys.weight"] == found["body.blocks.0.feedforward.down.weight"] == "matrix"
    assert found["body.blocks.0.attention_norm.weight"] == found["body.norm.weight"] == "gain"
    assert found["body.blocks.0.attention.out.bias"] == found["body.norm.bias"] == "bias"


def test_a_tied_head_is_an_embedding_and_an_untied_one_a_matrix(transformer):
    assert "heads.language_model.weight" not in roles(transformer().build(100))
    untied = transformer(head={"name": "language_model", "tied": False}).build(100)
    assert roles(untied)["heads.language_model.weight"] == "matrix"


def test_a_module_names_the_roles_of_its_own_parameters():
    class Scale(nn.Module):
        roles = {"scale": "gain"}

        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.zeros(3))

    model = nn.Sequential(nn.Linear(3, 3), Scale())
    assert roles(model) == {"0.weight": "matrix", "0.bias": "bias", "1.scale": "gain"}
    normal(model, 0.02)
    assert torch.equal(model[1].scale, torch.ones(3))

    del Scale.roles
    with pytest.raises(ConfigError, match=r"1\.scale has no role.*Scale"):
        roles(model)


def test_initialisation_is_the_papers(transformer):
    torch.manual_seed(0)
    model = transformer(width=128, layers=8, attention={"name": "multi_head", "bias": True}, norm="layernorm").build(
        500
    )
    residual = 0.02 / (2 * 8) ** 0.5
    for name, parameter in model.named_parameters():
        role = roles(model)[name]
        if role in ("matrix", "embedding"):
            std = residual if name.endswith(("attention.out.weight", "feedforward.down.weight")) else 0.02
            assert parameter.std().item() == pytest.approx(std, rel=0.05)
        else:
            assert torch.equal(parameter, torch.full_like(parameter, 1.0 if role == "gain" else 0.0))


def test_the_residual_scaling_can_be_turned_off(transformer):
    torch.manual_seed(0)
    model = transformer(width=128, init_scale_residual=False).build(100)
    assert model.body.blocks[0].attention.out.weight.std().item() == pytest.approx(0.02, rel=0.05)


def test_the_same_seed_gives_the_same_weights(transformer):
    def weights():
        torch.manual_seed(3)
        return transformer().build(100).state_dict()

    first, second = weights(), weights()
    assert all(torch.equal(first[name], second[name]) for name in first)
