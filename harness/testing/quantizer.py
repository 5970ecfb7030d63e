"""What every quantizer promises: it covers what it says, close to what was there, and what is saved is all."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import torch

from harness.interfaces.architecture import ArchitectureConfig
from harness.models.meta import build_on_meta
from harness.models.model import Model
from harness.testing.check import skip, sound
from harness.testing.models import VOCABULARY, build, far, gradients, hidden, simplest, stirred, tokens


def _results(model: Model, architecture: ArchitectureConfig) -> torch.Tensor:
    with torch.no_grad():
        return hidden(model, tokens(), simplest(architecture))


@torch.no_grad()
def covers_otherwise(config: Any, architecture: ArchitectureConfig) -> str | None:
    """Whether coverage names other parameters or sizes than the model has, calls quantized what is as it was, or left
    what is not; or is wrong about how much rounding changed."""
    plain, model = stirred(architecture), stirred(architecture)
    sizes = {name: parameter.numel() for name, parameter in plain.named_parameters()}
    coverage = config.convert(model)
    if {**coverage.quantized, **coverage.left} != sizes:
        return "Coverage names other parameters, or other sizes of them, than the model has."
    if both := coverage.quantized.keys() & coverage.left.keys():
        return f"Coverage says of {both.pop()} that it is quantized and that it is left."
    if not coverage.quantized:
        return "It quantizes nothing of a plain transformer."
    config.dequantize(model)
    for name, parameter in plain.named_parameters():
        off = (model.get_parameter(name).double() - parameter.double()).square().sum().item()
        if name in coverage.left and off:
            return f"Coverage says that {name} is left as it was, and it is changed."
        if name in coverage.quantized and not off:
            return f"Coverage says that {name} is quantized, and it is as it was."
        if name in coverage.quantized and abs(coverage.squares[name][0] - off) > 1e-3 * off + 1e-9:
            said = coverage.squares[name][0]
            return f"Coverage says that rounding changed {name} by {said:.4g}, a sum of squares, and it is {off:.4g}."
    return None


def computes_otherwise(config: Any, architecture: ArchitectureConfig, most: float) -> str | None:
    """Whether a converted model is further from the plain one than `most` of a channel's size, on average."""
    plain, model = stirred(architecture), stirred(architecture)
    config.convert(model)
    off = far(_results(model, architecture), _results(plain, architecture)).mean().item()
    return (
        None if off <= most else f"Converted, the model computes something else, by {off:.2g} on average: over {most}."
    )


def loads_otherwise(config: Any, architecture: ArchitectureConfig) -> str | None:
    """Whether a model that is filled with what another is saved as computes other bits, or what is saved is no plain
    tensors and JSON."""
    model, other = stirred(architecture), build(architecture, seed=1)
    config.convert(model)
    tensors, recipe = config.tensors(model)
    for name, tensor in tensors.items():
        if type(tensor) not in (torch.Tensor, torch.nn.Parameter):
            return f"{name} is saved as {type(tensor).__name__}, which is no plain tensor."
    try:
        recipe = json.loads(json.dumps(recipe))
    except TypeError as error:
        return f"The recipe is no JSON: {error}"
    config.load(other, {name: tensor.detach().clone() for name, tensor in tensors.items()}, recipe)
    same = torch.equal(_results(model, architecture), _results(other, architecture))
    return None if same else "Saved and loaded, a converted model computes something else."


def trains_otherwise(config: Any, architecture: ArchitectureConfig) -> str | None:
    """Of one that is trained with: whether names or shapes of parameters change, a gradient is lost, or the prepared
    model does not compute as the converted one."""
    model = stirred(architecture)
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    for prepared in (model, build_on_meta(architecture, VOCABULARY)):
        config.prepare(prepared)
        if {name: tuple(p.shape) for name, p in prepared.named_parameters()} != shapes:
            return "Prepared, the model has other parameters, by name or shape."
    for name, gradient in gradients(model, tokens(), simplest(architecture)).items():
        if gradient is None or not gradient.any():
            return f"Prepared, the parameter {name} gets no gradient."
    prepared_BTC = _results(model, architecture)
    config.convert(model)
    off = far(_results(model, architecture), prepared_BTC).max()
    return None if off < 1e-3 else f"Converted, the model computes something else than it was trained as, by {off:.1e}."


class QuantizerKit:
    """Subclass it and give `config`, a `QuantizerConfig`; `most`, how far from the plain model a converted one may be,
    as a share of a channel's usual size, on average.

        class TestMine(QuantizerKit):
            config = MyConfig(name="mine")
    """

    config: ClassVar[Any]
    most: ClassVar[float] = 0.1

    def architecture(self) -> ArchitectureConfig:
        """The tiny body that it is tried on; by default a transformer, which needs the first-party plugins."""
        from harness.testing.parts import in_transformer

        return in_transformer()

    def test_it_covers_what_it_says(self) -> None:
        sound(covers_otherwise(self.config, self.architecture()))

    def test_converted_it_computes_nearly_the_same(self) -> None:
        sound(computes_otherwise(self.config, self.architecture(), self.most))

    def test_saved_and_loaded_it_computes_the_same(self) -> None:
        sound(loads_otherwise(self.config, self.architecture()))

    def test_it_trains_as_it_computes(self) -> None:
        if not self.config.trains:
            skip("no model is trained with it")
        sound(trains_otherwise(self.config, self.architecture()))
