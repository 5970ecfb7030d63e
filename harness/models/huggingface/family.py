"""What one model type of `transformers` is, told as data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.errors import UserError, suggest

if TYPE_CHECKING:
    import torch

OUR_TOKENS, OUR_HEAD, THEIR_HEAD = "body.tokens.weight", "heads.language_model.weight", "lm_head.weight"


@dataclass(frozen=True)
class Row:
    """One tensor of theirs and ours that are stacked in it, mostly one.

    transposed: their Conv1D keeps the matrix the other way round. groups: so many, where what is stacked stands group
    by group, as queries, keys and values of one head after another. also: further names that it has where it is shared,
    which a folder need not have.
    """

    theirs: str
    ours: tuple[str, ...]
    transposed: bool = False
    groups: int | None = None
    also: tuple[str, ...] = ()

    def split(self, theirs: torch.Tensor, shapes: Mapping[str, torch.Size]) -> dict[str, torch.Tensor]:
        """Ours by name. shapes: of ours. Raises UserError where theirs has another."""
        stacked = theirs.T if self.transposed else theirs
        expected = shapes[self.ours[0]]
        rows = [shapes[name][0] for name in self.ours] if len(self.ours) > 1 else []
        if stacked.shape != ((sum(rows), *expected[1:]) if rows else expected):
            raise UserError(f"{self.theirs} has another shape than the config says: {tuple(theirs.shape)}.")
        if not rows:
            return {self.ours[0]: stacked.contiguous()}
        if self.groups:
            by_group = stacked.unflatten(0, (self.groups, -1)).split([n // self.groups for n in rows], dim=1)
            pieces = [piece.flatten(0, 1) for piece in by_group]
        else:
            pieces = list(stacked.split(rows))
        return {name: piece.contiguous() for name, piece in zip(self.ours, pieces, strict=True)}

    def join(self, ours: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Theirs: the inverse of `split`."""
        import torch

        pieces = [ours[name] for name in self.ours]
        if self.groups:
            stacked = torch.cat([piece.unflatten(0, (self.groups, -1)) for piece in pieces], dim=1).flatten(0, 1)
        else:
            stacked = torch.cat(pieces) if len(pieces) > 1 else pieces[0]
        return (stacked.T if self.transposed else stacked).contiguous()


@dataclass(frozen=True, kw_only=True)
class Family:
    """A model type of theirs.

    architecture: the plugin that makes it here. parts: what is in it, by slot, the same in every layer (of several
    names a layer has one), and options that its tensors are there for. positions: their option for the longest
    sequence; None: it has none. prefix: of every name in the body. values, config: between their config and the values
    of ours, `vocab_size` of theirs left out. rows: every tensor. buffers: endings of what old checkpoints hold beside
    parameters. renamed: other endings of names in files, to those of the rows. objective: ours that such a model is
    trained by. in_files: of a config and a folder's tensors, the options that these tell better than that.
    """

    values: Callable[[Mapping[str, Any]], dict[str, Any]]
    config: Callable[[Any], dict[str, Any]]
    rows: Callable[[Any], Iterator[Row]]
    prefix: str
    positions: str | None = "max_position_embeddings"
    architecture: str = "transformer"
    parts: Mapping[str, Any] = field(default_factory=dict)
    buffers: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    objective: str = "clm"
    in_files: Callable[[Mapping[str, Any], Mapping[str, torch.Tensor]], dict[str, Any]] | None = None


def tables(config: Any, tokens: str, head: str = THEIR_HEAD) -> Iterator[Row]:
    """The rows of the embedding table and of the head, by their names; they may be one tensor."""
    if config.head.tied:
        yield Row(tokens, (OUR_TOKENS,), also=(head,))
    else:
        yield Row(tokens, (OUR_TOKENS,))
        yield Row(head, (OUR_HEAD,))


#: Names of theirs to ours, or to several of ours that are stacked in it.
Names = Mapping[str, str | tuple[str, ...]]


def layers(
    config: Any, theirs: str, names: Names, groups: int | None = None, ours_at: str = "body.blocks"
) -> Iterator[Row]:
    """The rows of all layers of a transformer. theirs: what their names begin with, {} for the layer. names: theirs to
    ours, within a layer; of ours that are stacked, so many groups. ours_at: where our layers are. Which have biases the
    parts say."""
    for layer, block in enumerate(config.layer_blocks()):
        for name, found in names.items():
            ours = (found,) if isinstance(found, str) else found
            for kind in ("weight", "bias") if _biased(block, ours[0]) else ("weight",):
                stacked = tuple(f"{ours_at}.{layer}.{part}.{kind}" for part in ours)
                yield Row(f"{theirs.format(layer)}.{name}.{kind}", stacked, groups=groups if len(ours) > 1 else None)


def _biased(block: Any, name: str) -> bool:
    """Whether a matrix or norm of a layer has a bias."""
    name = name.replace("cross.", "attention.")
    part = name.split(".")[0]
    if name == "attention.out":
        return bool(getattr(block.attention, "biased_out", block.attention.bias))
    return bool(getattr(block, part).bias if part in ("attention", "feedforward") else block.norm.bias)


def norm_rows(config: Any, theirs: str, ours: str) -> Iterator[Row]:
    """The rows of a norm outside of the layers."""
    for kind in ("weight", "bias") if config.norm.bias else ("weight",):
        yield Row(f"{theirs}.{kind}", (f"{ours}.{kind}",))


def whole(theirs: Mapping[str, Any], name: str) -> int:
    """One of their options that is a number of things. Raises UserError where it is missing or none."""
    value = theirs.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        found = f"{name}={value!r}, where a whole number should be" if name in theirs else f"no {name}"
        raise UserError(f"The config of this {theirs['model_type']} has {found}.")
    return value


def refuse(theirs: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Raises UserError where one of their options has another value than the only one we have."""
    for name, only in options.items():
        if theirs.get(name, only) != only:
            raise UserError(f"{theirs['model_type']} with {name}={theirs[name]} has no counterpart here, only {only}.")


def windows(window: int | None, kinds: Sequence[str], attention: Mapping[str, Any]) -> dict[str, Any]:
    """The values of ours for layers of their kinds, of which those named sliding_attention see a window of so many
    places. attention: the values of all of them.

    Raises UserError for another kind than this and full_attention.
    """
    local = {"sliding_attention": True, "full_attention": False}
    for kind in kinds:
        if kind not in local:
            raise UserError(f"A layer of {kind} has no counterpart here, only {' and '.join(local)}.")
    if len(set(kinds)) == 1:
        return {"attention": {**attention, "window": window if local[kinds[0]] else None}}
    names = ["local" if local[kind] else "global" for kind in kinds]
    period = next(n for n in range(1, len(names) + 1) if all(names[i] == names[i % n] for i in range(len(names))))
    blocks = {"local": {"attention": {"window": window}}, "global": {}}
    return {"attention": attention, "blocks": blocks, "pattern": names[:period]}


def layer_types(config: Any) -> dict[str, Any]:
    """Their options of our layers' windows, of which they know but one."""
    found = [block.attention.window for block in config.layer_blocks()]
    kinds = ["full_attention" if window is None else "sliding_attention" for window in found]
    return {"layer_types": kinds, "sliding_window": next((window for window in found if window), None)}


def activation(name: str) -> str:
    if name not in ACTIVATIONS:
        raise UserError(f"The activation {name} has no counterpart here. {suggest(name, ACTIVATIONS)}")
    return ACTIVATIONS[name]


#: Theirs to ours; the first of several is the one that is written.
ACTIVATIONS = {
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu": "gelu",
    "relu": "relu",
    "relu2": "squared_relu",
    "silu": "silu",
    "swish": "silu",
}
THEIR_ACTIVATIONS = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}
