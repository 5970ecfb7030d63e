"""Adapters: few parameters that are trained beside a model whose own stay as they are."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.config import PluginConfig

if TYPE_CHECKING:
    from torch import nn


@dataclass(kw_only=True)
class AdapterConfig(PluginConfig):
    """Base of every adapter's Config."""

    def adapt(self, model: nn.Module) -> Collection[str]:
        """Adds the adapter, in place, with torch's global generator, which the caller has seeded; what it computes is
        unchanged until it is trained. Works on the meta device, too. Returns the names of the parameters that are
        trained, which are also what is saved.

        Raises ConfigError where the model has nothing that it could adapt.
        """
        raise NotImplementedError

    def merge(self, model: nn.Module) -> None:
        """Puts what was learned into the model's own parameters, in place, and takes the adapter off: the model has the
        names and shapes that it had before."""
        raise NotImplementedError
