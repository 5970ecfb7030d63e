"""Dropout and other noise: keyed by (noise seed, step, first place of the micro-batch), so that nothing about random
state has to be kept in a checkpoint, and ranks differ."""

from __future__ import annotations

import hashlib

import torch


def keyed(*key: int) -> int:
    """A number that generators take, another one for each key."""
    return int.from_bytes(hashlib.blake2b("/".join(map(str, key)).encode(), digest_size=7).digest(), "little")


def seed_noise(seed: int, step: int, place: int, device: torch.device) -> None:
    """Sets torch's global generator, and the device's, for one micro-batch."""
    number = keyed(seed, step, place)
    torch.default_generator.manual_seed(number)
    if device.type == "cuda":
        torch.cuda.manual_seed(number)
