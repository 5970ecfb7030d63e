"""Dropout and other noise: keyed by (noise seed, step, first place of the micro-batch), so that nothing about random
state has to be kept in a checkpoint, and ranks differ."""

from __future__ import annotations

import hashlib

import torch


def seed_noise(seed: int, step: int, place: int, device: torch.device) -> None:
    """Sets torch's global generator, and the device's, for one micro-batch."""
    key = hashlib.blake2b(b"%d/%d/%d" % (seed, step, place), digest_size=7).digest()
    number = int.from_bytes(key, "little")
    torch.default_generator.manual_seed(number)
    if device.type == "cuda":
        torch.cuda.manual_seed(number)
