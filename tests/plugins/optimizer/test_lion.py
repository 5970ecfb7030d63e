"""Lion: the sign of a momentum, as the paper's algorithm has it."""

import math
from typing import Any

import torch
from torch import nn

from harness.config import from_mapping
from harness.interfaces.optimizer import Trained
from harness.registry import registry


def lion(**options: Any) -> Any:
    return from_mapping(registry().get("optimizer", "lion"), {"name": "lion", **options})


def parameters() -> list[Trained]:
    generator = torch.Generator().manual_seed(0)
    shapes = {"matrix": (3, 2), "embedding": (5, 2), "gain": (4,), "bias": (4,)}
    return [
        Trained(role, nn.Parameter(torch.randn(shape, generator=generator)), role) for role, shape in shapes.items()
    ]


def test_steps_are_those_of_the_paper():
    """Chen et al. 2023, algorithm 2, number by number."""
    lr, beta1, beta2, decay = 0.01, 0.7, 0.9, 0.5
    trained = parameters()
    optimizer = lion(lr=lr, betas=[beta1, beta2], weight_decay=decay).build(trained)
    slow = {one.name: one.parameter.flatten().tolist() for one in trained}
    momenta = {name: [0.0] * len(values) for name, values in slow.items()}
    for t in range(1, 7):
        for one in trained:
            one.parameter.grad = torch.sin(3 * t * one.parameter.detach())
            own_decay = decay if one.role in ("matrix", "embedding") else 0.0
            for i, g in enumerate(one.parameter.grad.flatten().tolist()):
                theta, m = slow[one.name][i], momenta[one.name][i]
                direction = math.copysign(1.0, beta1 * m + (1 - beta1) * g)
                slow[one.name][i] = theta - lr * (direction + own_decay * theta)
                momenta[one.name][i] = beta2 * m + (1 - beta2) * g
        optimizer.step()
    for one in trained:
        torch.testing.assert_close(one.parameter.flatten().tolist(), slow[one.name], rtol=1e-5, atol=1e-6)


def test_where_nothing_pulls_only_decay_moves():
    trained = parameters()
    before = [one.parameter.detach().clone() for one in trained]
    for one in trained:
        one.parameter.grad = torch.zeros_like(one.parameter)
    lion(lr=0.1, weight_decay=0.5, decayed=["matrix"]).build(trained).step()
    for one, was in zip(trained, before, strict=True):
        torch.testing.assert_close(one.parameter.detach(), was * (0.95 if one.role == "matrix" else 1.0))


def test_a_parameter_without_a_gradient_is_left():
    trained = parameters()
    trained[0].parameter.grad = torch.ones_like(trained[0].parameter)
    before = [one.parameter.detach().clone() for one in trained]
    lion(lr=0.1).build(trained).step()
    same = [torch.equal(one.parameter, was) for one, was in zip(trained, before, strict=True)]
    assert same == [False, True, True, True]


def test_it_keeps_one_number_for_each_parameter():
    trained = parameters()
    optimizer = lion().build(trained)
    for one in trained:
        one.parameter.grad = torch.ones_like(one.parameter)
    optimizer.step()
    kept = sum(value.numel() for state in optimizer.state.values() for value in state.values())
    assert kept == lion().state_numbers(0.5) * sum(one.parameter.numel() for one in trained)
