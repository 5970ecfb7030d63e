"""AdamW: the paper's update, decay by role."""

from typing import Any

import pytest
import torch
from torch import nn

from harness.config import ConfigError, from_mapping
from harness.interfaces.optimizer import Trained
from harness.registry import registry


def adamw(**options: Any) -> Any:
    return from_mapping(registry().get("optimizer", "adamw"), {"name": "adamw", **options})


def parameters() -> list[Trained]:
    generator = torch.Generator().manual_seed(0)
    shapes = {"matrix": (3, 2), "embedding": (5, 2), "gain": (4,), "bias": (4,)}
    return [
        Trained(role, nn.Parameter(torch.randn(shape, generator=generator)), role) for role, shape in shapes.items()
    ]


def test_steps_are_those_of_the_paper():
    lr, beta1, beta2, eps, decay = 0.1, 0.8, 0.9, 1e-6, 0.3
    trained = parameters()
    optimizer = adamw(lr=lr, betas=[beta1, beta2], eps=eps, weight_decay=decay).build(trained)
    slow = {
        one.name: (one.parameter.detach().double(), 0.0, 0.0, 0.0 if one.role in ("gain", "bias") else decay)
        for one in trained
    }
    for t in range(1, 6):
        for one in trained:
            name, p = one.name, one.parameter
            p.grad = torch.sin(p.detach() * t)
            theta, m, v, own_decay = slow[name]
            g = p.grad.double()
            m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
            step = (m / (1 - beta1**t)) / ((v / (1 - beta2**t)) ** 0.5 + eps)
            slow[name] = (theta - lr * step - lr * own_decay * theta, m, v, own_decay)
        optimizer.step()
    for one in trained:
        torch.testing.assert_close(one.parameter.detach().double(), slow[one.name][0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("decayed", "expected"),
    [(["matrix", "embedding"], {"matrix", "embedding"}), (["matrix"], {"matrix"}), ([], set())],
)
def test_only_named_roles_decay(decayed: list[str], expected: set[str]):
    trained = parameters()
    optimizer = adamw(lr=0.1, weight_decay=0.5, decayed=decayed).build(trained)
    before = {one.name: one.parameter.detach().clone() for one in trained}
    for one in trained:
        one.parameter.grad = torch.zeros_like(one.parameter)
    optimizer.step()
    after = {one.name: one.parameter.detach() for one in trained}
    assert {name for name in after if not torch.equal(after[name], before[name])} == expected
    for name in expected:
        torch.testing.assert_close(after[name], before[name] * (1 - 0.1 * 0.5))


def test_each_group_keeps_its_peak_rate():
    assert {group["peak_lr"] for group in adamw(lr=0.25).build(parameters()).param_groups} == {0.25}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"betas": [0.9]}, "betas"),
        ({"betas": [0.9, 1.0]}, "betas"),
        ({"decayed": ["norm"]}, "norm"),
        ({"lr": -1}, "lr"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], named: str):
    with pytest.raises(ConfigError, match=named):
        adamw(**options)
