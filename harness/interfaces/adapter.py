"""Adapters: few parameters that are trained beside a model whose own stay as they are."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from harness.config import PluginConfig

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class AdapterCounts:
    """What an adapter adds. parameters: those that are trained. activations: numbers kept for each token until the
    backward pass; products: those of them that are results of its matrix products, and what those add to the model's
    own. flops: of the forward pass for each token; reads: those of its products with what a module reads, by the name
    of each module whose result it changes. What stands within experts counts for the share of places that they see."""

    parameters: int
    activations: int
    products: int
    flops: float
    reads: Mapping[str, float]


@dataclass(kw_only=True)
class AdapterConfig(PluginConfig):
    """Base of every adapter's Config."""

    #: Distributions whose versions the bits depend on.
    packages: ClassVar[tuple[str, ...]] = ()

    def counts(self, model: nn.Module) -> AdapterCounts:
        """What it would add to a model, which stays as it is and may be on the meta device.

        Raises ConfigError where the model has nothing that it could adapt.
        """
        raise NotImplementedError

    def adapt(self, model: nn.Module) -> Collection[str]:
        """Adds the adapter, in place, drawing from torch's global generator, which the caller has seeded; what the
        model computes is unchanged until the adapter is trained. Works on the meta device, too. Returns the names of
        the parameters that are trained, which are also all that is saved. Others may get other names.

        Raises ConfigError where the model has nothing that it could adapt.
        """
        raise NotImplementedError

    def merge(self, model: nn.Module) -> None:
        """Puts what was learned into the model's own parameters, in place, and takes the adapter off: the model has the
        names and shapes that it had before."""
        raise NotImplementedError
