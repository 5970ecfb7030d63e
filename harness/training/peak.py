"""The most FLOP/s that a machine can do, which MFU is a share of."""

from __future__ import annotations

import hashlib
import platform
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from harness.files import cache_folder, read_json, write_json

#: Dense bfloat16 FLOP/s by the makers' data sheets, by a part of the device's name.
DATA_SHEETS = {
    "B200": 2250e12, "GH200": 989e12, "H200": 989e12, "H100 PCIe": 756e12, "H100": 989e12, "A100": 312e12,
    "A10G": 70e12, "A10": 125e12, "L40S": 362e12, "L4": 121e12, "RTX 4090": 165e12, "RTX 3090": 71e12,
}  # fmt: skip

#: How MFU counts: the matrix products of so many forward passes for each token, attention over all places.
CONVENTION = "exact forward FLOPs × {passes:.3g}"


@dataclass(frozen=True)
class Peak:
    """flops: FLOP/s. source: where the number comes from, for people."""

    flops: float
    source: str


def peak(device: torch.device, precision: str, threads: int) -> Peak:
    """From the data sheet for a known GPU; else measured once by a matrix product and kept in the cache folder."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()
    for part, flops in DATA_SHEETS.items():
        if device.type == "cuda" and part in name:
            return Peak(flops, f"{part}, bfloat16, data sheet")
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    where = f"{threads} CPU thread{'s' * (threads > 1)}" if device.type == "cpu" else name
    source = f"measured, {str(dtype).removeprefix('torch.')} matrix product on {where}"
    return Peak(_measured_once(_cache(name, str(dtype), threads), device, dtype), source)


def _cache(name: str, dtype: str, threads: int) -> Path:
    key = hashlib.blake2b(f"{name}/{dtype}/{threads}/{torch.__version__}".encode(), digest_size=8).hexdigest()
    return cache_folder() / "peak" / f"{key}.json"


def _measured_once(path: Path, device: torch.device, dtype: torch.dtype) -> float:
    if not path.exists():
        write_json(path, measure(device, dtype))
    return float(read_json(path))


def measure(device: torch.device, dtype: torch.dtype, size: int = 1024, seconds: float = 0.5) -> float:
    """FLOP/s of the fastest of many products of two square matrices, at torch's present number of threads."""
    a, b = (torch.ones(size, size, device=device, dtype=dtype) for _ in range(2))
    fastest, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        a @ b
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        fastest = min(fastest, time.perf_counter() - start)
    return 2 * size**3 / fastest


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
