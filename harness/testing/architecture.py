"""What every architecture promises: who sees whom, gradients, invariances, decoding. Each check takes a Config of tiny
size and returns one sentence that names the fault, or None. None of them needs pytest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from harness.interfaces.architecture import ENCODER_DECODER, ArchitectureConfig
from harness.interfaces.visibility import Causal, Condition, Cross, Full, NotBefore, SameDocument, Visibility
from harness.models.model import Model
from harness.testing.models import (
    DRAWS,
    PLACES,
    READ,
    ROWS,
    VOCABULARY,
    ask,
    build,
    far,
    hidden,
    simplest,
    stirred,
    tokens,
)
from harness.testing.sees import Limit, reaches, sees, visibilities, window

#: What rounding may move, as a share of the usual size of a channel: where all shapes are the same, and where not.
ROUNDING, OTHER_SHAPES = 1e-5, 1e-4
#: What moves less than this has not moved.
NOTHING = 1e-9


def limits_of(config: ArchitectureConfig) -> list[Limit | None]:
    """For each layer, what it sees of its own accord: the window that its attention declares."""
    blocks = config.layer_blocks()
    own = [window(getattr(getattr(block, "attention", None), "window", None)) for block in blocks]
    return own * (getattr(config, "layers", 1) // len(own))


def leaks(
    config: ArchitectureConfig,
    visibility: Visibility | Condition | None = None,
    limits: Sequence[Limit | None] | None = None,
) -> str | None:
    """Whether places see what they may see, and nothing else: in row b the token of place b is changed, and a place
    must move if and only if something can come to it through all layers.

    visibility: one of `PLACES` rows of `PLACES` places; None: one of each kind that the config claims. limits: what
    each layer sees of its own accord; None: by the windows that the config declares.
    """
    model, *others = (stirred(config, seed) for seed in range(DRAWS))
    if visibility is None:
        asked = visibilities(config.visibilities, PLACES, PLACES)
    else:
        asked = {_name(visibility): Visibility() & visibility}
    own = limits_of(config) if limits is None else limits
    for name, of in asked.items():
        if fault := _leak([model, *others], name, of, own):
            return fault
    if config.topology() != ENCODER_DECODER:
        return None
    alone = _misread(model, simplest(config), torch.zeros(READ), torch.zeros(PLACES))
    if alone or SameDocument not in config.visibilities:
        return alone
    sources_S = torch.tensor([0] * (READ - 4) + [1] * 3 + [-1])
    return _misread(model, simplest(config), sources_S, (torch.arange(PLACES) >= 5).long())


@torch.no_grad()
def _misread(model: Model, visibility: Condition, sources_S: torch.Tensor, documents_T: torch.Tensor) -> str | None:
    """Of an encoder–decoder: whether places see all that is read of their own document, and nothing else. sources_S:
    the document of each place that is read; documents_T: of each that is written."""
    sources_BS, documents_BT = sources_S.expand(READ, -1), documents_T.expand(READ, -1)
    seen = visibility & Cross(sources_BS, documents_BT)
    reading = Visibility((Full(),))
    if sources_S.any():
        seen, reading = seen & SameDocument(documents_BT), reading & SameDocument(sources_BS)
    inputs_BT, plain_BS, each = tokens(1).expand(READ, -1), tokens(1, READ).expand(READ, -1), torch.arange(READ)
    changed_BS = plain_BS.clone()
    changed_BS[each, each] = (changed_BS[each, each] + VOCABULARY // 2) % VOCABULARY
    moved_BT = far(*(hidden(model, inputs_BT, seen, source_BS=of, reading=reading) for of in (changed_BS, plain_BS)))
    may_BT = sources_S[:, None] == documents_T
    for row, place in torch.nonzero(may_BT & ~(moved_BT > NOTHING)).tolist():
        return f"Place {place} does not move when token {row} of what the encoder reads is changed."
    for row, place in torch.nonzero(~may_BT & (moved_BT > ROUNDING)).tolist():
        return (
            f"A leak through Cross: place {place} moves when token {row} of what the encoder reads is changed, which "
            "is padding or belongs to another document."
        )
    return None


def _name(visibility: Visibility | Condition) -> str:
    return " & ".join(type(condition).__name__ for condition in (Visibility() & visibility).conditions)


@torch.no_grad()
def _leak(models: list[Model], name: str, visibility: Visibility, limits: Sequence[Limit | None]) -> str | None:
    """Of several draws of one model: what leaks in the first, or is seen in none."""
    plain_BT, each = tokens(1, PLACES).expand(PLACES, -1), torch.arange(PLACES)
    changed_BT = plain_BT.clone()
    changed_BT[each, each] = (changed_BT[each, each] + VOCABULARY // 2) % VOCABULARY

    def moved(model: Model) -> torch.Tensor:
        return far(*(hidden(model, inputs_BT, visibility) for inputs_BT in (changed_BT, plain_BT)))

    moved_BQ = moved(models[0])
    may_BQ = reaches(sees(visibility, PLACES, PLACES), limits)[each, :, each]
    padding = visibility.get(NotBefore)
    is_real_BQ = torch.ones_like(may_BQ)
    if isinstance(padding, NotBefore) and padding.starts_B is not None:
        is_real_BQ = each >= padding.starts_B[:, None]
    for row, place in torch.nonzero(is_real_BQ & ~may_BQ & (moved_BQ > ROUNDING)).tolist():
        return (
            f"A leak under {name}: place {place} moves by {moved_BQ[row, place]:.1e} of a channel's size when the "
            f"token of place {row} is changed, which it must not see (row {row})."
        )
    for other in models[1:]:
        if (is_real_BQ & may_BQ & ~(moved_BQ > NOTHING)).any():
            moved_BQ = torch.maximum(moved_BQ, moved(other))
    for row, place in torch.nonzero(is_real_BQ & may_BQ & ~(moved_BQ > NOTHING)).tolist():
        return (
            f"Blindness under {name}: place {place} does not move when the token of place {row} is changed, which it "
            f"may see, through {len(limits)} layers (row {row})."
        )
    return None


@torch.no_grad()
def misshapen(config: ArchitectureConfig) -> str | None:
    """Shapes and dtypes of what a body and its heads make, of one place and of several, in float32 and bfloat16."""
    model, visibility = build(config), simplest(config)
    table_VC = model.body.embedding_VC
    if missing := config.heads() - model.heads.keys():
        return f"The model has no head {', '.join(sorted(missing))}, which the Config's heads() names."
    for dtype in (torch.float32, torch.bfloat16):
        model.to(dtype)
        for rows, places in ((1, 1), (ROWS, PLACES)):
            output = ask(model, tokens(rows, places), visibility)
            of, expected = output.hidden_BTC, (rows, places, table_VC.shape[1])
            if tuple(of.shape) != expected:
                return f"hidden_BTC has shape {tuple(of.shape)} and not {expected}, (rows, places, width)."
            if of.dtype != dtype:
                return f"hidden_BTC is {of.dtype} where all parameters are {dtype}."
            if output.state is not None:
                return "A state is returned where none was passed in."
            if "language_model" in model.heads:
                logits, expected = model.heads["language_model"](of), (rows, places, VOCABULARY)
                if tuple(logits.shape) != expected:
                    return f"logits_BTV has shape {tuple(logits.shape)} and not {expected}, (rows, places, vocabulary)."
                if logits.dtype != dtype:
                    return f"logits_BTV is {logits.dtype} where all parameters are {dtype}."
    return None


@torch.no_grad()
def embeds_otherwise(config: ArchitectureConfig) -> str | None:
    """Whether rows of the token table do what their tokens do."""
    model, inputs_BT, visibility = stirred(config), tokens(), simplest(config)
    embeddings_BTC = model.body.embedding_VC[inputs_BT]
    given = ask(model, None, visibility, embeddings_BTC=embeddings_BTC).hidden_BTC
    off = far(given, hidden(model, inputs_BT, visibility)).max()
    return None if off <= ROUNDING else f"embeddings_BTC gives other results than their tokens, by {off:.1e}."


@torch.no_grad()
def depends_on_batch(config: ArchitectureConfig) -> str | None:
    """Whether a row is the same alone, beside others, and in another order."""
    model, inputs_BT, visibility = stirred(config), tokens(), simplest(config)
    together_BTC = hidden(model, inputs_BT, visibility)
    others = {
        "alone": torch.cat([hidden(model, row_BT, visibility) for row_BT in inputs_BT.split(1)]),
        "in another order": hidden(model, inputs_BT.flip(0), visibility).flip(0),
    }
    for how, found_BTC in others.items():
        off_B = far(found_BTC, together_BTC).amax(1)
        if off_B.max() > OTHER_SHAPES:
            row = int(off_B.argmax())
            return f"Row {row} depends on the rows beside it: {how}, it differs by {off_B[row]:.1e}."
    return None


@torch.no_grad()
def depends_on_padding(config: ArchitectureConfig) -> str | None:
    """Whether rows that are padded on the left, and documents that are packed in one row, are as they are alone: with
    visibility and positions as decoding and methods give them."""
    model = stirred(config)
    for base in (Causal(), Full()):
        if type(base) not in config.visibilities:
            continue
        if NotBefore in config.visibilities and (fault := _padding(model, base)):
            return fault
        if SameDocument in config.visibilities and (fault := _packing(model, base)):
            return fault
    return None


def _padding(model: Model, base: Condition) -> str | None:
    inputs_BT, starts_B = tokens(), torch.arange(ROWS)
    positions_BT = (torch.arange(PLACES) - starts_B[:, None]).clamp(min=0)
    padded_BTC = hidden(model, inputs_BT, base & NotBefore(starts_B), positions_BT=positions_BT)
    for row, start in enumerate(starts_B.tolist()):
        alone_BTC = hidden(model, inputs_BT[row : row + 1, start:], base)
        off = far(padded_BTC[row : row + 1, start:], alone_BTC).max()
        if off > OTHER_SHAPES:
            return (
                f"Padding counts under {type(base).__name__} & NotBefore: a row behind {start} places of padding "
                f"differs by {off:.1e} from the row alone."
            )
    return None


def _packing(model: Model, base: Condition) -> str | None:
    inputs_BT, ends = tokens(2, PLACES), (4, PLACES)
    documents_BT = (torch.arange(PLACES) >= ends[0]).long().expand(2, -1)
    positions_BT = torch.arange(PLACES) - documents_BT * ends[0]
    packed_BTC = hidden(model, inputs_BT, base & SameDocument(documents_BT), positions_BT=positions_BT)
    for number, start, end in ((0, 0, ends[0]), (1, *ends)):
        off = far(packed_BTC[:, start:end], hidden(model, inputs_BT[:, start:end], base)).max()
        if off > OTHER_SHAPES:
            return (
                f"Packing counts under {type(base).__name__} & SameDocument: document {number} of a row differs by "
                f"{off:.1e} from the document alone."
            )
    return None


#: Pieces that a row is decoded in.
PIECES = ((1,) * PLACES, (PLACES,), (5, *(1,) * (PLACES - 5)), (4, 3, 4), (PLACES - 1, 1))


@torch.no_grad()
def decodes_otherwise(config: ArchitectureConfig) -> str | None:
    """Whether decoding with a state gives what the whole row does, in pieces of any size, with and without padding."""
    if Causal not in config.visibilities:
        return None
    model, inputs_BT = stirred(config), tokens()
    asked: list[tuple[Visibility, Any]] = [(Visibility((Causal(),)), None)]
    if NotBefore in config.visibilities:
        starts_B = torch.arange(ROWS)
        positions_BT = (torch.arange(PLACES) - starts_B[:, None]).clamp(min=0)
        asked.append((Causal() & NotBefore(starts_B), positions_BT))
    for visibility, positions_BT in asked:
        whole_BTC = hidden(model, inputs_BT, visibility, positions_BT=positions_BT)
        is_real_BT = torch.ones_like(inputs_BT, dtype=torch.bool) if positions_BT is None else ~_is_padding()
        for pieces in PIECES:
            try:
                found_BTC = _decoded(model, inputs_BT, visibility, positions_BT, pieces)
            except AttributeError as error:
                return f"It cannot decode, though it can do Causal visibility: {error}."
            off_T = (far(found_BTC, whole_BTC) * is_real_BT).amax(0)
            if off_T.max() > OTHER_SHAPES:
                place = int((off_T > OTHER_SHAPES).nonzero()[0])
                return (
                    f"Decoding under {_name(visibility)} in pieces of {', '.join(map(str, pieces))} places differs "
                    f"from the whole row from place {place} on, by {off_T.max():.1e}."
                )
    return None


def _is_padding() -> torch.Tensor:
    return torch.arange(PLACES) < torch.arange(ROWS)[:, None]


def _decoded(model: Model, inputs_BT: torch.Tensor, visibility: Visibility, positions_BT: Any, pieces: Any) -> Any:
    state, found, at = model.body.start(*inputs_BT.shape), [], 0
    for size in pieces:
        here = slice(at, at + size)
        own = None if positions_BT is None else positions_BT[:, here]
        output = ask(model, inputs_BT[:, here], visibility, positions_BT=own, state=state)
        state, at = output.state, at + size
        found.append(output.hidden_BTC)
    return torch.cat(found, dim=1)


@torch.no_grad()
def changes_by_chance(config: ArchitectureConfig) -> str | None:
    """Whether the seed decides what is built, and what is built computes the same each time."""
    first, second, other = (build(config, seed) for seed in (0, 0, 1))
    again = second.state_dict()
    for name, ours in first.state_dict().items():
        if not torch.equal(ours, again[name]):
            return f"Built twice with one seed, {name} differs: draw from torch's global generator alone."
    if all(map(torch.equal, first.parameters(), other.parameters())):
        return "Built with another seed, all parameters are the same: draw them from torch's global generator."
    results = [hidden(model, tokens(), simplest(config)) for model in (first, first, second)]
    if not torch.equal(results[0], results[1]):
        return "Asked twice in eval mode, a model gives two results."
    if not torch.equal(results[0], results[2]):
        return "Two models of one seed give two results, though their parameters are the same."
    return None


@torch.no_grad()
def forgets(config: ArchitectureConfig) -> str | None:
    """Whether a model that is filled with what another has saved computes the same bits."""
    from safetensors.torch import load, save

    model, other = stirred(config), build(config, seed=1)
    saved = save({name: tensor.clone().contiguous() for name, tensor in model.state_dict().items()})
    try:
        other.load_state_dict(load(saved), strict=True)
    except RuntimeError as error:
        return f"What a model saves does not fill another one: {error}"
    same = torch.equal(*(hidden(each, tokens(), simplest(config)) for each in (model, other)))
    return None if same else "A model that was saved and loaded computes something else: a tensor is not saved."
