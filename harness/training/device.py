"""Where a process computes. Apart from what trains: asking must not take as long as importing Lightning."""

from __future__ import annotations

import os

import torch

from harness.errors import UserError
from harness.schema import TrainerConfig


def device_of(config: TrainerConfig) -> torch.device:
    """This process's device. Raises UserError for what the machine has not."""
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")  # asking leaves CUDA untouched, so that we may fork
    if config.deterministic:  # read once, at the first product: also one that only measures the machine
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    there = torch.cuda.is_available()
    if config.accelerator == "gpu" and not there:
        raise UserError("trainer.accelerator=gpu, but PyTorch sees no GPU here. Say trainer.accelerator=cpu, or auto.")
    if config.accelerator == "cpu" or not there:
        if config.precision == "fp16":
            raise UserError("trainer.precision=fp16 needs a GPU. On the CPU say trainer.precision=bf16, or fp32.")
        return torch.device("cpu")
    if torch.cuda.device_count() < config.devices:
        raise UserError(f"trainer.devices={config.devices}, but PyTorch sees {torch.cuda.device_count()} GPUs here.")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)) if config.devices > 1 else 0)
