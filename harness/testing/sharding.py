"""Whether a model that is spread over processes is the whole one. Takes seconds: processes are forked."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from harness.config import ConfigError
from harness.interfaces.architecture import ArchitectureConfig
from harness.models.blocks import blocks
from harness.testing.models import gradients, other_gradient, outputs, simplest, stirred, tokens

#: What sums in another order may move, as a share of the usual size of a gradient.
ROUNDING = 1e-4


def shards_otherwise(config: ArchitectureConfig) -> str | None:
    """Whether gradients are those of the whole model where FSDP2 shares it out over two processes, and where tensor
    parallelism cuts it, if the Config declares that it can be cut in two."""
    whole = stirred(config)
    if not blocks(whole):
        return None
    expected = gradients(whole, tokens(), simplest(config))
    layouts = {"FSDP2": (2, 1)}
    if _cuts_in_two(config):
        layouts["tensor parallelism"] = (1, 2)
    for name, layout in layouts.items():
        if other := other_gradient(_spread(config, layout), expected, ROUNDING):
            return f"Under {name} over two processes the gradient of {other[0]} differs by {other[1]:.1e}."
    return None


def _cuts_in_two(config: ArchitectureConfig) -> bool:
    try:
        pieces = config.tensor_parallel()
    except ConfigError:  # one of its options forbids it
        return False
    return pieces is not None and pieces % 2 == 0


def _spread(config: ArchitectureConfig, layout: tuple[int, int]) -> dict[str, torch.Tensor]:
    """The gradients of a model that is spread over (data-parallel, tensor-parallel) processes, whole again."""
    import harness.training.strategies  # noqa: F401  before processes are forked
    from harness.launch.ranks import together

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "gradients.safetensors"
        together(2, lambda rank: _rank(config, layout, file))
        return load_file(file)


def _rank(config: ArchitectureConfig, layout: tuple[int, int], file: Path) -> None:
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh

    from harness.training.strategies import spread

    dist.init_process_group("gloo")
    try:
        mesh = init_device_mesh("cpu", layout, mesh_dim_names=("data_parallel", "tensor_parallel"))
        model = stirred(config)
        spread(model, mesh, lambda model: None)
        model(outputs, tokens(), simplest(config)).backward()
        found = {name: _whole(parameter.grad) for name, parameter in model.named_parameters()}
        if dist.get_rank() == 0:
            save_file(found, file)
        dist.barrier()
    finally:
        dist.destroy_process_group()


def _whole(gradient: Any) -> torch.Tensor:
    whole: Callable[[], torch.Tensor] | None = getattr(gradient, "full_tensor", None)
    return (gradient if whole is None else whole()).contiguous()
