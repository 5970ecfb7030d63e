"""Frequencies of rotary positions, lowered for sequences longer than a model was trained on.

What `transformers` calls rope types; tests hold the numbers against its own.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from harness_plugins.position.rotary import RotaryConfig


def frequencies(config: RotaryConfig, pairs: int, device: torch.device) -> torch.Tensor:
    """Radians that each pair of channels turns by each place: float32 of shape (pairs), the fastest first.

    linear: θ/s (Chen et al. 2023). ntk: a base so large that the slowest pair turns by θ/s and the fastest as before
    (Peng et al. 2023, section 3.1). yarn, llama3: each pair between θ and θ/s ("NTK-by-parts", section 3.2). longrope:
    as before; `by_length` lowers them.
    """
    exponents = torch.arange(pairs, device=device, dtype=torch.float32) / pairs
    if config.scaling == "ntk":
        return (config.base * config.factor ** (pairs / (pairs - 1))) ** -exponents
    turns = config.base**-exponents
    if config.scaling in ("none", "longrope"):
        return turns
    if config.scaling == "linear":
        return turns / config.factor
    kept = _kept_by_channel(config, pairs, device) if config.scaling == "yarn" else _kept_by_rotations(config, turns)
    return kept * turns + (1 - kept) * turns / config.factor


def by_length(config: RotaryConfig, turns: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Of longrope: each pair's frequency divided by its own factor (Ding et al. 2024). As in Phi-3, where any place of
    the pass is beyond the original length all places have the factors of long sequences."""
    assert config.original_length is not None
    short, long = (turns / turns.new_tensor(factors) for factors in (config.short_factors, config.long_factors))
    return torch.where(positions.max() < config.original_length, short, long)


def temperature(config: RotaryConfig) -> float:
    """What queries and keys are multiplied with: √(1/t) of Peng et al. 2023, section 3.4; scores are then divided
    by t. Of longrope: of Ding et al. 2024, section 3.3."""
    if config.scaling not in ("yarn", "longrope"):
        return 1.0
    if config.temperature is not None:
        return config.temperature
    if config.scaling == "yarn":
        return 0.1 * math.log(config.factor) + 1.0
    assert config.original_length is not None
    return math.sqrt(1.0 + math.log(config.factor) / math.log(config.original_length))


def _kept_by_rotations(config: RotaryConfig, turns: torch.Tensor) -> torch.Tensor:
    """How far each pair keeps its frequency, from 0 to 1, along the rotations it makes within the original length."""
    assert config.original_length is not None
    rotations = config.original_length * turns / (2 * math.pi)
    return ((rotations - config.slow) / (config.fastest - config.slow)).clamp(0, 1)


def _kept_by_channel(config: RotaryConfig, pairs: int, device: torch.device) -> torch.Tensor:
    """As `_kept_by_rotations`, but along the number of the pair, as YaRN's authors' code and `transformers` do it."""
    first, last = (_pair_of(rotations, config, pairs) for rotations in (config.fastest, config.slow))
    first, last = max(math.floor(first), 0), min(math.ceil(last), 2 * pairs - 1)
    if first == last:
        last += 0.001  # a step
    pair = torch.arange(pairs, device=device, dtype=torch.float32)
    return 1 - ((pair - first) / (last - first)).clamp(0, 1)


def _pair_of(rotations: float, config: RotaryConfig, pairs: int) -> float:
    """The pair, as a real number, that turns so many times within the original length."""
    assert config.original_length is not None
    return pairs * math.log(config.original_length / (rotations * 2 * math.pi)) / math.log(config.base)
