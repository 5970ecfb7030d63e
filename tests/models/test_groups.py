"""Which parameters are trained, at which share of the rate, and how groups are made of them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.config import ConfigError
from harness.interfaces.optimizer import OptimizerConfig, Trained
from harness.models.groups import freeze, grouped, trained


@pytest.fixture
def model(transformer: Any) -> Any:
    return transformer(layers=3, head={"name": "language_model", "tied": False}).build(50)


def rates(model: Any, **options: Any) -> dict[str, float]:
    return {one.name: one.rate for one in trained(model, OptimizerConfig(**options))}


def test_everything_is_trained_at_the_full_rate_unless_said_otherwise(model: Any):
    assert rates(model) == {name: 1.0 for name, _ in model.named_parameters()}


def test_frozen_parameters_are_named_and_stars_stand_for_anything(model: Any):
    config = OptimizerConfig(frozen=["body.tokens.weight", "body.blocks.0.*", "*_norm.weight"])
    freeze(model, config)
    left = {one.name for one in trained(model, config)}
    for name, parameter in model.named_parameters():
        is_frozen = name == "body.tokens.weight" or name.startswith("body.blocks.0.") or name.endswith("_norm.weight")
        assert parameter.requires_grad != is_frozen
        assert (name in left) != is_frozen


def test_a_name_that_is_none_is_refused_with_one_that_is(model: Any):
    with pytest.raises(
        ConfigError, match=r"optimizer\.frozen: no parameter is named body\.token\.weight.*body\.tokens"
    ):
        freeze(model, OptimizerConfig(frozen=["body.token.weight"]))
    with pytest.raises(ConfigError, match=r"optimizer\.rates: no parameter is named tail"):
        trained(model, OptimizerConfig(rates={"tail": 0.1}))


def test_freezing_everything_leaves_nothing_to_train(model: Any):
    config = OptimizerConfig(frozen=["*"])
    freeze(model, config)
    with pytest.raises(ConfigError, match="leaves nothing to train"):
        trained(model, config)


def test_shares_of_the_rate_multiply(model: Any):
    found = rates(model, rates={"body.*": 0.5, "*.attention.*": 0.1})
    for name, rate in found.items():
        assert rate == pytest.approx((0.5 if name.startswith("body.") else 1.0) * (0.1 if ".attention." in name else 1))


def test_the_rate_falls_from_each_layer_to_the_one_below(model: Any):
    found = rates(model, layer_decay=0.5)
    expected = {"heads.": 1.0, "body.norm.": 1.0, "body.tokens.": 0.5**3}
    expected |= {f"body.blocks.{layer}.": 0.5 ** (2 - layer) for layer in range(3)}
    for name, rate in found.items():
        assert rate == next(value for beginning, value in expected.items() if name.startswith(beginning))


def test_a_tied_table_counts_as_the_embedding_that_it_is(transformer: Any):
    assert rates(transformer(layers=3).build(50), layer_decay=0.5)["body.tokens.weight"] == 0.5**3


@given(st.lists(st.tuples(st.sampled_from(["matrix", "gain"]), st.sampled_from([0.1, 1.0])), min_size=1))
def test_groups_hold_every_parameter_once_apart_by_kind_and_rate(kinds: list[tuple[str, float]]):
    import torch

    parameters = [
        Trained(str(k), torch.nn.Parameter(torch.zeros(1)), role, rate) for k, (role, rate) in enumerate(kinds)
    ]
    groups = grouped(parameters, 0.2, lambda one: one.role)
    held = {id(p): (role, group["peak_lr"]) for role, group in groups for p in group["params"]}
    assert held == {id(one.parameter): (one.role, 0.2 * one.rate) for one in parameters}
    assert sum(len(group["params"]) for _, group in groups) == len(parameters)
    assert len(groups) == len(set(kinds))
    assert all(group["lr"] == group["peak_lr"] for _, group in groups)
