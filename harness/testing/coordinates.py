"""The coordinate check (Yang et al. 2022, appendix D.1): whether what a model computes, and how far a few steps of
training move it, stay of one size as the model gets wider."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from harness.interfaces.architecture import ENCODER_DECODER, ArchitectureConfig
from harness.interfaces.optimizer import OptimizerConfig
from harness.models.blocks import blocks
from harness.models.groups import trained
from harness.models.model import Model

#: Tokens of the vocabulary, and rows and places of the one batch that is learned by heart.
VOCABULARY, ROWS, PLACES = 64, 8, 32

#: Tensors by the name of their quantity.
Tensors = dict[str, torch.Tensor]


def coordinates(
    at: Callable[[int], ArchitectureConfig],
    widths: Sequence[int],
    optimizer: OptimizerConfig,
    steps: int = 4,
    seeds: int = 4,
) -> dict[tuple[str, str], dict[int, float]]:
    """By quantity and "start" or "change" (after so many steps at a constant rate): its mean absolute size at each
    width. Quantities are the output of each block, the logits of its attention where that is multi-head, and the final
    logits. at: the architecture of a width. All widths and seeds learn the same tokens.

    Logits are averaged over seeds, and those of attention over heads, before their size is taken. Infinitely wide
    models agree in them; what the draw of the weights adds in narrow ones falls as 1/√width and would hide the rest.
    """
    sizes: dict[tuple[str, str], dict[int, float]] = {}
    for width in widths:
        drawn = [_start_and_change(at(width), optimizer, steps, seed) for seed in range(seeds)]
        for key in drawn[0]:
            mean = torch.stack([tensors[key] for tensors in drawn]).mean(0)
            sizes.setdefault(key, {})[width] = mean.abs().mean().item()
    return sizes


def exponent(sizes: Mapping[int, float]) -> float:
    """The slope of log size over log width: 0 where the size does not go with the width."""
    return float(np.polyfit(np.log(list(sizes)), np.log(list(sizes.values())), 1)[0])


def _start_and_change(
    architecture: ArchitectureConfig, optimizer: OptimizerConfig, steps: int, seed: int
) -> dict[tuple[str, str], torch.Tensor]:
    tokens_BT = torch.randint(VOCABULARY, (ROWS, PLACES + 1), generator=torch.Generator().manual_seed(0))
    inputs_BT, targets_BT = tokens_BT[:, :-1], tokens_BT[:, 1:]
    torch.manual_seed(seed)
    model: Model = architecture.build(VOCABULARY)
    source_BS = inputs_BT.flip(1) if model.topology == ENCODER_DECODER else None
    before = _seen(model, inputs_BT, source_BS)
    stepper = optimizer.build(trained(model, optimizer))
    for _ in range(steps):
        stepper.zero_grad()
        logits_BTV = model.logits(inputs_BT, source_BS=source_BS)
        F.cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten()).backward()
        stepper.step()
    after = _seen(model, inputs_BT, source_BS)
    found = {}
    for name, start in before.items():
        found[name, "start"] = _told(name, start)
        found[name, "change"] = _told(name, after[name] - start)
    return found


def _told(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """What is averaged over seeds: logits, or, of channels, which are others in each, their size."""
    return tensor if name.endswith("logits") else tensor.abs().mean()


@torch.no_grad()
def _seen(model: Model, inputs_BT: torch.Tensor, source_BS: torch.Tensor | None) -> Tensors:
    """The quantities of one forward pass."""
    found: Tensors = {}
    with _watched(model, found):
        found["final logits"] = model.logits(inputs_BT, source_BS=source_BS)
    return found


@contextmanager
def _watched(model: Model, found: Tensors) -> Iterator[None]:
    """Where blocks, and attention's `mix`, leave what they make."""
    hooks, mixing = [], []
    for layer, block in enumerate(blocks(model)):
        hooks.append(block.register_forward_hook(_keep_output(found, f"block {layer}")))
        attention: Any = getattr(block, "attention", None)
        if hasattr(attention, "mix"):
            attention.mix = _keep_logits(found, f"block {layer}: attention logits", attention)
            mixing.append(attention)
    yield
    for hook in hooks:
        hook.remove()
    for attention in mixing:
        del attention.mix  # its class has the method


def _keep_output(found: Tensors, name: str) -> Callable[..., None]:
    def keep(block: Any, given: Any, made: Any) -> None:
        found[name] = made[0]

    return keep


def _keep_logits(found: Tensors, name: str, attention: Any) -> Callable[..., torch.Tensor]:
    mix = attention.mix

    def keep(queries_BHTD: torch.Tensor, keys_BHTD: torch.Tensor, *more: Any) -> Any:
        """Products of each query with the keys before it, averaged over heads."""
        scale = queries_BHTD.shape[-1] ** -0.5 if attention.scale is None else attention.scale
        of_query_BHTD = keys_BHTD.repeat_interleave(attention.repeats, dim=1)
        found[name] = (scale * queries_BHTD @ of_query_BHTD.transpose(-1, -2)).mean(1).tril()
        return mix(queries_BHTD, keys_BHTD, *more)

    return keep
