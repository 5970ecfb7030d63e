"""One decoding loop for everything that generates: scoring, rollouts, people."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import torch

from harness.errors import UserError
from harness.interfaces.likelihood import Row
from harness.interfaces.sampler import Sampler
from harness.interfaces.visibility import Causal, Cross, Full, NotBefore, Prefix, SameDocument, Visibility
from harness.models.model import Model

#: Token ids that end a row, or a function of the row's new tokens that says whether it has ended.
Stop = Collection[int] | Callable[[list[int]], bool]
#: What is seen when the first token behind a context is drawn, as a likelihood's `opening` says.
Opening = Callable[[Sequence[int]], Row]


def as_it_stands(context: Sequence[int]) -> Row:
    return Row(inputs=context)


@torch.no_grad()
def generate(
    model: Model,
    prompts: Sequence[Sequence[int]],
    *,
    sampler: Sampler,
    max_new_tokens: int,
    opening: Opening = as_it_stands,
    room: int | None = None,
    stop: Stop = (),
    generator: torch.Generator | Sequence[torch.Generator] | None = None,
    head: str = "language_model",
    text: int | None = None,
) -> list[list[int]]:
    """The new tokens of each row, the one that stopped it included; at most `max_new_tokens`. opening: how the model
    begins to go on with a prompt. room: places of what it sees then, at most; None: as many as it can see. text: only
    tokens below this number are written, those of the tokenizer; behind them stand a method's own, and padding. None:
    any.

    Rows of unequal length are padded on the left, and the padding is hidden. A prompt that leaves no room for
    `max_new_tokens` within the model's maximum length loses its beginning, as in lm-eval; nothing is lost of what
    `opening` puts around it. Every row samples until the last has ended; what comes after a row's own end is thrown
    away. Several generators share the rows equally, in order: what is drawn for a row then does not depend on the
    others' prompts.

    Raises UserError for an empty prompt, and where `max_new_tokens` alone fills the model's maximum length.
    """
    if not prompts or max_new_tokens == 0:
        return [[] for _ in prompts]
    if empty := [row for row, prompt in enumerate(prompts) if not prompt]:
        raise UserError(f"Prompt {empty[0]} is empty. Begin it with the token that ends a document.")
    rooms = [most for most in (room, _room(max_new_tokens, model.maximum_length)) if most is not None]
    rows = [_opened(prompt, opening, min(rooms, default=None)) for prompt in prompts]
    ended = stop if callable(stop) else _stops_at(frozenset(stop))
    was_training = model.training
    model.eval()
    try:
        with torch.compiler.set_stance("force_eager"):  # every length would be a graph of its own
            return _decode(model, rows, sampler, max_new_tokens, ended, generator, head, text)
    finally:
        model.train(was_training)


def _stops_at(tokens: frozenset[int]) -> Callable[[list[int]], bool]:
    return lambda row: row[-1] in tokens


def _room(max_new_tokens: int, maximum_length: int | None) -> int | None:
    """What the model can see beside the new tokens, of which the last is never seen."""
    if maximum_length is None:
        return None
    if max_new_tokens > maximum_length:
        raise UserError(
            f"max_new_tokens={max_new_tokens} leaves no room for a prompt: the model sees {maximum_length} tokens."
        )
    return maximum_length - max_new_tokens + 1


def _opened(prompt: Sequence[int], opening: Opening, room: int | None) -> Row:
    opened = opening(prompt)
    over = 0 if room is None else len(opened.inputs) - room
    return opening(prompt[over:]) if over > 0 else opened


def _decode(
    model: Model,
    prompts: list[Row],
    sampler: Sampler,
    max_new_tokens: int,
    ended: Callable[[list[int]], bool],
    generator: torch.Generator | Sequence[torch.Generator] | None,
    head: str,
    text: int | None,
) -> list[list[int]]:
    device, longest = model.device, max(len(prompt.inputs) for prompt in prompts)
    padding = [longest - len(prompt.inputs) for prompt in prompts]
    inputs = [[0] * pad + list(prompt.inputs) for pad, prompt in zip(padding, prompts, strict=True)]
    inputs_BT = torch.tensor(inputs, device=device)
    visibility, positions_BT, context = Visibility((Causal(),)), None, None
    if any(prompt.prefix for prompt in prompts):  # what is written comes behind, where a prefix changes nothing
        ends = [pad + prompt.prefix for pad, prompt in zip(padding, prompts, strict=True)]
        visibility = Visibility((Prefix(torch.tensor(ends, device=device)),))
    if any(padding):
        starts_B = torch.tensor(padding, device=device)
        visibility = visibility & NotBefore(starts_B)
        positions_BT = (torch.arange(longest, device=device) - starts_B[:, None]).clamp(min=0)
    if sources := [prompt.source for prompt in prompts if prompt.source is not None]:
        visibility, context = read(model, sources, visibility)

    state = model.body.start(len(prompts), longest + max_new_tokens - 1)
    rows: list[list[int]] = [[] for _ in prompts]
    running = set(range(len(prompts)))
    for _ in range(max_new_tokens):
        output = model.body(inputs_BT, positions_BT=positions_BT, context=context, visibility=visibility, state=state)
        state = output.state
        tokens_B = _drawn(sampler, model.heads[head](output.hidden_BTC[:, -1])[:, :text], generator)
        for row, token in enumerate(tokens_B.tolist()):
            if row in running:
                rows[row].append(token)
                if ended(rows[row]):
                    running.discard(row)
        if not running:
            break
        inputs_BT = tokens_B[:, None]
        positions_BT = None if positions_BT is None else positions_BT[:, -1:] + 1
    return rows


def read(model: Model, sources: Sequence[Sequence[int]], visibility: Visibility) -> tuple[Visibility, torch.Tensor]:
    """What an encoder makes of the texts that are read, and the visibility of places that see them and no padding."""
    sources_BS, documents_BS = padded(sources, model.device)
    context_BSC = model.encode(sources_BS, visibility=Full() & SameDocument(documents_BS)).hidden_BTC
    return visibility & Cross(documents_BS), context_BSC


def padded(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows that are made equally long on the right, and a document of each place: 1 where it is padding, else 0."""
    longest = max(map(len, rows))
    tokens_BT = torch.tensor([[*tokens, *[0] * (longest - len(tokens))] for tokens in rows], device=device)
    documents_BT = torch.tensor([[0] * len(row) + [1] * (longest - len(row)) for row in rows], device=device)
    return tokens_BT, documents_BT


def _drawn(
    sampler: Sampler, logits_BV: torch.Tensor, generator: torch.Generator | Sequence[torch.Generator] | None
) -> torch.Tensor:
    """The next token of each row."""
    if not isinstance(generator, Sequence):
        return sampler(logits_BV, generator)
    parts = logits_BV.split(len(logits_BV) // len(generator))
    return torch.cat([sampler(part_BV, own) for part_BV, own in zip(parts, generator, strict=True)])
