"""What every adapter promises: neutral at first, all that it trains is counted, merged it is the same."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn

from harness.interfaces.architecture import ArchitectureConfig
from harness.models.groups import train_only
from harness.models.meta import build_on_meta
from harness.models.roles import roles
from harness.testing.check import sound
from harness.testing.models import VOCABULARY, far, gradients, hidden, simplest, stirred, tokens

#: Of a product that is taken apart in another way, as a share of the usual size of a channel.
ROUNDING = 1e-4


@torch.no_grad()
def is_not_neutral(config: Any, architecture: ArchitectureConfig) -> str | None:
    """Whether a model computes something else as soon as the adapter stands in it."""
    model, visibility = stirred(architecture), simplest(architecture)
    before = hidden(model, tokens(), visibility)
    torch.manual_seed(1)
    config.adapt(model)
    off = far(hidden(model, tokens(), visibility), before).max()
    return None if off == 0 else f"It changes what the model computes before it is trained, by {off:.1e}."


def miscounts(config: Any, architecture: ArchitectureConfig) -> str | None:
    """Whether it names, counts or adds other parameters than it trains."""
    told = config.counts(build_on_meta(architecture, VOCABULARY)).parameters
    model = stirred(architecture)
    before = sum(parameter.numel() for parameter in model.parameters())
    names = config.adapt(model)
    known = dict(model.named_parameters())
    if unknown := [name for name in names if name not in known]:
        return f"It names {unknown[0]}, which is no parameter of the model."
    named, added = sum(known[name].numel() for name in names), sum(map(torch.numel, known.values())) - before
    if told != named:
        return f"counts says {told} parameters are trained, and those that it names have {named}."
    if added > named:
        return f"It adds {added} parameters and names {named}: the others would be neither trained nor saved."
    on_meta = build_on_meta(architecture, VOCABULARY)
    if list(config.adapt(on_meta)) != list(names):
        return "On the meta device it names other parameters."
    if device := next((p.device.type for p in on_meta.parameters() if p.device.type != "meta"), None):
        return f"On the meta device it allocates memory on {device}."
    if missing := set(names) - set(roles(model)):
        return f"The parameter {missing.pop()} has no role."
    return None


def is_not_trained(config: Any, architecture: ArchitectureConfig) -> str | None:
    """Whether one of its parameters gets no gradient once the others have moved, or a parameter of the model does."""
    model = stirred(architecture)
    names = config.adapt(model)
    train_only(model, names)
    _learn(model, names)
    for name, gradient in gradients(model, tokens(), simplest(architecture)).items():
        if gradient is None or not gradient.any():
            return f"Its parameter {name} gets no gradient."
    return None


def _learn(model: nn.Module, names: Any) -> None:
    """As if it had been trained."""
    torch.manual_seed(2)
    with torch.no_grad():
        for name in names:
            parameter = model.get_parameter(name)
            parameter.add_(0.1 * torch.randn_like(parameter))


@torch.no_grad()
def merges_otherwise(config: Any, architecture: ArchitectureConfig) -> str | None:
    """Whether a merged model computes something else than the adapted one, or has other tensors than at first."""
    model, visibility = stirred(architecture), simplest(architecture)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    before = hidden(model, tokens(), visibility)
    _learn(model, config.adapt(model))
    beside = hidden(model, tokens(), visibility)
    if far(beside, before).max() < ROUNDING:
        return "It changes nothing, whatever its parameters are."
    config.merge(model)
    found = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if found != shapes:
        return (
            f"Merged, the model has other tensors: {', '.join(sorted(found.keys() ^ shapes.keys())) or 'other shapes'}."
        )
    off = far(hidden(model, tokens(), visibility), beside).max()
    return None if off <= ROUNDING else f"Merged, the model computes something else, by {off:.1e}."


class AdapterKit:
    """Subclass it and give `config`, an `AdapterConfig`.

    class TestMine(AdapterKit):
        config = MyConfig(name="mine", rank=2)
    """

    config: ClassVar[Any]

    def architecture(self) -> ArchitectureConfig:
        """The tiny body that it is tried on; by default a transformer, which needs the first-party plugins."""
        from harness.testing.parts import in_transformer

        return in_transformer()

    def test_at_first_it_changes_nothing(self) -> None:
        sound(is_not_neutral(self.config, self.architecture()))

    def test_what_it_trains_is_named_and_counted(self) -> None:
        sound(miscounts(self.config, self.architecture()))

    def test_all_of_it_is_trained(self) -> None:
        sound(is_not_trained(self.config, self.architecture()))

    def test_merged_it_is_the_same(self) -> None:
        sound(merges_otherwise(self.config, self.architecture()))
