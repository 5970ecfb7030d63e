"""Tiny models for the checks: built, with every parameter drawn anew, and asked."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from harness.interfaces.architecture import ENCODER_DECODER, ArchitectureConfig, Output
from harness.interfaces.visibility import Causal, Condition, Full, Visibility
from harness.models.model import Model
from harness.models.roles import roles

#: Tokens, rows and places of what a model is asked, and places of what an encoder reads.
VOCABULARY, ROWS, PLACES, READ = 40, 4, 11, 7


#: Draws of the parameters in which something must be missing before it is: by chance a weight of attention is too small
#: to be seen, or an expert is given no token.
DRAWS = 2


def build(config: ArchitectureConfig, seed: int = 0) -> Model:
    """As a run builds it."""
    return _built(config, VOCABULARY, seed)


def _built(config: ArchitectureConfig, vocabulary: int, seed: int) -> Model:
    torch.manual_seed(seed)
    model: Model = config.build(vocabulary)
    return model.eval()


@torch.no_grad()
def stirred(config: ArchitectureConfig, seed: int = 0, vocabulary: int = VOCABULARY) -> Model:
    """With parameters under which everything counts: what a run begins with is too small to show much, and gains of one
    and biases of zero hide whether they are there."""
    model = _built(config, vocabulary, seed)
    own = {f"{at}.{name}" for at, module in model.named_modules() for name in getattr(module, "starts", {})}
    parameters = dict(model.named_parameters())
    for name, role in roles(model).items():
        parameter = parameters[name]
        if role in ("gain", "bias") or name in own:
            parameter.add_(0.1 * torch.randn_like(parameter))
        else:
            nn.init.normal_(parameter, std=1.0 if role == "embedding" else parameter.shape[-1] ** -0.5)
    return model


def tokens(rows: int = ROWS, places: int = PLACES, seed: int = 0) -> torch.Tensor:
    """tokens_BT, int64."""
    return torch.randint(VOCABULARY, (rows, places), generator=torch.Generator().manual_seed(seed))


def simplest(config: ArchitectureConfig) -> Condition:
    """A visibility that it can do: causal, if it can do that."""
    return Causal() if Causal in config.visibilities else Full()


def ask(model: Model, inputs_BT: torch.Tensor | None, visibility: Visibility | Condition, **more: Any) -> Output:
    """What the body makes of the inputs; of an encoder–decoder, where all rows read the same text, if no other is
    given by `source_BS`, whose places see each other as `reading` says."""
    source_BS, reading = more.pop("source_BS", None), more.pop("reading", Full())
    if model.topology == ENCODER_DECODER:
        if source_BS is None:
            rows = len(more["embeddings_BTC"] if inputs_BT is None else inputs_BT)
            source_BS = tokens(1, READ, seed=1).expand(rows, -1)
        more["context"] = model.encode(source_BS, visibility=reading).hidden_BTC
    return model.body(inputs_BT, visibility=visibility, **more)


def hidden(model: Model, inputs_BT: torch.Tensor, visibility: Visibility | Condition, **more: Any) -> torch.Tensor:
    """hidden_BTC."""
    return ask(model, inputs_BT, visibility, **more).hidden_BTC


def far(found: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
    """How far each place is from what it should be, as a share of the usual size of a channel: (…, C) → (…)."""
    size = expected.detach().double().square().mean().sqrt().clamp_min(1e-30)
    return (found.detach().double() - expected.detach().double()).abs().amax(-1) / size


def outputs(model: Model, inputs_BT: torch.Tensor, visibility: Visibility | Condition) -> torch.Tensor:
    """A number that every part of the model has a share in: all heads' results, each times a number of its own, and the
    auxiliary losses."""
    output = ask(model, inputs_BT, visibility, source_BS=tokens(len(inputs_BT), READ, seed=1))
    made = [tensor for head in model.heads.values() for tensor in _tensors(head(output.hidden_BTC))]
    generator = torch.Generator().manual_seed(0)
    shares = [(tensor.float() * torch.randn(tensor.shape, generator=generator)).mean() for tensor in made]
    losses = [value / count for value, count in output.auxiliary.values()]
    return torch.stack([*shares, *losses]).sum()


def _tensors(made: Any) -> list[torch.Tensor]:
    return [made] if isinstance(made, torch.Tensor) else [each for part in made for each in _tensors(part)]


def gradients(model: Model, inputs_BT: torch.Tensor, visibility: Visibility | Condition) -> dict[str, Any]:
    """The gradient of `outputs` by parameter, or None where there is none."""
    model.zero_grad(set_to_none=True)
    outputs(model, inputs_BT, visibility).backward()
    return {name: p.grad for name, p in model.named_parameters() if p.requires_grad}


def other_gradient(found: dict[str, Any], expected: dict[str, Any], most: float) -> tuple[str, float] | None:
    """The first parameter whose gradient is off by more than `most` of its usual size, and by how much. One that is
    less than a hundredth of the others is measured by that: it may be zero but for rounding, as that of the bias of
    keys is."""
    least = 1e-2 * torch.cat([gradient.flatten() for gradient in expected.values()]).double().square().mean().sqrt()
    for name, gradient in found.items():
        size = expected[name].double().square().mean().sqrt().clamp_min(least)
        off = (gradient.double() - expected[name].double()).abs().max() / size
        if off > most:
            return name, off.item()
    return None
