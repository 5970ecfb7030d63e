"""The numerics fingerprint: what a run's bits depend on besides its config. Under an equal one they are equal."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from harness.schema import RunConfig

PACKAGES = ("lightning", "numpy", "tokenizers")

#: Environment variables that choose other kernels.
KERNELS = (
    "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "ONEDNN_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE", "NVIDIA_TF32_OVERRIDE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "TRITON_F32_DEFAULT",
)  # fmt: skip


def fingerprint(config: RunConfig) -> dict[str, Any]:
    """Flat and ready for JSON: where the run is computed, by what, and how its work is cut up.

    strategy is "none" in one process; micro_batch is what one process sees, whatever the config says of it.
    """
    import torch

    trainer = config.trainer
    replicas = max(1, trainer.devices // trainer.tensor_parallel)
    rows = config.data.batch_size // replicas
    more = [name for plugin in (config.adapter, config.quantizer) if plugin for name in plugin.packages]
    gpu = trainer.accelerator != "cpu" and torch.cuda.is_available()
    if gpu and trainer.precision != "fp32" and not trainer.deterministic:
        more += [name for name in config.architecture.kernels if _installed(name)]
    return {
        **(_gpu() if gpu else _cpu()),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        **{name: version(name) for name in (*PACKAGES, *more)},
        "kernels": " ".join(f"{name}={os.environ[name]}" for name in KERNELS if name in os.environ) or "default",
        "threads": trainer.threads,
        "world_size": trainer.devices,
        "strategy": trainer.strategy if trainer.devices > 1 else "none",
        "tensor_parallel": trainer.tensor_parallel,
        "micro_batch": min(trainer.micro_batch or rows, rows),
        "precision": trainer.precision,
        "compile": trainer.compile,
        "activation_checkpointing": trainer.activation_checkpointing,
        "logits_chunk": getattr(config.method, "logits_chunk", None) or "all",
        "deterministic": trainer.deterministic,
    }


def _installed(name: str) -> bool:
    try:
        return bool(version(name))
    except PackageNotFoundError:
        return False


def _gpu() -> dict[str, Any]:
    import torch

    return {
        "device": torch.cuda.get_device_name(),
        "libraries": f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}",
    }


def _cpu() -> dict[str, Any]:
    """The instruction set that PyTorch's own kernels use, and what else BLAS and oneDNN choose their kernels by: the
    processor's make and its low-precision units."""
    import torch

    from harness.training.peak import cpu_name

    units = {
        "vnni": torch.cpu._is_vnni_supported(),
        "bf16": torch.cpu._is_avx512_bf16_supported(),
        "amx": torch.cpu._is_amx_tile_supported(),
    }
    built = torch.__config__.show()
    libraries = {"BLAS": r"BLAS_INFO=(\w+)", "oneDNN": r"MKL-DNN v([\d.]+)"}
    found = {name: match[1] for name, pattern in libraries.items() if (match := re.search(pattern, built))}
    return {
        "device": " ".join(["cpu", torch.backends.cpu.get_cpu_capability(), *(u for u, has in units.items() if has)]),
        "processor": cpu_name(),
        "libraries": ", ".join(f"{name} {what}" for name, what in found.items()),
    }


def followed(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """The fingerprint (or digest) of a run that was begun under one and goes on under another: "1, then 4" threads."""
    mixed = dict(now)
    for name in before.keys() & now.keys():
        was, value = str(before[name]), str(now[name])
        if was != value:
            mixed[name] = was if was.endswith(f", then {value}") else f"{was}, then {value}"
    return mixed
