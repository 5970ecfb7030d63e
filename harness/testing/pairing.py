"""What an objective and a body promise together: each check takes a `Pairing` and returns one sentence that names the
fault, or None."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch

from harness.config import plugin_config
from harness.interfaces.architecture import ENCODER_DECODER, ArchitectureConfig
from harness.interfaces.batch import PADDING, Batch, Sequences
from harness.interfaces.corpus import DOCUMENTS
from harness.interfaces.likelihood import Row
from harness.interfaces.method import Method, MethodConfig
from harness.interfaces.tokenizer import vocabulary_with
from harness.interfaces.visibility import Causal, Full, NotBefore, Prefix, SameDocument, Visibility, Window
from harness.models.learners import learners, seen_in
from harness.models.model import Model
from harness.testing.architecture import NOTHING, OTHER_SHAPES, ROUNDING, limits_of
from harness.testing.models import far, stirred
from harness.testing.objective import LENGTH, TEXT, Asked, Letters, keyed, sequences, setting
from harness.testing.sees import reaches, sees

#: What says which places of a body see each other: not what stands beside them, nor what is padding.
AMONG_ITS_PLACES = (Causal, Full, NotBefore, Prefix, SameDocument, Window)
#: Rows of a batch; in each another place is changed.
ROWS = 24
#: Continuations that are scored, each behind this context.
CONTEXT, CONTINUATIONS = "A STONE FALLS", (" DOWN", " UP AND AWAY", " ASIDE", " INTO THE SEA")


@dataclass
class Pairing:
    """An objective and a body, both of tiny size. across: whether documents see each other."""

    config: MethodConfig
    architecture: ArchitectureConfig
    across: bool = False

    @cached_property
    def tokenizer(self) -> Any:
        return Letters()

    @cached_property
    def extra(self) -> Any:
        return setting(self.config, self.tokenizer).extra

    @cached_property
    def method(self) -> Method:
        teacher = self._built(seed=1) if self.config.leans_on else None
        topology = self.architecture.topology()
        told = setting(self.config, self.tokenizer, self.across, topology=topology)
        method: Method = self.config.build(replace(told, frozen=lambda role: teacher))
        return method

    @cached_property
    def model(self) -> Model:
        """What learns by what it has seen has seen the batch."""
        model = self._built()
        for learner in learners(model).values():
            learner.learn(seen_in(self.method, [self.batch]))
        return model

    def _built(self, seed: int = 0) -> Model:
        return stirred(self.architecture, seed, vocabulary_with(self.tokenizer.size, self.extra))

    @cached_property
    def rows(self) -> Sequences:
        return sequences(self.config, rows=ROWS)

    @cached_property
    def batch(self) -> Batch:
        return self.method.prepare(self.rows, keyed)

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        return self.method.losses(self.model, batch)


@torch.no_grad()
def leaks(pairing: Pairing) -> str | None:
    """Whether a place moves when a token is changed that it must not see, under what the objective asks the body for
    in its own batch: later places, other documents. In row b the token of place 5·b is changed."""
    with asked(pairing.model) as calls:
        pairing.losses(pairing.batch)
    for arguments, options in calls:
        if arguments and isinstance(arguments[0], torch.Tensor) and (fault := _leak(pairing, arguments[0], options)):
            return fault
    return None


def _leak(pairing: Pairing, inputs_BT: torch.Tensor, options: dict[str, Any]) -> str | None:
    rows, places = inputs_BT.shape
    row_B = torch.arange(rows)
    place_B = row_B * 5 % places
    changed_BT = inputs_BT.clone()
    changed_BT[row_B, place_B] = (changed_BT[row_B, place_B] + TEXT // 2) % TEXT
    body: Any = pairing.model.body
    moved_BQ = far(*(body(given, **options).hidden_BTC for given in (changed_BT, inputs_BT)))
    conditions = (Visibility() & options["visibility"]).conditions
    own = Visibility(tuple(condition for condition in conditions if isinstance(condition, AMONG_ITS_PLACES)))
    may_BQ = reaches(sees(own, rows, places), limits_of(pairing.architecture))[row_B, :, place_B]
    for row, place in torch.nonzero(~may_BQ & (moved_BQ > ROUNDING)).tolist():
        return (
            f"A leak under {' & '.join(sorted(kind.__name__ for kind in own.kinds()))}, in a batch of the objective: "
            f"place {place} moves by {moved_BQ[row, place]:.1e} of a channel's size when the token of place "
            f"{int(place_B[row])} is changed, which it must not see (row {row})."
        )
    for row in torch.nonzero(~(moved_BQ[row_B, place_B] > NOTHING)).flatten().tolist():
        return f"Blindness in a batch of the objective: place {int(place_B[row])} does not see itself (row {row})."
    return None


@torch.no_grad()
def sees_what_it_foretells(pairing: Pairing) -> str | None:
    """Whether hidden states depend on the very tokens that are learned from them. Some may: mlm shows a few of those
    that it learns, and what an encoder reads may hold most of what is written (BART). In row b token 7·b is changed,
    before the batch is made."""
    if pairing.architecture.topology() == ENCODER_DECODER:
        return None
    rows = pairing.rows
    changed = rows.rows(slice(None))
    changed.tokens_BS = rows.tokens_BS.copy()
    for row in range(ROWS):
        at = row * 7 % LENGTH
        is_text = rows.tokens_BS[row, at] < TEXT and (rows.parts_BS is None or rows.parts_BS[row, at] != PADDING)
        if is_text:
            changed.tokens_BS[row, at] = (rows.tokens_BS[row, at] + TEXT // 2) % TEXT
    batches = [pairing.batch, pairing.method.prepare(changed, keyed)]
    if batches[0].targets_BT.shape != batches[1].targets_BT.shape:
        return None
    is_other_BT = (batches[0].targets_BT != batches[1].targets_BT) & (batches[0].weights_BT > 0)
    found = []
    for batch in batches:
        with asked(pairing.model) as calls:
            pairing.losses(batch)
        arguments, options = calls[-1]
        found.append(pairing.model.body(*arguments, **options).hidden_BTC)
    if found[0].shape != found[1].shape or found[0].shape[:2] != is_other_BT.shape:
        return None
    seen, learned = int((is_other_BT & (far(*found) > ROUNDING)).sum()), int(is_other_BT.sum())
    if seen <= learned / 2:
        return None
    return (
        f"What is foretold is seen: of {learned} tokens that were changed, {seen} move the hidden states from which "
        "they themselves are learned."
    )


def leaves_without_gradient(pairing: Pairing) -> str | None:
    """Whether the objective's loss is not finite, or gives some parameter no gradient, or one that is not finite."""
    model, counts = pairing.model, pairing.method.counts(pairing.batch)
    model.zero_grad(set_to_none=True)
    told = getattr(pairing.method, "told", ())
    terms = {name: term / counts.get(name, 1.0) for name, term in pairing.losses(pairing.batch).items()}
    for name, term in terms.items():
        if not term.isfinite():
            return f"The loss {name} is {float(term.detach())}."
    torch.stack([term.double() for name, term in terms.items() if name not in told]).sum().backward()
    for name, parameter in model.named_parameters():
        gradient = parameter.grad
        if gradient is None or not gradient.any():
            return f"The parameter {name} gets no gradient from the objective: nothing that it learns depends on it."
        if not gradient.isfinite().all():
            return f"The gradient of the parameter {name} is not finite."
    return None


def scores_wrongly(pairing: Pairing) -> str | None:
    """Whether four continuations, scored as the objective's models are, have no finite log-likelihood, or another one
    in another batch; and whether what is written depends on the batch, where the model writes."""
    if pairing.config.likelihood is None:
        return None
    scorers = [scorer(pairing, size) for size in (1, len(CONTINUATIONS))]
    alone, together = ([score for score, _ in each.loglikelihood(_asked())] for each in scorers)
    for text, one, other in zip(CONTINUATIONS, alone, together, strict=True):
        if not math.isfinite(one) or one > 0:
            return f"The log-likelihood of {text!r} behind {CONTEXT!r} is {one}."
        if not math.isclose(one, other, rel_tol=OTHER_SHAPES):
            return f"The log-likelihood of {text!r} is {one:.6g} alone and {other:.6g} beside others."
    if not (scorers[0].writes and pairing.config.writes()):
        return None
    alone_texts, together_texts = (each.generate_until(_written()) for each in scorers)
    for prompt, first, second in zip(_prompts(), alone_texts, together_texts, strict=True):
        if first != second:
            return f"Behind {prompt!r} it writes {first!r} alone and {second!r} beside others."
    return None


@torch.no_grad()
def scores_otherwise(pairing: Pairing) -> str | None:
    """Whether what a continuation is scored as is the negative of no term of the loss, of the very rows that the
    likelihood asks, its targets weighing one."""
    scorers = scorer(pairing)
    for text, (score, _) in zip(CONTINUATIONS, scorers.loglikelihood(_asked()), strict=True):
        context, continuation = (pairing.tokenizer.encode(of) for of in (CONTEXT, text))
        rows = scorers.likelihood.rows(context, continuation)
        each = [pairing.losses(_as_batch(row)) for row in rows]
        terms = {name: sum(float(terms[name]) for terms in each) for name in each[0]}
        if not any(math.isclose(score, -term, rel_tol=OTHER_SHAPES) for term in terms.values()):
            told = ", ".join(f"{name} {term:.6g}" for name, term in terms.items())
            return f"The log-likelihood of {text!r} is {score:.6g}, and the loss of the same rows {told} nats."
    return None


def _as_batch(row: Row) -> Batch:
    """A question as a batch of one row, as `harness.models.rewriting` has them."""
    targets_BT, weights_BT = torch.zeros(2, 1, len(row.inputs))
    targets_BT[0, list(row.places)] = torch.tensor(row.targets).float()
    weights_BT[0, list(row.places)] = 1.0
    batch = Batch(torch.tensor([row.inputs]), targets_BT.long(), weights_BT, torch.zeros(1, dtype=torch.int64))
    if row.source is not None:
        batch.extra = {"source_BS": torch.tensor([row.source])}
        batch.extra["sources_BS"] = torch.zeros_like(batch.extra["source_BS"])
    elif row.prefix:
        batch.extra = {"prefix_B": torch.tensor([row.prefix])}
    return batch


def scorer(pairing: Pairing, batch_size: int = 4) -> Any:
    """The model under lm-eval's interface, as it is scored after such a run."""
    from harness.scoring.encoder import Encoder
    from harness.scoring.model import LanguageModel

    return LanguageModel(
        pairing.model,
        Encoder(pairing.tokenizer),
        LENGTH,
        batch_size,
        likelihood=plugin_config("likelihood", pairing.config.likelihood, "likelihood"),
        extra=pairing.extra,
    )


def _asked() -> list[Any]:
    from lm_eval.api.instance import Instance

    return [Instance("loglikelihood", {}, (CONTEXT, text), number) for number, text in enumerate(CONTINUATIONS)]


def _prompts() -> list[str]:
    return [CONTEXT + text for text in CONTINUATIONS]


def _written() -> list[Any]:
    from lm_eval.api.instance import Instance

    settings = {"until": [], "max_gen_toks": 4}
    return [Instance("generate_until", {}, (prompt, settings), number) for number, prompt in enumerate(_prompts())]


@contextmanager
def asked(model: Model) -> Iterator[list[tuple[Any, Any]]]:
    """The arguments, by place and by name, of each time that a model's body is asked meanwhile."""
    noted = Asked(model)
    try:
        yield noted.seen
    finally:
        noted.handle.remove()


#: What every pairing is held to, in order.
CHECKS = (leaks, sees_what_it_foretells, leaves_without_gradient, scores_wrongly)


def fault_of(pairing: Pairing, checks: Sequence[Any] = CHECKS) -> str | None:
    """The first fault that is found."""
    return next((fault for check in checks if (fault := check(pairing))), None)


def apart(config: MethodConfig, architecture: ArchitectureConfig) -> bool:
    """Whether documents can be hidden from each other."""
    return config.reads == DOCUMENTS and SameDocument in architecture.visibilities
