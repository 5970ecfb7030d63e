"""What every alignment promises: sums and counts that add up, chance that places key, better answers made likelier and
worse ones less likely, and nothing learned of what nobody answered."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch

from harness.interfaces.architecture import ArchitectureConfig
from harness.interfaces.batch import ANSWER, CONTEXT, PADDING, Batch, Sequences
from harness.interfaces.corpus import PREFERENCES, Example, Turn, example
from harness.interfaces.method import Method, MethodConfig, Setting
from harness.models.model import Model
from harness.testing import parts
from harness.testing.check import skip, sound
from harness.testing.models import stirred
from harness.testing.objective import (
    LENGTH,
    TEXT,
    Asked,
    Letters,
    adds_up_wrongly,
    asks_for_more,
    depends_on_rows,
    draws_by_chance,
    is_not_refused,
    loses_otherwise,
    made,
    measured,
    setting,
)

#: Pairs, or prompts.
ROWS = 8

#: Row of a batch; how many tokens stand before an answer; the answer's own; whether it is to be likelier.
Judged = tuple[int, int, list[int], bool]


def preferences(rows: int = ROWS, seed: int = 0) -> Sequences:
    """Prompts, each with a better answer and a worse one, which differ from their first token on."""
    rng = np.random.default_rng(seed)
    lengths_BP = np.stack([rng.integers(2, most, rows) for most in (8, 10, 10)], axis=1)
    tokens_BS, parts_BS = _empty(rows)
    for row, lengths_P in enumerate(lengths_BP):
        parts_BS[row, : lengths_P.sum()] = np.repeat([CONTEXT, ANSWER, ANSWER + 1], lengths_P)
        own = rng.permutation(TEXT - 1)[: lengths_P.sum()] + 1
        tokens_BS[row, : len(own)] = own
    return _numbered(tokens_BS, parts_BS)


def prompts(room: int, rows: int = ROWS, seed: int = 0) -> Sequences:
    """Prompts of some tokens each, with at least `room` tokens left behind them."""
    rng = np.random.default_rng(seed)
    tokens_BS, parts_BS = _empty(rows)
    for row, length in enumerate(rng.integers(2, LENGTH - room, rows).tolist()):
        tokens_BS[row, :length], parts_BS[row, :length] = rng.integers(1, TEXT, length), CONTEXT
    return _numbered(tokens_BS, parts_BS)


def _empty(rows: int) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((rows, LENGTH), np.int64), np.full((rows, LENGTH), PADDING, np.uint8)


def _numbered(tokens_BS: np.ndarray, parts_BS: np.ndarray) -> Sequences:
    numbers_B = np.arange(len(tokens_BS))
    is_padding_BS = (parts_BS == PADDING).astype(np.int64)
    return Sequences(tokens_BS, is_padding_BS, 5 + 3 * numbers_B, parts_BS, numbers_B, np.zeros_like(numbers_B))


def answer(rows: Sequences, row: int, number: int) -> tuple[list[int], list[int]]:
    """The tokens of a prompt, and of one of its answers: 0, the better, or 1."""
    assert rows.parts_BS is not None
    own_S, parts_S = rows.tokens_BS[row], rows.parts_BS[row]
    return own_S[parts_S == CONTEXT].tolist(), own_S[parts_S == ANSWER + number].tolist()


def reference_of(sources_B: np.ndarray, numbers_B: np.ndarray) -> np.ndarray:
    """Log-probabilities of answers under a reference, which the numbers of their pairs say: logp_BA, nats."""
    return np.stack([-20.0 - numbers_B % 3, -21.0 + numbers_B % 5], axis=1)


def collects_by_chance(method: Method, model: Model, rows: Sequences) -> str | None:
    """Whether what is generated depends on anything but the generators that it is given."""
    found = []
    for seed in (0, 1):
        torch.manual_seed(seed), np.random.seed(seed), random.seed(seed)
        found.append(made(method, model, rows))
    first, again = found
    for name in ("inputs_BT", "targets_BT", "weights_BT"):
        if not torch.equal(getattr(first, name), getattr(again, name)):
            return f"Collected twice, {name} differs: draw from the generators that are given and from no other."
    return None


def counts_rows_wrongly(config: MethodConfig, batch: Batch, places: int) -> str | None:
    """Whether the model sees other rows of each place than `rows()` says, by which tokens and FLOPs are counted."""
    if len(batch.inputs_BT) == config.rows() * places:
        return None
    return (
        f"rows() of {type(config).__name__} is {config.rows()}, and of {places} places the model sees "
        f"{len(batch.inputs_BT)} rows."
    )


def pulls(method: Method, model: Model, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """hidden_BTC of the batch's inputs, and what the loss pulls them towards: the negative of its gradient by each."""
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def moved(module: Any, arguments: Any, output: Any) -> Any:
        shift_BTC = torch.zeros_like(output.hidden_BTC, requires_grad=True)
        seen.append((output.hidden_BTC.detach(), shift_BTC))
        return replace(output, hidden_BTC=output.hidden_BTC + shift_BTC)

    body: Any = model.body
    handle = body.register_forward_hook(moved)
    try:
        counts, told = method.counts(batch), getattr(method, "told", ())
        terms = method.losses(model, batch)
        torch.stack([term / counts.get(name, 1.0) for name, term in terms.items() if name not in told]).sum().backward()
    finally:
        handle.remove()
        model.zero_grad(set_to_none=True)
    assert len(seen) == 1, f"The body is asked {len(seen)} times of a batch, and not of all rows at once."
    hidden_BTC, shift_BTC = seen[0]
    return hidden_BTC, torch.zeros_like(hidden_BTC) if shift_BTC.grad is None else -shift_BTC.grad


def worth(model: Model, head: str, hidden_TC: torch.Tensor, before: int, own: Sequence[int]) -> torch.Tensor:
    """What a model makes of an answer behind so many tokens: its log-probability, or its reward at the last token."""
    if head != "language_model":
        return model.heads[head](hidden_TC[before + len(own) - 1]).double()
    logp_TV = model.heads[head](hidden_TC[before - 1 : before + len(own) - 1]).double().log_softmax(-1)
    return logp_TV[torch.arange(len(own)), torch.tensor(own)].sum()


def moves_answers_wrongly(
    model: Model, head: str, hidden_BTC: torch.Tensor, pulls_BTC: torch.Tensor, judged: Sequence[Judged]
) -> str | None:
    """Whether an answer that is to be likelier is pulled down, or one that is to be less likely up; by its own hidden
    states alone, since through the weights all answers pull at each other."""
    for row, before, own, better in judged:
        hidden_TC = hidden_BTC[row].clone().requires_grad_()
        (direction_TC,) = torch.autograd.grad(worth(model, head, hidden_TC, before, own), hidden_TC)
        rises = float((direction_TC * pulls_BTC[row]).sum())
        if rises == 0 or (rises > 0) != better:
            told = "stays" if rises == 0 else "is made likelier" if rises > 0 else "is made less likely"
            return f"The {'better' if better else 'worse'} answer in row {row} of the batch {told}."
    return None


def learns_what_nobody_answered(pulls_BTC: torch.Tensor, judged: Sequence[Judged]) -> str | None:
    """Whether the loss pulls at places that foretell the prompt, or that stand behind the answer's last token."""
    for row, before, own, _ in judged:
        is_pulled_T = pulls_BTC[row].abs().amax(-1) > 0
        for place in torch.nonzero(is_pulled_T).flatten().tolist():
            if not before - 1 <= place < before + len(own):
                what = "the prompt" if place < before else "what stands behind the answer"
                return f"Place {place} of row {row} is learned: it foretells {what}."
    return None


class AlignmentKit:
    """Subclass it and give `config`, an `AlignmentConfig`; of one that generates, `judged` as well, which says what of
    its completions is better than others.

        class TestMine(AlignmentKit):
            config = MyConfig(name="mine")

    What a kit cannot know of an alignment, three methods tell it: `reference`, `judged`, `architecture`.
    """

    config: ClassVar[Any]

    def architecture(self) -> ArchitectureConfig:
        """The tiny body that it is tried on; by default a transformer, which needs the first-party plugins."""
        return parts.in_transformer(position="none", head=self.config.head)

    def reference(self, method: Method, model: Model, rows: Sequences, batch: Batch) -> Mapping[str, float] | None:
        """Terms of the loss, slow and obvious, as means; None: it has no reference. rows: what the batch is made of.
        Of a pair `answer` gives the tokens, and `reference_of` what its reference makes of them."""
        return None

    def judged(self, rows: Sequences, batch: Batch) -> list[Judged]:
        """Rows of the batch that are to be likelier, or less likely; by default those that show a pair's answer."""
        found = []
        for pair in range(len(rows.places_B)):
            for number in (0, 1):
                before, own = answer(rows, pair, number)
                shown = torch.tensor([*before, *own[:-1]])
                (alike,) = (batch.inputs_BT[:, : len(shown)] == shown).all(1).nonzero(as_tuple=True)
                assert len(alike), f"No row of the batch shows a pair's {('better', 'worse')[number]} answer."
                found.append((int(alike[0]), len(before), own, number == 0))
        return found

    def rows(self) -> Sequences:
        return preferences() if self.config.reads == PREFERENCES else prompts(self.config.room())

    def method(self) -> Method:
        frozen = self.model(seed=1)
        told: Setting = replace(
            setting(self.config, Letters()),
            frozen=lambda role: frozen,
            log_probabilities=lambda role: reference_of,
            examples=lambda sources, numbers: [_example(self.rows(), number) for number in numbers],
        )
        method: Method = self.config.build(told)
        return method

    def model(self, seed: int = 0) -> Model:
        return stirred(self.architecture(), seed, vocabulary=Letters.size)

    def test_chance_comes_from_the_places_alone(self) -> None:
        sound(draws_by_chance(self.method(), self.rows()))

    def test_what_is_generated_comes_from_its_generators_alone(self) -> None:
        if not self.config.generates:
            skip("it generates nothing")
        sound(collects_by_chance(self.method(), self.model(), self.rows()))

    def test_a_row_does_not_depend_on_others(self) -> None:
        sound(depends_on_rows(self.method(), self.rows()))

    def test_micro_batches_add_up(self) -> None:
        sound(adds_up_wrongly(self.method(), self.model(), self.rows()))

    def test_rows_are_as_told(self) -> None:
        rows = self.rows()
        sound(counts_rows_wrongly(self.config, made(self.method(), self.model(), rows), len(rows.places_B)))

    def test_the_loss_is_what_a_slow_reference_says(self) -> None:
        method, model, rows = self.method(), self.model(), self.rows()
        batch = made(method, model, rows)
        with torch.no_grad():
            expected = self.reference(method, model, rows, batch)
        if expected is None:
            skip("it gives no slow reference")
            return
        sound(loses_otherwise(measured(method, model, batch), expected))

    def test_better_answers_are_made_likelier_and_worse_ones_less_likely(self) -> None:
        method, model, rows = self.method(), self.model(), self.rows()
        batch = made(method, model, rows)
        judged = self.judged(rows, batch)
        sound(moves_answers_wrongly(model, self.config.head, *pulls(method, model, batch), judged))

    def test_answers_alone_are_learned(self) -> None:
        method, model, rows = self.method(), self.model(), self.rows()
        batch = made(method, model, rows)
        sound(learns_what_nobody_answered(pulls(method, model, batch)[1], self.judged(rows, batch)))

    def test_it_asks_for_what_it_says(self) -> None:
        model, method = self.model(), self.method()
        batch = made(method, model, self.rows())
        asked = Asked(model)
        method.losses(model, batch)
        sound(asks_for_more(self.config, asked.seen))
        sound(is_not_refused(self.config, self.architecture()))


def _example(rows: Sequences, number: int) -> Example:
    assert rows.parts_BS is not None
    tokens = rows.tokens_BS[number][rows.parts_BS[number] == CONTEXT]
    return example(f"prompt {number}", [Turn("user", Letters().decode(tokens.tolist()))])
