"""How a model learns: every parameter has a gradient, whatever saves memory or time, and it can learn by heart. Each
check takes a Config of tiny size and returns one sentence that names the fault, or None."""

from __future__ import annotations

import math

import torch
from torch import nn

from harness.interfaces.architecture import ArchitectureConfig
from harness.interfaces.visibility import Full
from harness.models.blocks import compile_blocks, recompute
from harness.testing.architecture import OTHER_SHAPES
from harness.testing.models import (
    DRAWS,
    PLACES,
    VOCABULARY,
    build,
    far,
    gradients,
    hidden,
    other_gradient,
    simplest,
    stirred,
    tokens,
)


def without_gradient(config: ArchitectureConfig) -> str | None:
    """Whether every parameter gets a finite gradient that is not zero."""
    without = []
    for seed in range(DRAWS):
        found = gradients(stirred(config, seed), tokens(8, PLACES), simplest(config))
        without.append([name for name, gradient in found.items() if gradient is None or not gradient.any()])
        for name, gradient in found.items():
            if gradient is not None and not gradient.isfinite().all():
                return f"The gradient of the parameter {name} is not finite."
        if not without[-1]:
            return None
    for name in without[0]:
        if all(name in of for of in without):
            return f"The parameter {name} gets no gradient: nothing that the model computes depends on it."
    return None


def recomputes_otherwise(config: ArchitectureConfig) -> str | None:
    """Whether gradients are the same where blocks are computed again in the backward pass."""
    visibility = simplest(config)
    expected = gradients(stirred(config), tokens(), visibility)
    for mode in ("blocks", "selective"):
        model = stirred(config)
        recompute(model, mode)
        if other := other_gradient(gradients(model, tokens(), visibility), expected, OTHER_SHAPES):
            return f"With activation_checkpointing={mode} the gradient of {other[0]} differs by {other[1]:.1e}."
    return None


def compiles_otherwise(config: ArchitectureConfig) -> str | None:
    """Whether blocks that are compiled compute what they do otherwise. Takes seconds."""
    plain, compiled, inputs_BT = stirred(config), stirred(config), tokens()
    compile_blocks(compiled)
    visibility = simplest(config)
    off = far(hidden(compiled, inputs_BT, visibility), hidden(plain, inputs_BT, visibility)).max()
    return None if off <= OTHER_SHAPES else f"Compiled, it computes something else, by {off:.1e}."


def learns_nothing(config: ArchitectureConfig, steps: int = 200, lr: float = 0.02) -> str | None:
    """Whether it learns eight random sequences by heart, as every model of any use does."""
    if "language_model" not in config.heads():
        return None
    model, inputs_BT, visibility = build(config).train(), tokens(8, PLACES), simplest(config)
    shown_BT, targets_BT = inputs_BT[:, :-1], inputs_BT[:, 1:]
    if isinstance(visibility, Full):  # each third token is hidden, and foretold
        hides_T = torch.arange(PLACES) % 3 == 1
        shown_BT, targets_BT = inputs_BT.masked_fill(hides_T, 0), inputs_BT.masked_fill(~hides_T, -100)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    uniform, loss = math.log(VOCABULARY), torch.tensor(math.inf)
    for _ in range(steps):
        logits_BTV = model.heads["language_model"](hidden(model, shown_BT, visibility))
        loss = nn.functional.cross_entropy(logits_BTV.flatten(0, 1).float(), targets_BT.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss < uniform / 2:
            return None
    return (
        f"It does not learn eight sequences by heart: after {steps} steps the loss is {loss:.2f} nats, where "
        f"guessing costs {uniform:.2f}."
    )
