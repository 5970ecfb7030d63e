"""Counting a model by building it on the meta device, where tensors have shapes and no memory."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from harness.interfaces.adapter import AdapterCounts
from harness.interfaces.architecture import ENCODER_DECODER, ArchitectureConfig, PartCount
from harness.interfaces.visibility import Causal, Condition, Full
from harness.models.model import Model


def build_on_meta(config: ArchitectureConfig, vocabulary: int) -> Model:
    """The model without its memory: any size, in seconds."""
    with torch.device("meta"):
        return config.build(vocabulary)


def count_on_meta(
    config: ArchitectureConfig, vocabulary: int, sequence_length: int, source_length: int = 0
) -> list[PartCount]:
    """The account of an architecture without closed forms: a line for each child of the body and each head, look-up
    tables apart. Every parameter is taken to be active. source_length: what an encoder–decoder reads; 0: as much.
    """
    model = build_on_meta(config, vocabulary)
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    parameters: Counter[tuple[str, bool]] = Counter()
    for name, parameter in model.named_parameters():
        parameters[".".join(name.split(".")[:2]), id(parameter) in tables] += parameter.numel()
    flops = flops_on_meta(model, sequence_length, simplest(config), source_length)
    lines = {(part, False) for part, n in flops.items() if n} | set(parameters)
    return [
        PartCount(part, parameters[part, table], 0 if table else flops.get(part, 0), parameters[part, table], table)
        for part, table in sorted(lines)
    ]


def simplest(config: ArchitectureConfig) -> Condition:
    """A visibility that it can do: causal, if it can do that."""
    return Causal() if Causal in config.visibilities else Full()


def training_flops_on_meta(
    model: Model, sequence_length: int, adapter: AdapterCounts | None = None, visibility: Condition = Causal()
) -> int:
    """FLOPs of the forward and the backward pass for one token, as PyTorch's counter has them: parameters that are
    frozen have no gradient, and neither has what stands before all that is trained.

    adapter: what is trained instead of all parameters. Its library is not asked: where it stands, a number stands that
    needs a gradient, and its own products are added, three times each but those that read what needs none.
    """
    spared: list[float] = []
    if adapter is not None:
        model.requires_grad_(False)
        for name, reading in adapter.reads.items():
            model.get_submodule(name).register_forward_hook(partial(_as_adapted, reading, spared))
    inputs_BT = torch.zeros(1, sequence_length, dtype=torch.int64, device="meta")
    with FlopCounterMode(display=False) as counter:
        _logits(model, inputs_BT, visibility, sequence_length).sum().backward()
    beside = round(3 * adapter.flops - sum(spared)) if adapter else 0
    return counter.get_total_flops() // sequence_length + beside


def _logits(model: Model, inputs_BT: torch.Tensor, visibility: Condition, source_length: int) -> torch.Tensor:
    """source_length: of what an encoder–decoder reads."""
    reads = model.topology == ENCODER_DECODER
    source_BS = torch.zeros(1, source_length, dtype=torch.int64, device="meta") if reads else None
    return model.logits(inputs_BT, head=next(iter(model.heads)), visibility=visibility, source_BS=source_BS)


def _as_adapted(
    reading: float, spared: list[float], module: nn.Module, inputs: Any, output: torch.Tensor
) -> torch.Tensor:
    if not inputs[0].requires_grad:
        spared.append(reading)
    return output + torch.zeros((), device="meta", requires_grad=True)


def flops_on_meta(
    model: Model, sequence_length: int, visibility: Condition = Causal(), source_length: int = 0
) -> dict[str, int]:
    """FLOPs of the forward pass for one token, by child of the body and by head, as PyTorch's counter has them.

    model: on the meta device, where attention is taken apart into matrix products (the CPU's kernel is not counted).
    """
    inputs_BT = torch.zeros(1, sequence_length, dtype=torch.int64, device="meta")
    with FlopCounterMode(display=False) as counter:
        _logits(model, inputs_BT, visibility, source_length or sequence_length)
    counted = {name.removeprefix("Model."): sum(n.values()) for name, n in counter.get_flop_counts().items()}
    found: Counter[str] = Counter()
    for name, n in counted.items():
        parts = name.split(".")
        is_child = len(parts) == 2 or (len(parts) == 3 and ".".join(parts[:2]) not in counted)  # a list is not called
        if is_child:
            found[".".join(parts[:2])] += n
    found["body"] = counter.get_total_flops() - found.total()  # what the body does itself
    return {part: n // sequence_length for part, n in found.items()}
