"""How time and memory of each attention grow with the sequence: at most as its 1.2th power where they are to be linear.

A row is one attention by itself, between projections of its own, or the one-layer body of an architecture that is not
made of such parts; one sequence, width 256, float32, one thread, a forward pass without gradients. Time is the
processor's, the least of a few passes. Memory is the most bytes of tensors that are alive at once beside weights and
input, counted on fake tensors; what kernels need inside is not a tensor and not counted. The exponents are slopes of
log over log in the longer half of the lengths. FLOPs are declared for one token, and PyTorch's counter must agree.

    python bench/attention.py [--longest 16384] [row ...]
"""

from __future__ import annotations

import argparse
import ctypes
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from memory import TensorBytes
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from harness.config import plugin_config
from harness.interfaces.visibility import Causal, Full, Visibility
from harness.models.counting import account
from harness.models.meta import flops_on_meta
from harness.models.position import Position
from harness.models.visibility import View

BOUND = 1.2
WIDTH, VOCABULARY = 256, 64
SHORTEST, LONGEST = 256, 16384
COUNTED = 2048  #: tokens at which FLOPs are counted

#: Rows by name; all with four heads.
ATTENTIONS: dict[str, dict[str, Any]] = {
    "multi_head": {"name": "multi_head"},
    "multi-query": {"name": "multi_head", "key_value_heads": 1},
    "grouped-query": {"name": "multi_head", "key_value_heads": 2},
    "latent": {"name": "latent", "latent_norm": "rmsnorm"},
    "sliding window of 256": {"name": "multi_head", "window": 256},
    "block_sparse": {"name": "block_sparse"},
    "block_sparse, 2 random": {"name": "block_sparse", "random": 2, "global_places": 64},
    "low_rank (full)": {"name": "low_rank", "length": LONGEST},
    "random_features": {"name": "random_features"},
    "linear": {"name": "linear"},
}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "mamba2 (body)": {"name": "mamba2", "norm": "rmsnorm"},
    "rwkv (body)": {"name": "rwkv", "norm": "layernorm"},
    "gla (body)": {"name": "gla", "norm": "rmsnorm", "feedforward": "gated"},
}
#: Rows whose time and memory are to grow in proportion.
LINEAR = {"block_sparse", "block_sparse, 2 random", "low_rank (full)", "random_features", "linear", *ARCHITECTURES}


@dataclass(frozen=True)
class Row:
    """build: weights, as the default device has them; one_pass: (what was built, tokens in a sequence) → a call of one
    forward pass; flops: tokens in a sequence → (declared, counted) for one token."""

    build: Callable[[], Any]
    one_pass: Callable[[Any, int], Callable[[], Any]]
    flops: Callable[[int], tuple[int, int]]


def attention(options: dict[str, Any]) -> Row:
    config = plugin_config("attention", options, "attention")
    visibility = Visibility((Causal(),) if Causal in config.visibilities else (Full(),))

    def build() -> Any:
        return config.build(WIDTH, Position())

    def one_pass(module: Any, places: int) -> Callable[[], Any]:
        hidden_BTC = torch.zeros(1, places, WIDTH, device=next(module.parameters()).device).normal_()
        return lambda: module(hidden_BTC, None, module.lower(View(visibility, places, 0, hidden_BTC.device)))

    def flops(places: int) -> tuple[int, int]:
        with torch.device("meta"):
            call = one_pass(build(), places)
        with FlopCounterMode(display=False) as counter:
            call()
        return config.flops(WIDTH, places), counter.get_total_flops() // places

    return Row(build, one_pass, flops)


def architecture(options: dict[str, Any]) -> Row:
    whole = {"head": "language_model", "width": WIDTH, "layers": 1, **options}
    config = plugin_config("architecture", whole, "architecture")

    def build() -> Any:
        return config.build(VOCABULARY)

    def one_pass(model: Any, places: int) -> Callable[[], Any]:
        inputs_BT = torch.zeros(1, places, dtype=torch.int64, device=model.device)
        return lambda: model.body(inputs_BT, visibility=Causal())

    def flops(places: int) -> tuple[int, int]:
        with torch.device("meta"):
            model = build()
        return account(config, VOCABULARY, places).forward_flops, sum(flops_on_meta(model, places).values())

    return Row(build, one_pass, flops)


def keep_memory() -> None:
    """What a pass has freed stays with the process, as a GPU's allocator has it: otherwise large tensors, and they
    alone, pay the system for new pages in every pass, and the exponents would be those of page faults."""
    trim_threshold, mmap_max = -1, -4  # of glibc's malloc.h
    libc = ctypes.CDLL(None)
    libc.mallopt(mmap_max, 0)
    libc.mallopt(trim_threshold, 2**31 - 1)


@torch.no_grad()
def seconds(row: Row, built: Any, places: int, at_least: float = 0.3) -> float:
    """Of the processor; the least of two passes, or of so many as fill `at_least` seconds."""
    call, took = row.one_pass(built, places), []
    while len(took) < 2 or sum(took) < at_least:
        start = time.process_time()
        call()
        took.append(time.process_time() - start)
    return min(took)


@torch.no_grad()
def peak_bytes(row: Row, places: int) -> int:
    with FakeTensorMode():
        built = row.build()
        with TensorBytes() as tensors:
            for tensor in (*built.parameters(), *built.buffers()):
                tensors.add(tensor)
            call = row.one_pass(built, places)
            held = tensors.live
            call()
    return tensors.peak - held


def exponent(lengths: Sequence[int], values: Sequence[float]) -> float:
    """The slope of log over log in the longer half."""
    half = len(lengths) // 2
    return float(np.polyfit(np.log(lengths[half:]), np.log(values[half:]), 1)[0])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", help="names; none: all")
    parser.add_argument("--longest", type=int, default=LONGEST, help="tokens in the longest sequence")
    asked = parser.parse_args()
    keep_memory()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = {name: attention(options) for name, options in ATTENTIONS.items()}
    rows |= {name: architecture(options) for name, options in ARCHITECTURES.items()}
    lengths = [SHORTEST]
    while lengths[-1] < asked.longest:
        lengths.append(2 * lengths[-1])
    print(f"| ms, MB at | {' | '.join(map(str, lengths))} | exponents | MFLOPs per token, counted |")
    print("| --- " * (len(lengths) + 3) + "|")
    faults = []
    for name in asked.rows or rows:
        row = rows[name]
        built = row.build()
        times = [seconds(row, built, places) for places in lengths]
        sizes = [peak_bytes(row, places) for places in lengths]
        declared, counted = row.flops(COUNTED)
        slopes = exponent(lengths, times), exponent(lengths, sizes)
        cells = [f"{1e3 * t:.1f}, {size / 1e6:.1f}" for t, size in zip(times, sizes, strict=True)]
        told = f"{slopes[0]:.2f}, {slopes[1]:.2f} | {declared / 1e6:.3f}, {counted / 1e6:.3f}"
        print(f"| {name} | {' | '.join(cells)} | {told} |", flush=True)
        if declared != counted:
            faults.append(f"{name} declares {declared} FLOPs for one of {COUNTED} tokens, and computes {counted}.")
        if name in LINEAR and max(slopes) > BOUND:
            faults.append(f"{name} grows as the {max(slopes):.2f}th power of the length; at most {BOUND} was promised.")
    print("\n".join(faults) or f"What is to grow in proportion does: its exponents are at most {BOUND}.")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
