"""The layers of a body, one by one: what is computed again in the backward pass, and what is compiled."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts

_ATEN = torch.ops.aten
#: What `selective` keeps: results of matrix products, and of attention by its fused kernels.
KEPT: list[Any] = [
    _ATEN.mm.default,
    _ATEN.addmm.default,
    _ATEN.bmm.default,
    _ATEN._grouped_mm.default,
    _ATEN._scaled_dot_product_flash_attention.default,
    _ATEN._scaled_dot_product_flash_attention_for_cpu.default,
    _ATEN._scaled_dot_product_efficient_attention.default,
    _ATEN._scaled_dot_product_cudnn_attention.default,
]

#: Graphs of one kind of block at most: shapes of micro-batches, training and evaluation, kinds of block.
GRAPHS = 64


def blocks(model: Any) -> list[nn.Module]:
    """The layers of a body, which are sharded, compiled and computed again one by one; none where it has no
    ``layers()``."""
    return list(model.body.layers()) if hasattr(model.body, "layers") else []


def recompute(model: Any, mode: str) -> None:
    """Changes in place what the backward pass finds of each block, by `trainer.activation_checkpointing`. Names of
    parameters stay. Random numbers are drawn again as they were.

    mode: none; blocks: its input only (Chen et al. 2016); selective: its input, and the results of matrix products and
    of attention (Korthikanti et al. 2022 choose in the same spirit).
    """
    if mode == "none":
        return
    kept = {"context_fn": partial(create_selective_checkpoint_contexts, KEPT)} if mode == "selective" else {}
    for block in blocks(model):
        # PyTorch's recurrent cells change results of matrix products in place, unseen: none can be kept.
        is_cell = any(isinstance(module, nn.RNNBase) for module in block.modules())
        block.forward = _again(block.forward, {} if is_cell else kept)


def _again(forward: Callable[..., Any], kept: dict[str, Any]) -> Callable[..., Any]:
    def computed_again(*arguments: Any) -> Any:
        return checkpoint(forward, *arguments, use_reentrant=False, **kept)

    return computed_again


def compile_blocks(model: Any) -> None:
    """Compiles each block in place, after `recompute`. Names of parameters stay; hooks of the block stay outside.

    One graph is made for each shape: a graph for all shapes would be taken or not by what a process has seen before,
    and a resumed run would not end with the same bits. Dropout draws the numbers that it draws without compilation.
    """
    logging.getLogger("torch._higher_order_ops.wrap").setLevel(logging.ERROR)  # it warns of all selective recomputation
    for block in blocks(model):
        block.forward = torch.compile(  # type: ignore[call-overload]  # PyTorch leaves recompile_limit out there
            block.forward, dynamic=False, recompile_limit=GRAPHS, options={"fallback_random": True}
        )
