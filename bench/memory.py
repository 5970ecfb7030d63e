"""What `harness plan` promises for memory, beside the tensor bytes of a whole optimizer step: within 15 %.

The third step of each model, micro-batch, precision and way of recomputation is carried out, and every storage that an
operation makes is counted from its birth to its death. What kernels need inside is not a tensor and not counted. The
steps compute on fake tensors, which have storages and no contents, so that large models are measured on small machines;
`--real` computes them, and finds the same bytes.

    python bench/memory.py [--real]
"""

from __future__ import annotations

import argparse
import os
import sys
import weakref
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from itertools import product
from typing import Any
from unittest.mock import patch

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from harness.config import plugin_config
from harness.interfaces.batch import Batch
from harness.interfaces.method import Setting
from harness.models.blocks import recompute
from harness.models.groups import train_only, trained
from harness.models.memory import Step, training_memory
from harness.models.meta import build_on_meta

BOUND = 0.15

LLAMA: dict[str, Any] = {
    "attention": "multi_head",
    "position": "rotary",
    "feedforward": "gated",
    "norm": "rmsnorm",
    "head": "language_model",
}
GPT2: dict[str, Any] = {
    **LLAMA,
    "attention": {"name": "multi_head", "heads": 4, "bias": True},
    "position": {"name": "learned", "length": 1024},
    "feedforward": {"name": "mlp", "bias": True},
    "norm": "layernorm",
}
GROUPED = {**LLAMA, "attention": {"name": "multi_head", "heads": 8, "key_value_heads": 2}}
UNTIED = {"head": {"name": "language_model", "tied": False}}

#: By name: the model's options, vocabulary, sequences in a micro-batch, tokens in a sequence.
MODELS: dict[str, tuple[dict[str, Any], int, int, int]] = {
    "rung 32": ({**LLAMA, "width": 32, "layers": 2}, 512, 8, 128),
    "rung 64": ({**LLAMA, "width": 64, "layers": 4}, 512, 8, 128),
    "llama 256": ({**LLAMA, "width": 256, "layers": 4}, 2048, 2, 256),
    "grouped 256": ({**GROUPED, "width": 256, "layers": 2}, 1024, 4, 1024),
    "gpt2 256": ({**GPT2, "width": 256, "layers": 3}, 8192, 2, 512),
    "gpt2 512 untied": ({**GPT2, **UNTIED, "width": 512, "layers": 2}, 4096, 1, 256),
    "gpt2 768": ({**GPT2, "width": 768, "layers": 4}, 16384, 1, 512),
    "gpt2 124M": ({**GPT2, "width": 768, "layers": 12}, 50257, 4, 1024),
}


class TensorBytes(TorchDispatchMode):
    """Bytes of all storages that are alive, and the most there were."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._seen: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def add(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage not in self._seen:
            self._seen.add(storage)
            self._change(storage.nbytes())
            weakref.finalize(storage, self._change, -storage.nbytes())

    def _change(self, size: int) -> None:
        self.live += size
        self.peak = max(self.peak, self.live)

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = operation(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self.add(leaf)
        return result


def compare(
    options: dict[str, Any],
    vocabulary: int,
    step: Step,
    optimizer: str = "adamw",
    real: bool = False,
    adapter: str | None = None,
) -> tuple[int, int]:
    """(promised, measured) bytes."""
    config = plugin_config("architecture", {"name": "transformer", **options}, "architecture")
    beside = plugin_config("adapter", adapter, "adapter") if adapter else None
    if beside:
        step = replace(step, adapter=beside.counts(build_on_meta(config, vocabulary)))
    with nullcontext() if real else FakeTensorMode():
        measured = _measured(config, vocabulary, step, optimizer, beside)
    return training_memory(config, vocabulary, step).peak, measured


def _measured(config: Any, vocabulary: int, step: Step, optimizer: str, adapter: Any) -> int:
    """As the loop trains: losses, backward and update are all under autocast, and gradients are let go after a step."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16 if step.precision == "bf16-true" else torch.float32)
    model = config.build(vocabulary)
    if adapter:
        train_only(model, _adapted(adapter, model))
    torch.set_default_dtype(before)
    recompute(model, step.recomputed)
    options = plugin_config("optimizer", optimizer, "optimizer")
    update = options.build(trained(model, options))
    method = plugin_config("objective", {"name": "clm", "logits_chunk": step.logits_chunk}, "method").build(
        Setting(tokenizer=None)
    )
    shape = (step.micro_batch, step.sequence_length)
    batch = Batch(
        torch.zeros(shape, dtype=torch.int64), torch.zeros(shape, dtype=torch.int64), torch.ones(shape),
        torch.arange(step.micro_batch),
    )  # fmt: skip

    def train() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=step.precision == "bf16"):
            for _ in range(step.micro_batches):
                model(method.losses, batch)["clm"].backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            update.step()
            update.zero_grad()

    train()
    train()
    counter = TensorBytes()
    for tensor in (*model.parameters(), *tree_leaves([list(state.values()) for state in update.state.values()])):
        if isinstance(tensor, torch.Tensor):
            counter.add(tensor)
    with counter:
        train()
    return counter.peak


def _adapted(adapter: Any, model: Any) -> Any:
    """peft moves what it has made to the device where it is already, which modules of fake tensors cannot do."""
    with patch.object(torch.nn.Module, "to", lambda module, *where, **how: module):
        return adapter.adapt(model)


def grid() -> Iterator[tuple[str, str, Step, str | None]]:
    """(model, optimizer, step, adapter)."""
    for name, (_, _, rows, length) in MODELS.items():
        every = product(("fp32", "bf16"), ("none", "selective", "blocks"), (None, 512))
        for precision, recomputed, chunk in every:
            yield name, "adamw", Step(length, rows, 1, precision, recomputed, chunk), None
        yield name, "adamw", Step(length, rows, 2), None
        yield name, "adamw", Step(length, rows, precision="bf16-true"), None
        yield name, "lion", Step(length, rows, optimizer_numbers=1, update_numbers=1), None
        for precision, recomputed in product(("fp32", "bf16"), ("none", "selective", "blocks")):
            yield name, "adamw", Step(length, rows, 1, precision, recomputed), "lora"
        yield name, "adamw", Step(length, rows, 2, logits_chunk=512), "lora"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", action="store_true", help="compute the steps, all but those of 124M")
    real = parser.parse_args().real
    worst = 0.0
    print(f"{'model':16} {'trained':9} {'precision':9} {'recomputed':10} chunk  x  promised  measured   MB")
    for name, optimizer, step, adapter in grid():
        if real and name == "gpt2 124M":
            continue
        options, vocabulary, *_ = MODELS[name]
        promised, measured = compare(options, vocabulary, step, optimizer, real, adapter)
        worst = max(worst, abs(promised / measured - 1))
        print(
            f"{name:16} {adapter or optimizer:9} {step.precision:9} {step.recomputed:10} {step.logits_chunk or '':5} "
            f"{step.micro_batches:2} {promised / 1e6:9.1f} {measured / 1e6:9.1f} {promised / measured - 1:+7.1%}",
            flush=True,
        )
    print(f"The largest deviation is {worst:.1%}; it is to be at most {BOUND:.0%}.")
    return int(worst > BOUND)


if __name__ == "__main__":
    sys.exit(main())
