"""A model of `transformers` as a body and a head: the head is their model, with what is given in its body's place."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from harness.errors import UserError
from harness.interfaces.architecture import Output
from harness.interfaces.visibility import Condition, NotBefore, Padded, SameDocument, Visibility, Window
from harness.models.model import Model
from harness.models.visibility import View, lower
from harness_plugins.architecture.hf import SEQUENCE_TO_SEQUENCE
from harness_plugins.architecture.hf.theirs import first_position

if TYPE_CHECKING:
    from harness_plugins.architecture.hf import HuggingFaceConfig

#: By what names theirs take and return what they have seen.
_STATES = ("past_key_values", "cache_params", "state")
_KNOWN = (nn.Linear, nn.Embedding, nn.LayerNorm, nn.RMSNorm)


@dataclass
class Decoding:
    """What their model has kept of the places so far, by the name that it goes by, and how many those are."""

    places: int = 0
    kept: dict[str, Any] = field(default_factory=dict)


class Made:
    """What a body of theirs returns: hidden states, and nothing else that may be asked for."""

    def __init__(self, hidden_BTC: torch.Tensor) -> None:
        self.last_hidden_state = hidden_BTC

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)

    def __getitem__(self, at: Any) -> Any:
        return (self.last_hidden_state,)[at]


class Given(nn.Module):
    """Stands where their body did, and returns the hidden states that it is given for embeddings."""

    def forward(self, *inputs: Any, inputs_embeds: Any = None, **options: Any) -> Made:
        return Made(inputs_embeds)


class Head(nn.Module):
    """hidden_…C → logits_…V by the forward pass of their whole model, so that scales, caps and transforms between its
    body and its logits are theirs."""

    def __init__(self, whole: nn.Module, reads: bool) -> None:
        super().__init__()
        self.whole, self.reads = whole, reads

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        hidden_BTC = hidden if hidden.dim() == 3 else hidden.reshape(1, -1, hidden.shape[-1])
        if self.reads:
            from transformers.modeling_outputs import BaseModelOutput

            given = {
                "encoder_outputs": BaseModelOutput(last_hidden_state=hidden_BTC),
                "decoder_inputs_embeds": hidden_BTC,
            }
        else:
            given = {"inputs_embeds": hidden_BTC}
        logits: torch.Tensor = self.whole(**given).logits
        return logits.reshape(*hidden.shape[:-1], logits.shape[-1])


class Body(nn.Module):
    """decoder: their model up to the hidden states that logits are made of; encoder: of two texts, what reads one."""

    def __init__(self, config: HuggingFaceConfig, decoder: nn.Module, encoder: nn.Module | None) -> None:
        super().__init__()
        self.name, self.does, self.first = config.model_type, config.visibilities, first_position(config)
        self.decoder: Any = decoder
        if encoder is not None:
            self.encoder = encoder
        self.takes = frozenset(inspect.signature(decoder.forward).parameters)

    @property
    def embedding_VC(self) -> torch.Tensor:
        table_VC: torch.Tensor = self.decoder.get_input_embeddings().weight
        return table_VC

    def start(self, batch: int, length: int) -> Decoding:
        return Decoding()

    def forward(
        self,
        inputs_BT: torch.Tensor | None = None,
        *,
        embeddings_BTC: torch.Tensor | None = None,
        positions_BT: torch.Tensor | None = None,
        context: Any = None,
        visibility: Visibility | Condition,
        state: Decoding | None = None,
    ) -> Output:
        """hidden_BTC at every place. A state that is passed in has moved on when it is returned."""
        visibility = Visibility() & visibility
        if undone := visibility.kinds() - self.does - {Padded}:
            raise UserError(
                f"{min(kind.__name__ for kind in undone)} visibility is asked for, and it is not known that "
                f"{self.name} of transformers can do it. Rows of one length need no padding: read them one by one."
            )
        places = _size(inputs_BT, embeddings_BTC)
        before = 0 if state is None else state.places
        if before and places > 1 and SameDocument not in self.does:
            return self._one_by_one(inputs_BT, embeddings_BTC, positions_BT, context, visibility, state)
        if self.first:
            place_T = torch.arange(before, before + places, device=self.embedding_VC.device)
            positions_BT = self.first + (place_T[None] if positions_BT is None else positions_BT)
        asked = self._asked(inputs_BT, embeddings_BTC)
        asked["attention_mask"] = seen(visibility, places, before, self.decoder.config, self.embedding_VC)
        if positions_BT is not None and "position_ids" in self.takes:
            asked["position_ids"] = positions_BT
        if context is not None:
            asked["encoder_hidden_states"] = context
            asked["encoder_attention_mask"] = self._crossed(visibility, places, before)
        if "use_cache" in self.takes:
            # Without a cache they look into the positions for several texts, which meta tensors cannot show.
            asked["use_cache"] = state is not None or self.embedding_VC.is_meta
        made = self.decoder(**asked, **(state.kept if state else {}))
        if state is not None:
            state.places += places
            state.kept = {name: made[name] for name in _STATES if made.get(name) is not None}
            if not state.kept:
                raise UserError(f"{self.name} of transformers keeps no state, and goes on with no text.")
        return Output(made[0], state)

    def encode(
        self, inputs_BS: torch.Tensor, *, positions_BS: torch.Tensor | None = None, visibility: Visibility | Condition
    ) -> Output:
        """hidden_BSC of the text that is read."""
        mask = seen(Visibility() & visibility, inputs_BS.shape[1], 0, self.encoder.config, self.embedding_VC)
        return Output(self.encoder(input_ids=inputs_BS, attention_mask=mask)[0])

    def _one_by_one(self, inputs_BT: Any, embeddings_BTC: Any, positions_BT: Any, *more: Any) -> Output:
        """Recurrent models go on from a state by one place only."""
        context, visibility, state = more
        found = []
        for place in range(_size(inputs_BT, embeddings_BTC)):
            own = [None if each is None else each[:, place, None] for each in (inputs_BT, embeddings_BTC, positions_BT)]
            seen = {"embeddings_BTC": own[1], "positions_BT": own[2], "context": context, "visibility": visibility}
            found.append(self(own[0], **seen, state=state).hidden_BTC)
        return Output(torch.cat(found, 1), state)

    def _asked(self, inputs_BT: torch.Tensor | None, embeddings_BTC: torch.Tensor | None) -> dict[str, Any]:
        if embeddings_BTC is None:
            return {"input_ids": inputs_BT}
        scale = getattr(self.decoder.get_input_embeddings(), "embed_scale", 1.0)  # some tables scale their rows
        return {"inputs_embeds": embeddings_BTC * scale}

    def _crossed(self, visibility: Visibility, places: int, before: int) -> torch.Tensor | None:
        mask = View(visibility, places, before, self.embedding_VC.device).cross().mask
        return None if mask is None else added(mask, self.embedding_VC.dtype)


def _size(inputs_BT: torch.Tensor | None, embeddings_BTC: torch.Tensor | None) -> int:
    given = inputs_BT if embeddings_BTC is None else embeddings_BTC
    assert given is not None
    return given.shape[1]


def seen(visibility: Visibility, places: int, before: int, config: Any, table_VC: torch.Tensor) -> Any:
    """The visibility as an `attention_mask` of theirs. None: as their model sees of its own accord, which is causal or
    full; with padding, numbers for each place, 1 where it is a token; with documents, what is added to the scores, by
    the kind of layer where there are several. A mask of that shape takes the place of their own windows."""
    after = visibility.get(NotBefore)
    if SameDocument not in visibility.kinds():
        if not isinstance(after, NotBefore):
            return None
        assert after.starts_B is not None
        place_K = torch.arange(before + places, device=after.starts_B.device)
        return (place_K >= after.starts_B[:, None]).long()

    def mask(window: int | None) -> torch.Tensor:
        narrowed = visibility if window is None else visibility & Window(window)
        _, may = lower(narrowed, places, before + places, before, table_VC.device)
        assert may is not None
        return added(may, table_VC.dtype)

    window, kinds = getattr(config, "sliding_window", None), getattr(config, "layer_types", None)
    if not kinds:
        return mask(window)
    return {kind: mask(window if kind == "sliding_attention" else None) for kind in dict.fromkeys(kinds)}


def added(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """0 where a place is seen, and where not the least number, as theirs have it."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, torch.finfo(dtype).min)


# ------------------------------------------------------------------------------------------- taken apart


def paths(whole: Any, form: str) -> dict[str, str]:
    """Where in their model our body's children stand, by the name that they have here."""
    if form == SEQUENCE_TO_SEQUENCE:
        parts = {"decoder": whole.get_decoder(), "encoder": whole.get_encoder()}
    else:
        parts = {"decoder": getattr(whole.base_model, "decoder", whole.base_model)}
    names = {id(module): name for name, module in whole.named_modules()}
    return {ours: names[id(module)] for ours, module in parts.items()}


def as_model(whole: Any, config: HuggingFaceConfig) -> Model:
    """Ours, of the same parameters. `whole` is the head's from now on."""
    _name_roles(whole)
    form = config.chosen
    places = paths(whole, form)
    parts = {ours: whole.get_submodule(place) for ours, place in places.items()}
    for place in places.values():
        parent, _, name = place.rpartition(".")
        setattr(whole.get_submodule(parent), name, Given())
    reads = form == SEQUENCE_TO_SEQUENCE
    body = Body(config, parts["decoder"], parts.get("encoder"))
    return Model(body, {"language_model": Head(whole, reads)}, config.maximum_length(), config.topology())


def _name_roles(whole: nn.Module) -> None:
    """Of what their own modules hold: vectors are biases where they are named so, or gains; the rest are matrices."""
    for table in whole.modules():
        if isinstance(table, nn.Embedding):
            table.padding_idx = None  # here the token of that number is one like others, and learns
    for module in whole.modules():
        if not isinstance(module, _KNOWN):
            module.roles = {name: _role(name, p) for name, p in module.named_parameters(recurse=False)}  # type: ignore[assignment]


def _role(name: str, parameter: torch.Tensor) -> str:
    if parameter.dim() > 1:
        return "matrix"
    return "bias" if "bias" in name else "gain"
