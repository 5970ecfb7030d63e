"""Lightning's strategies for one device and many, and how a model is spread over them.

Every strategy saves and loads through `harness.training.checkpoints`, in place: each rank its own part.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy, SingleDeviceStrategy, Strategy
from torch import nn
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

from harness.files import read_json
from harness.models.blocks import blocks
from harness.schema import TrainerConfig
from harness.training.checkpoints import TRAINER, Storage
from harness.training.world import World


class InFolders(Strategy):
    """Checkpoints by `Storage` instead of Lightning's own ways."""

    storage: Storage

    @property
    def restore_checkpoint_after_setup(self) -> bool:
        return True  # in place, into tensors that are where they belong

    @property
    def lightning_restore_optimizer(self) -> bool:
        return False  # the optimizer is restored together with the weights

    def lightning_module_state_dict(self) -> dict[str, Any]:
        return {}

    def optimizer_state(self, optimizer: Any) -> dict[str, Any]:
        return {}

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any = None) -> None:
        self.storage.save(Path(filepath), self.lightning_module, checkpoint)

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        self.storage.load(Path(checkpoint_path), self.lightning_module)
        return dict(read_json(Path(checkpoint_path) / TRAINER))

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Nothing is left to do."""

    @contextlib.contextmanager
    def last_backward(self, last: bool) -> Iterator[None]:
        """Around a micro-batch; gradients are exchanged in the backward pass of the last one of a step."""
        yield


class OneDevice(InFolders, SingleDeviceStrategy):
    """One process."""


class Replicated(InFolders, DDPStrategy):
    """Every rank holds the whole model and sees its part of the batch."""

    @contextlib.contextmanager
    def last_backward(self, last: bool) -> Iterator[None]:
        with contextlib.nullcontext() if last else self.model.no_sync():
            yield


class Spread(InFolders, ModelParallelStrategy):
    """FSDP2, tensor parallelism, or both."""

    @contextlib.contextmanager
    def last_backward(self, last: bool) -> Iterator[None]:
        model = self.lightning_module.model
        if isinstance(model, FSDPModule):
            model.set_requires_gradient_sync(last)
        yield


def strategy(config: TrainerConfig, world: World, device: torch.device, storage: Storage) -> InFolders:
    """What a config asks for. Its pairings were checked when the run was planned."""
    chosen: InFolders
    if world.size == 1:
        chosen = OneDevice(device=device)
    elif config.strategy == "fsdp" or world.tensor_parallel > 1:
        chosen = Spread(data_parallel_size=world.data_size, tensor_parallel_size=world.tensor_parallel)
    else:
        chosen = Replicated()
    chosen.storage = storage
    return chosen


def spread(model: nn.Module, mesh: Any, per_block: Callable[[nn.Module], None]) -> None:
    """Cuts matrices over the mesh's tensor-parallel part, then does what is done block by block, then shares out all
    parameters over the data-parallel part. Parameters stay what they are called."""
    tensor_mesh, data_mesh = mesh["tensor_parallel"], mesh["data_parallel"]
    if tensor_mesh.size() > 1:
        for block in blocks(model):
            parallelize_module(block, tensor_mesh, tensor_plan(block))
    per_block(model)
    if data_mesh.size() > 1:
        for block in blocks(model):
            fully_shard(block, mesh=data_mesh)
        fully_shard(model, mesh=data_mesh)


def share_out_again(model: nn.Module) -> None:
    """After forward passes without a backward one, which leave the outermost parameters whole."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def tensor_plan(block: nn.Module) -> dict[str, Any]:
    """How a block's matrices are cut, by name, as its parts declare it in `tensor_parallel`."""
    styles = {"columns": ColwiseParallel, "rows": RowwiseParallel}
    return {
        f"{at}.{name}" if at else name: styles[style]()
        for at, part in block.named_modules()
        for name, style in getattr(part, "tensor_parallel", {}).items()
    }
