"""What every likelihood promises: rows that a model can see, each token of a continuation asked for once, none shown
where it is asked for, and probabilities that add up to one, where they are called so."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from harness.interfaces.architecture import DECODER, ENCODER_DECODER, ArchitectureConfig
from harness.interfaces.likelihood import Asked, Likelihood, LikelihoodConfig, Row
from harness.interfaces.tokenizer import vocabulary_with
from harness.interfaces.visibility import Full, Prefix
from harness.testing import parts
from harness.testing.check import skip, sound
from harness.testing.models import stirred
from harness.testing.objective import Letters

#: Tokens that a row shows at most, in what is tried.
LENGTH = 14
#: Tokens of text that continuations are made of, and others of contexts; none of them is a space.
ASKED, BEFORE = range(2, 30), range(30, 58)
#: Tokens of the continuations whose probabilities are added up.
SUMMED = 2

Targets = Callable[[Sequence[int]], Sequence[int]]


class Few(Letters):
    """A tokenizer of three tokens of text, so that all texts of a length can be asked for."""

    size, end = 4, 3


@dataclass
class Subject:
    """A likelihood, built for rows of `LENGTH`. tokens: names of its method's own tokens."""

    config: LikelihoodConfig
    tokens: Sequence[str] = ()
    topology: str = DECODER
    tokenizer: Any = field(default_factory=Letters)

    @property
    def extra(self) -> dict[str, int]:
        return {name: self.tokenizer.size + number for number, name in enumerate(self.tokens)}

    @property
    def vocabulary(self) -> int:
        return vocabulary_with(self.tokenizer.size, self.extra)

    def built(self) -> Likelihood:
        asked = Asked(tokenizer=self.tokenizer, length=LENGTH, extra=self.extra, topology=self.topology)
        return self.config.build(asked)


def questions(likelihood: Likelihood) -> Iterator[tuple[list[int], list[int]]]:
    """Contexts from one token to twice as many as can be seen, with continuations of one token up to the most."""
    for before, asked in itertools.product((1, 2, LENGTH, 2 * LENGTH), sorted({1, 2, likelihood.room})):
        yield list(BEFORE[:before]), list(ASKED[:asked])


def breaks_bounds(of: Subject) -> str | None:
    """Whether a row is longer than the model sees, or asks at places or for tokens that there are not."""
    likelihood = of.built()
    if not 1 <= likelihood.room <= LENGTH:
        return f"Its room is {likelihood.room} tokens, of a model that sees {LENGTH}."
    for question in questions(likelihood):
        for row in likelihood.rows(*question):
            if fault := _breaks_bounds(row, of.vocabulary):
                before, asked = map(len, question)
                return f"Asked for {asked} tokens behind a context of {before}, {fault}."
    return None


def _breaks_bounds(row: Row, vocabulary: int) -> str | None:
    shown, read = len(row.inputs), len(row.source or ())
    if not shown:
        return "a row shows nothing"
    if max(shown, read) > LENGTH:
        return f"a row shows {max(shown, read)} tokens to a model that sees {LENGTH}"
    if any(not 0 <= place < shown for place in row.places) or not 0 <= row.prefix <= shown:
        return f"a row of {shown} tokens asks at places {list(row.places)}, with a prefix of {row.prefix}"
    if len(row.places) != len(row.targets) or not len(row.targets):
        return f"a row asks for {len(row.targets)} tokens at {len(row.places)} places"
    if strange := [token for token in (*row.inputs, *(row.source or ())) if not 0 <= token < vocabulary]:
        return f"a row shows token {strange[0]}, where the model knows {vocabulary}"
    return None


def asks_otherwise(of: Subject, targets: Targets) -> str | None:
    """Whether it asks for anything but each token of the continuation once. targets: of a continuation."""
    likelihood = of.built()
    for context, continuation in questions(likelihood):
        rows = likelihood.rows(context, continuation)
        found = [target for row in rows for target in row.targets]
        if found != list(targets(continuation)):
            return f"Of the continuation {continuation} it asks for {found} and not for {list(targets(continuation))}."
        if weights := [row.weight for row in rows if row.weight != 1.0]:
            return f"What a row asks for counts {weights[0]:g} times and not once."
    return None


def samples_wrongly(of: Subject) -> str | None:
    """Whether what is asked of a piece of a long text, where only some of its tokens are, is not asked as `rows` asks
    for it, or does not count for about as many as there are."""
    likelihood = of.built()
    rolling = getattr(likelihood, "rolling", likelihood.rows)
    for context, continuation in questions(likelihood):
        all_asked = [_once(row) for row in likelihood.rows(context, continuation)]
        rows = rolling(context, continuation)
        if not all(_once(row) in all_asked for row in rows):
            return f"rolling asks of the continuation {continuation} what rows does not ask."
        counted, most = sum(row.weight * len(row.targets) for row in rows), max(row.weight for row in rows)
        if abs(counted - len(continuation)) >= max(most, 1.0):
            return f"Of a continuation of {len(continuation)} tokens rolling counts {counted:g}."
    return None


def _once(row: Row) -> tuple[Any, ...]:
    return tuple(row.inputs), tuple(row.places), tuple(row.targets), row.source and tuple(row.source), row.prefix


def shows_what_it_asks(of: Subject) -> str | None:
    """Whether what is seen from the place where a token is asked for depends on that token."""
    likelihood = of.built()
    context = list(BEFORE[:3])
    continuation = list(ASKED[: min(4, likelihood.room)])
    for number, token in enumerate(continuation):
        changed = [ASKED[-1] if at == number else other for at, other in enumerate(continuation)]
        given, other = (_seen(of, likelihood.rows(context, of_it)) for of_it in (continuation, changed))
        if given[number] != other[number]:
            return (
                f"Of the continuation {continuation} token {number}, {token}, is shown where it is asked for: what is "
                f"seen there is {given[number][0]}, and with another token {other[number][0]}."
            )
    return None


def _seen(of: Subject, rows: Sequence[Row]) -> list[tuple[Any, ...]]:
    """What is seen from each place that is asked: of the row's own inputs, and of what an encoder reads."""
    found = []
    for row in rows:
        for place in row.places:
            end = len(row.inputs) if of.config.sees is Full else place + 1
            end = max(end, row.prefix) if of.config.sees is Prefix else end
            found.append((list(row.inputs[:end]), list(row.source or ())))
    return found


def cuts_the_wrong_end(of: Subject) -> str | None:
    """Whether a context that is too long loses anything but its beginning."""
    likelihood = of.built()
    for asked in sorted({1, likelihood.room}):
        continuation, context = list(ASKED[:asked]), list(BEFORE[:LENGTH])
        rows = [likelihood.rows([*begins, *context], continuation) for begins in (BEFORE[-3:], ASKED[-3:])]
        if rows[0] != rows[1]:
            return f"Of a context of {LENGTH + 3} tokens the first ones are not left out, of {LENGTH} that can be seen."
    return None


def writes_elsewhere(of: Subject) -> str | None:
    """Whether it writes from where it does not ask: what is seen where token n of a continuation is asked for is its
    opening with the n tokens before."""
    likelihood = of.built()
    context, continuation = list(BEFORE[:3]), list(ASKED[:3])
    opening = likelihood.opening(context)  # type: ignore[attr-defined]
    (row,) = likelihood.rows(context, continuation)
    for number, place in enumerate(row.places):
        asked = (list(row.inputs[: place + 1]), row.source and list(row.source), row.prefix)
        goes_on = [*opening.inputs, *continuation[:number]]
        written = (goes_on, opening.source and list(opening.source), opening.prefix)
        if asked != written:
            return f"Token {number} of a continuation is asked for behind {asked[0]}, and written behind {goes_on}."
    return None


def does_not_add_up(of: Subject, architecture: ArchitectureConfig) -> str | None:
    """Whether the probabilities of all continuations of two tokens do not add up to one, in a vocabulary of a few."""
    from harness.scoring.encoder import Encoder
    from harness.scoring.model import LanguageModel

    model = stirred(architecture, vocabulary=of.vocabulary)
    scorer = LanguageModel(model, Encoder(of.tokenizer), LENGTH, 64, likelihood=of.config, extra=of.extra)
    context = [0, 2, 1]
    asked = itertools.product(range(of.vocabulary), repeat=SUMMED)
    answers = scorer._loglikelihood_tokens([(None, context, list(continuation)) for continuation in asked])
    total = math.fsum(math.exp(logp) for logp, _ in answers)
    if math.isclose(total, 1.0, rel_tol=1e-4):
        return None
    return (
        f"The probabilities of all {of.vocabulary**SUMMED} continuations of {SUMMED} tokens add up to {total:.4f}: say "
        "proper = False, or ask for each token given those before it alone."
    )


class LikelihoodKit:
    """Subclass it and give `config`, a `LikelihoodConfig`; where it needs them, the names of its method's own tokens;
    and ENCODER_DECODER, if it reads.

        class TestMine(LikelihoodKit):
            config = MyConfig(name="mine")
    """

    config: ClassVar[Any]
    tokens: ClassVar[Sequence[str]] = ()
    topology: ClassVar[str] = DECODER

    def targets(self, continuation: Sequence[int]) -> Sequence[int]:
        """What is asked for: tokens, or classes."""
        return continuation

    def architecture(self) -> ArchitectureConfig:
        """The tiny body whose probabilities are added up; the default needs the first-party plugins."""
        encodes = {"name": "encoder_decoder"} if self.topology == ENCODER_DECODER else {}
        return parts.in_transformer(position="none", head=self.config.head, **encodes)

    def subject(self, **more: Any) -> Subject:
        return Subject(self.config, self.tokens, self.topology, **more)

    def test_rows_stay_within_what_is_seen(self) -> None:
        sound(breaks_bounds(self.subject()))

    def test_each_token_is_asked_for_once(self) -> None:
        sound(asks_otherwise(self.subject(), self.targets))

    def test_some_tokens_stand_for_all(self) -> None:
        if not hasattr(self.subject().built(), "rolling"):
            skip("every token of a text is asked for")
        sound(samples_wrongly(self.subject()))

    def test_what_is_asked_is_not_shown(self) -> None:
        sound(shows_what_it_asks(self.subject()))

    def test_a_long_context_loses_its_beginning(self) -> None:
        sound(cuts_the_wrong_end(self.subject()))

    def test_it_writes_from_where_it_asks(self) -> None:
        if not hasattr(self.subject().built(), "opening"):
            skip("its models do not write")
        sound(writes_elsewhere(self.subject()))

    def test_probabilities_add_up_to_one(self) -> None:
        if not self.config.proper:
            skip("its numbers are no probabilities of texts")
        sound(does_not_add_up(self.subject(tokenizer=Few()), self.architecture()))
