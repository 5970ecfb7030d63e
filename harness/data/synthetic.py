"""Problems of known difficulty, as text: what a small model can learn from few documents and be examined on.

A problem is a prompt and its one right answer; `render` is how both stand in a training document, so an
examination asks in exactly the form that was trained::

    copy: q w e r = q w e r
    induction: t q m z r q m
    addition: 12 + 39 = 51
    brackets: ( [ { } = ] )
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

LETTERS = "abcdefghijklmnopqrstuvwxyz"
CLOSER = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True)
class Problem:
    """prompt: the question, without a space at its end. answer: without a space at its beginning."""

    prompt: str
    answer: str
    kind: str
    difficulty: int


def copy(rng: random.Random, length: int) -> Problem:
    """Repeat `length` random letters."""
    letters = " ".join(rng.choice(LETTERS) for _ in range(length))
    return Problem(f"copy: {letters} =", letters, "copy", length)


def induction(rng: random.Random, length: int) -> Problem:
    """After `length` ≥ 2 different letters one comes again: which letter followed it? ([A][B] … [A] → [B],
    Olsson et al. 2022.)"""
    letters = rng.sample(LETTERS, length)
    place = rng.randrange(length - 1)
    return Problem(f"induction: {' '.join(letters)} {letters[place]}", letters[place + 1], "induction", length)


def addition(rng: random.Random, digits: int) -> Problem:
    """The sum of two numbers of so many digits each."""
    lowest, end = (0 if digits == 1 else 10 ** (digits - 1)), 10**digits
    a, b = rng.randrange(lowest, end), rng.randrange(lowest, end)
    return Problem(f"addition: {a} + {b} =", str(a + b), "addition", digits)


def brackets(rng: random.Random, depth: int) -> Problem:
    """Close, in order, the `depth` brackets that are still open; after each there may stand a closed pair."""
    shown, waiting = [], []
    for _ in range(depth):
        bracket = rng.choice("([{")
        shown.append(bracket)
        waiting.append(CLOSER[bracket])
        if rng.random() < 0.5:
            pair = rng.choice("([{")
            shown += [pair, CLOSER[pair]]
    return Problem(f"brackets: {' '.join(shown)} =", " ".join(reversed(waiting)), "brackets", depth)


KINDS: dict[str, Callable[[random.Random, int], Problem]] = {
    "copy": copy,
    "induction": induction,
    "addition": addition,
    "brackets": brackets,
}

#: The least and the greatest difficulty of each kind.
DIFFICULTIES = {"copy": (1, 64), "induction": (2, len(LETTERS)), "addition": (1, 32), "brackets": (1, 64)}


def make(kind: str, rng: random.Random, difficulty: int) -> Problem:
    """A problem of one of the `KINDS`, as hard as said (`DIFFICULTIES` has the bounds)."""
    lowest, highest = DIFFICULTIES[kind]
    assert lowest <= difficulty <= highest, f"{kind} of difficulty {difficulty}"
    return KINDS[kind](rng, difficulty)


def render(problem: Problem) -> str:
    """The problem as a training document has it: one line, the answer one space after the prompt."""
    return f"{problem.prompt} {problem.answer}\n"


def document(seed: int, index: int, difficulty: Mapping[str, Sequence[int]], problems: int) -> str:
    """Document `index` of a corpus: so many problems. difficulty: kinds to ask, each with its (least, greatest)."""
    rng = random.Random(f"{seed}/{index}")
    kinds = sorted(difficulty)
    drawn = ((kind := rng.choice(kinds), rng.randint(*difficulty[kind])) for _ in range(problems))
    return "".join(render(make(kind, rng, level)) for kind, level in drawn)
