"""What every objective promises: chance that places key, sums and counts that add up, a loss that is what it says."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from harness.interfaces.architecture import DECODER, ArchitectureConfig
from harness.interfaces.batch import ANSWER, CONTEXT, PADDING, Batch, Sequences
from harness.interfaces.corpus import DOCUMENTS
from harness.interfaces.method import SEQUENCES, Method, MethodConfig, Setting
from harness.interfaces.visibility import Cross, Padded, SameDocument, Visibility
from harness.models.model import Model

#: Rows and tokens of what a method is given, and the tokens that stand for text.
ROWS, LENGTH, TEXT = 8, 32, 60
#: Of sums in another order, as a share.
ROUNDING = 1e-4


class Letters:
    """A tokenizer of sixty characters, a space among them, and the end."""

    size, end = TEXT + 1, TEXT

    def encode(self, text: str) -> list[int]:
        return [ord(character) - 32 for character in text]

    def encode_all(self, texts: Any) -> list[list[int]]:
        return [self.encode(text) for text in texts]

    def decode(self, tokens: Any) -> str:
        return "".join(chr(32 + token) for token in tokens if token != self.end)


def setting(
    config: MethodConfig, tokenizer: Any, across: bool = True, length: int = LENGTH, topology: str = DECODER
) -> Setting:
    """What a method is built in. Its own tokens stand behind the tokenizer's."""
    names = config.extra_tokens()
    extra = {name: tokenizer.size + number for number, name in enumerate(names)}
    return Setting(
        tokenizer=tokenizer, attend_across_documents=across, sequence_length=length, extra=extra, topology=topology
    )


def sequences(config: MethodConfig, rows: int = ROWS, length: int = LENGTH, seed: int = 0) -> Sequences:
    """Rows of the form that it reads: text with ends in it, or examples that are asked, answered and padded."""
    rng = np.random.default_rng(seed)
    tokens_BS = rng.integers(0, TEXT, (rows, length + 1))
    places_B = 5 + 3 * np.arange(rows)
    if config.reads == DOCUMENTS and config.cut() == SEQUENCES:
        tokens_BS[rng.random(tokens_BS.shape) < 0.1] = TEXT
        return Sequences(tokens_BS, np.cumsum(tokens_BS == TEXT, axis=1), places_B)
    asked_B, ends_B = rng.integers(4, length // 3, rows), rng.integers(length // 2, length, rows)
    place_S = np.arange(length + 1)
    parts_BS = np.where(place_S < asked_B[:, None], CONTEXT, ANSWER)
    is_padding_BS = place_S >= ends_B[:, None]
    parts_BS = np.where(is_padding_BS, PADDING, parts_BS).astype(np.uint8)
    tokens_BS[is_padding_BS] = 0
    return Sequences(tokens_BS, is_padding_BS.astype(np.int64), places_B, parts_BS)


def keyed(place: int) -> np.random.Generator:
    """The randomness of one data seed."""
    return np.random.default_rng((7, place))


def _tensors(batch: Batch) -> dict[str, torch.Tensor]:
    own = {name: getattr(batch, name) for name in ("inputs_BT", "targets_BT", "weights_BT", "positions_BT")}
    own |= {"documents_BT": batch.documents_BT, **batch.extra}
    return {name: value for name, value in own.items() if value is not None}


def _differing(first: Mapping[str, torch.Tensor], second: Mapping[str, torch.Tensor]) -> str | None:
    names = [name for name in first if name not in second or not torch.equal(first[name], second[name])]
    return names[0] if names else None


def draws_by_chance(method: Method, rows: Sequences) -> str | None:
    """Whether a batch depends on anything but its rows and the generators of their places, or the rows are changed."""
    before, first = rows.tokens_BS.copy(), _tensors(method.prepare(rows, keyed))
    if not np.array_equal(before, rows.tokens_BS):
        return "The tokens that prepare is given are changed: a batch may share their memory, and must not write there."
    for seed in (1, 2):
        torch.manual_seed(seed), np.random.seed(seed), random.seed(seed)
        if name := _differing(first, _tensors(method.prepare(rows, keyed))):
            return f"Prepared twice, {name} differs: draw from randomness(place) and from no other generator."
    return None


def depends_on_rows(method: Method, rows: Sequences) -> str | None:
    """Whether what is made of a row depends on the rows beside it, or on their order."""
    count, whole = len(rows.places_B), _tensors(method.prepare(rows, keyed))
    order = np.arange(count)[::-1].copy()
    turned = _tensors(method.prepare(rows.rows(order), keyed))
    found = {name: tensor.unflatten(0, (-1, count)).flip(1).flatten(0, 1) for name, tensor in turned.items()}
    if name := _differing(whole, found):
        return f"In another order of the rows, {name} of a row differs: a row's chance is keyed by its place alone."
    alone = [_tensors(method.prepare(rows.rows(slice(row, row + 1)), keyed)) for row in range(count)]
    for name, tensor in whole.items():
        own = tensor.unflatten(0, (-1, count))
        for row in range(count):
            if not _equal_but_for_padding(name, own[:, row], alone[row][name]):
                return f"Alone, row {row} has another {name} than beside others: a row's chance is keyed by its place."
    return None


def _equal_but_for_padding(name: str, beside: torch.Tensor, alone: torch.Tensor) -> bool:
    """Beside longer rows a row has padding behind it, which does not count."""
    width = alone.shape[-1]
    counts = name == "weights_BT" and bool(beside[..., width:].any())
    return torch.equal(beside[..., :width], alone) and not counts


def _parts(rows: Sequences) -> list[Sequences]:
    return [rows.rows(slice(start, start + 3)) for start in range(0, len(rows.places_B), 3)]


def made(method: Method, model: Model, rows: Sequences) -> Batch:
    """The batch that is learned from: as it is prepared, or as `collect` makes it of the policy."""
    batch = method.prepare(rows, keyed)
    if not hasattr(method, "collect"):
        return batch
    generators = [torch.Generator().manual_seed(place) for place in batch.places_B.tolist()]
    with torch.no_grad():
        collected: Batch = method.collect(model, batch, generators)
    return collected


def adds_up_wrongly(method: Method, model: Model, rows: Sequences) -> str | None:
    """Whether terms and counts of micro-batches add up to those of the whole batch. Terms that `counts` does not name
    are means, and are left out."""
    whole = made(method, model, rows)
    parts = [made(method, model, part) for part in _parts(rows)]
    counts, losses = method.counts(whole), _losses(method, model, whole)
    for name, count in counts.items():
        if not math.isfinite(count) or count <= 0:
            return f"The count of {name} is {count}."
        if name not in losses:
            return f"counts names {name}, which losses does not give."
        for what, found, of in (
            ("count", sum(method.counts(part)[name] for part in parts), count),
            ("sum", sum(_losses(method, model, part)[name] for part in parts), losses[name]),
        ):
            if not math.isclose(found, of, rel_tol=ROUNDING, abs_tol=ROUNDING):
                return (
                    f"Over micro-batches the {what} of {name} adds up to {found:.6g}, and of one batch it is {of:.6g}."
                )
    return None


@torch.no_grad()
def _losses(method: Method, model: Model, batch: Batch) -> dict[str, float]:
    return {name: float(value) for name, value in method.losses(model, batch).items()}


def measured(method: Method, model: Model, batch: Batch) -> dict[str, tuple[float, float]]:
    """Each term that is counted, with its count."""
    losses = _losses(method, model, batch)
    return {name: (losses[name], count) for name, count in method.counts(batch).items() if name in losses}


def loses_otherwise(found: Mapping[str, tuple[float, float]], reference: Mapping[str, float]) -> str | None:
    """Whether each term, divided by its count, is what a slow reference says. found: as `measured`."""
    for name, expected in reference.items():
        if name not in found:
            return f"The term {name} is not among losses and counts."
        total, count = found[name]
        if not math.isclose(total / count, expected, rel_tol=ROUNDING):
            of = f"{total / count:.6g} nats, a sum over a count of {count:g}"
            return f"The loss {name} is {of}, and not {expected:.6g}."
    return None


@torch.no_grad()
def weighted_mean(seen: list[Any], model: Model, batch: Batch) -> float:
    """Σ weight · −log p(target) / Σ weight in float64, place by place. seen: the arguments with which the body was
    asked."""
    hidden_BTC = model.body(*seen[-1][0], **seen[-1][1]).hidden_BTC
    logits_BTV = model.heads["language_model"](hidden_BTC).double()
    total = weights = 0.0
    for row, place in torch.nonzero(batch.weights_BT).tolist():
        weight = float(batch.weights_BT[row, place])
        logits_V = logits_BTV[row, place]
        total += weight * float(logits_V.logsumexp(0) - logits_V[batch.targets_BT[row, place]])
        weights += weight
    return total / weights


def asks_for_more(config: MethodConfig, seen: list[Any], topology: str = DECODER) -> str | None:
    """Whether a body is asked for a visibility that the Config does not name, so that no refusal could. Documents are
    hidden from each other where the data says so, which is no method's own wish; padding hides nothing, and what an
    encoder has read is seen in every topology that has one."""
    for _, options in seen:
        kinds = (Visibility() & options["visibility"]).kinds()
        if more := kinds - config.asks(topology) - {Cross, Padded, SameDocument}:
            return f"It asks the body for {', '.join(sorted(k.__name__ for k in more))}, which asks() does not name."
    return None


def is_not_refused(config: MethodConfig, architecture: ArchitectureConfig) -> str | None:
    """Whether there is nothing that a body could lack."""
    if not config.asks(architecture.topology()):
        return f"asks() of {type(config).__name__} names no visibility, so that a body without it is not refused."
    if config.head not in architecture.heads():
        return f"It needs the head {config.head}, and its model has {', '.join(sorted(architecture.heads()))}."
    return None


def changes_what_is_no_text(batch: Batch, rows: Sequences, no_text: list[int]) -> str | None:
    """Of an objective that hides tokens where they stand (its targets are its rows): whether it learns or changes one
    that stands for no text, or changes one that it does not learn."""
    targets_BT = torch.from_numpy(rows.tokens_BS[:, : batch.targets_BT.shape[1]])
    if not torch.equal(targets_BT, batch.targets_BT):
        return None
    is_learned_BT, is_changed_BT = batch.weights_BT > 0, batch.inputs_BT != batch.targets_BT
    is_text_BT = ~torch.isin(batch.targets_BT, torch.tensor(no_text))
    for row, place in torch.nonzero(~is_text_BT & (is_learned_BT | is_changed_BT)).tolist():
        return f"Place {place} of row {row} is no text, a special token, and is chosen to be learned or changed."
    for row, place in torch.nonzero(is_changed_BT & ~is_learned_BT).tolist():
        return f"Place {place} of row {row} is changed and not learned."
    return None


def misses_rate(hits: float, trials: float, share: float, deviations: float = 5.0) -> str | None:
    """Whether hits in trials are too far from a share to be chance: five standard deviations of a binomial."""
    bound = deviations * math.sqrt(trials * share * (1 - share))
    if abs(hits - trials * share) <= bound:
        return None
    return f"The rate is {hits / trials:.4f} of {trials:.0f} tokens, and not {share:.4f} ± {bound / trials:.4f}."


class Asked:
    """Takes note of how a model's body is asked: its arguments, by place and by name."""

    def __init__(self, model: Model) -> None:
        self.seen: list[tuple[Any, Any]] = []
        self.handle = model.body.register_forward_pre_hook(self._note, with_kwargs=True)  # type: ignore[attr-defined]

    def _note(self, module: Any, arguments: Any, options: Any) -> None:
        self.seen.append((arguments, options))
