"""Parts and architectures with one fault each. They stand upon the first-party ones, which are whole."""

from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from harness.config import option, plugin_config
from harness.interfaces.visibility import Cross, NotBefore, Prefix, SameDocument, Visibility
from harness.models.cache import KeyValueCache
from harness.models.position import Position
from harness.models.visibility import View
from harness.testing.parts import PARTS, in_transformer
from harness_plugins.attention.multi_head import MultiHeadConfig
from harness_plugins.attention.multi_head.module import MultiHead
from harness_plugins.head.language_model import LanguageModelConfig
from harness_plugins.norm.rmsnorm import RMSNormConfig
from harness_plugins.position.learned import LearnedConfig
from harness_plugins.position.learned.module import Learned


@dataclass(kw_only=True)
class Attention(MultiHeadConfig):
    heads: int = option(2, "heads", minimum=1)
    module: ClassVar[type] = MultiHead

    def build(self, width: int, position: Any) -> Any:
        return self.module(self, width, position)


def attention(module: type, **options: Any) -> Attention:
    """A Config that builds this module."""
    return type(module.__name__, (Attention,), {"module": module})(name=module.__name__, **options)


# --------------------------------------------------------------------------------- who sees whom


def seen(view: View, window: int | None = None) -> Any:
    """As `View.lower` makes it, with a mask in any case."""
    lowered = view.lower(window)
    if lowered.mask is not None:
        return lowered
    ones = torch.ones(1, 1, view.queries, view.offset + view.queries, dtype=torch.bool)
    return lowered._replace(is_causal=False, mask=ones.tril() if lowered.is_causal else ones)


def without(view: View, kind: type) -> View:
    rest = tuple(condition for condition in view.visibility.conditions if not isinstance(condition, kind))
    return replace(view, visibility=Visibility(rest), _lowered={})


class SeesOneTokenAhead(MultiHead):
    """Place 5 sees place 6, and no other does."""

    def lower(self, view):
        told = seen(view)
        mask = told.mask.clone()
        mask[..., 5:6, 6:7] = True
        return told._replace(mask=mask)


class MaskOffByOne(MultiHead):
    def lower(self, view):
        told = seen(view)
        ahead = torch.roll(told.mask, 1, dims=-1)
        return told._replace(mask=told.mask | ahead)


class BlindToItsNeighbour(MultiHead):
    def lower(self, view):
        told = seen(view)
        query = view.offset + torch.arange(view.queries)[:, None]
        return told._replace(mask=told.mask & (query - 1 != torch.arange(told.mask.shape[-1])))


class SeesOtherDocuments(MultiHead):
    def lower(self, view):
        return without(view, SameDocument).lower(self.window)


class SeesPadding(MultiHead):
    def lower(self, view):
        return without(view, NotBefore).lower(self.window)


class TakesPrefixForCausal(MultiHead):
    def lower(self, view):
        told = seen(view)
        if view.visibility.get(Prefix) is None:
            return told
        return told._replace(mask=told.mask & torch.ones(told.mask.shape[-2:], dtype=torch.bool).tril())


class WindowTooWide(MultiHead):
    def lower(self, view):
        return view.lower(self.window + 1)


class WindowTooNarrow(MultiHead):
    def lower(self, view):
        return view.lower(self.window - 1)


# ------------------------------------------------------------------------------------- decoding


class Forgetful(KeyValueCache):
    def extend(self, keys_BHTD, values_BHTD, offset):
        keys_BHTD, values_BHTD = super().extend(keys_BHTD, values_BHTD, offset)
        if offset >= 4:
            values_BHTD[:, :, 0] = 0.0
        return keys_BHTD, values_BHTD


class CacheThatForgets(MultiHead):
    def start(self, batch, length):
        return Forgetful(length)


class Shifted(KeyValueCache):
    def extend(self, keys_BHTD, values_BHTD, offset):
        keys_BHTD, values_BHTD = super().extend(keys_BHTD, values_BHTD, offset)
        return keys_BHTD, values_BHTD.roll(1, dims=2) if offset else values_BHTD


class CacheOffByOne(MultiHead):
    def start(self, batch, length):
        return Shifted(length)


class Mean(nn.Module):
    """It has no `start`."""

    def __init__(self, config, width, position):
        super().__init__()
        self.out = nn.Linear(width, width, bias=False)

    def lower(self, view):
        return None

    def forward(self, hidden_BTC, positions, seen, state=None):
        count_T1 = torch.arange(1, hidden_BTC.shape[1] + 1)[:, None]
        return self.out(hidden_BTC.cumsum(dim=1) / count_T1), state


# -------------------------------------------------------------------------------------- modules


class StuckGradient(MultiHead):
    def __init__(self, config, width, position):
        super().__init__(config, width, position)
        self.values.register_forward_hook(lambda module, given, values_BTC: values_BTC.detach())


class UnusedParameter(MultiHead):
    def __init__(self, config, width, position):
        super().__init__(config, width, position)
        self.spare = nn.Linear(width, width)


class DependsOnOtherRows(MultiHead):
    def forward(self, hidden_BTC, positions, seen, state=None):
        mixed_BTC, state = super().forward(hidden_BTC, positions, seen, state)
        return mixed_BTC - mixed_BTC.mean(0, keepdim=True), state


class BufferOnCpu(MultiHead):
    def __init__(self, config, width, position):
        super().__init__(config, width, position)
        self.register_buffer("mask", torch.ones(4, 4, device="cpu"))


class DrawsFromNumpy(MultiHead):
    def __init__(self, config, width, position):
        super().__init__(config, width, position)
        self.register_buffer("shift", torch.from_numpy(np.random.default_rng().normal(size=width)))


class DropsInEvaluation(MultiHead):
    def forward(self, hidden_BTC, positions, seen, state=None):
        mixed_BTC, state = super().forward(hidden_BTC, positions, seen, state)
        return nn.functional.dropout(mixed_BTC, 0.1), state


class KeepsATensorUnsaved(MultiHead):
    def __init__(self, config, width, position):
        super().__init__(config, width, position)
        self.register_buffer("features", torch.randn(width), persistent=False)

    def forward(self, hidden_BTC, positions, seen, state=None):
        mixed_BTC, state = super().forward(hidden_BTC, positions, seen, state)
        return mixed_BTC * self.features, state


class HasNoRole(MultiHead):
    def __init__(self, config, width, position):
        super().__init__(config, width, position)
        self.temperature = nn.Parameter(torch.ones(1))


class CountsItsCalls(MultiHead):
    calls = 0

    def forward(self, hidden_BTC, positions, seen, state=None):
        self.calls += 1
        mixed_BTC, state = super().forward(hidden_BTC, positions, seen, state)
        return mixed_BTC * (1 + self.calls), state


class DoublesWhenCompiled(MultiHead):
    def forward(self, hidden_BTC, positions, seen, state=None):
        mixed_BTC, state = super().forward(hidden_BTC, positions, seen, state)
        return mixed_BTC * (2 if torch.compiler.is_compiling() else 1), state


class DividesByItsHeads(MultiHead):
    """By those of the rank, where it holds some of them."""

    def forward(self, hidden_BTC, positions, seen, state=None):
        heads = self._heads(self.queries(hidden_BTC)).shape[2]
        mixed_BTC, state = super().forward(hidden_BTC, positions, seen, state)
        return mixed_BTC / heads, state


@dataclass(kw_only=True)
class DividesWrongly(Attention):
    """Rounds the channels of a head down, and builds matrices of the whole width."""

    def head_width(self, width: int) -> int:
        return width // self.heads

    def build(self, width: int, position: Any) -> Any:
        module = MultiHead(self, width, position)
        module.queries = nn.Linear(width, width, bias=False)
        return module


@dataclass(kw_only=True)
class MiscountsFlops(Attention):
    def flops(self, width: int, sequence_length: int) -> int:
        return super().flops(width, sequence_length) - 2 * width * sequence_length


@dataclass(kw_only=True)
class MiscountsParameters(Attention):
    def parameters(self, width: int) -> int:
        return super().parameters(width) + width


# ---------------------------------------------------------------------- other parts, and bodies


class FromTheRowsBeginning(Learned):
    def embed(self, embeddings_BTC, positions):
        return super().embed(embeddings_BTC, torch.arange(embeddings_BTC.shape[1]))


@dataclass(kw_only=True)
class IgnoresPositions(LearnedConfig):
    length: int = option(64, "places", minimum=1)

    def build(self, width: int, heads: int, head_width: int) -> Position:
        return FromTheRowsBeginning(self.length, width, self.first)


@dataclass(kw_only=True)
class Upcasts(LanguageModelConfig):
    def build(self, width: int, vocabulary: int, embedding_VC: Any) -> Any:
        head = super().build(width, vocabulary, embedding_VC)
        head.register_forward_hook(lambda module, given, logits_BTV: logits_BTV.float())
        return head


@dataclass(kw_only=True)
class ShrinksAllToNothing(RMSNormConfig):
    def build(self, width: int) -> Any:
        norm = super().build(width)
        norm.register_forward_hook(lambda module, given, normed: normed * 1e-4)
        return norm


def damaged(damage: Any, config: Any = None, **values: Any) -> Any:
    """A transformer, or another architecture, that something is done to as soon as it is built."""
    config = config or in_transformer(**values)

    def build(self: Any, vocabulary: int) -> Any:
        model = super(of, self).build(vocabulary)
        damage(model)
        return model

    of = type("Damaged", (type(config),), {"build": build})
    return of(**{name: getattr(config, name) for name in (field.name for field in fields(config))})


def encoder_decoder() -> Any:
    values = {"name": "encoder_decoder", "width": 16, "layers": 2, **PARTS}
    return plugin_config("architecture", values, "architecture")


def reads_nothing(model: Any) -> None:
    for block in model.body.blocks:
        block.cross.values.register_forward_hook(lambda module, given, made: made * 0)


def reads_other_documents(model: Any) -> None:
    for block in model.body.blocks:
        plain = block.lower
        block.lower = lambda view, context, plain=plain: plain(without(view, Cross), context)


def scales_tokens_alone(model: Any) -> None:
    model.body.tokens.register_forward_hook(lambda module, given, embedded: embedded * 2)


def widens(model: Any) -> None:
    def twice(module, given, output):
        return replace(output, hidden_BTC=output.hidden_BTC.repeat(1, 1, 2))

    model.body.register_forward_hook(twice)


def always_alike(model: Any) -> None:
    """Its own generator, whatever the seed is."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.1, generator=generator)
