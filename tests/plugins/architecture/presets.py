"""Presets by name, for the tests of this folder."""

from functools import cache
from typing import Any

from omegaconf import OmegaConf

from harness.composition import compose
from harness.config import plugin_config


@cache
def architecture(*overrides: str) -> Any:
    """The Config that overrides such as architecture=gpt2_124m compose to. Composed once: do not change it."""
    return plugin_config("architecture", OmegaConf.to_container(compose(overrides).architecture), "architecture")
