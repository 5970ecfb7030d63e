"""Continuations of code that are almost right: of about the same length and letters as the real ones."""

from __future__ import annotations

import keyword
import random
import re
from collections.abc import Sequence

NAME = re.compile(r"(?<![\w'\"])[A-Za-z_]\w*")
#: Characters by which a line from elsewhere may be longer or shorter than the one whose place it takes.
TOLERANCE = 4


def corrupted(text: str, prompt: str, elsewhere: Sequence[str], rng: random.Random, way: str = "any") -> str | None:
    """The text with two of its lines, or two names, exchanged, or with one line from elsewhere, as `way` says (lines,
    names, line), or whichever the coin says of those that change it (any); None where none does.

    prompt: what stands before the text and lends its names. elsewhere: lines of other functions, stripped.
    """
    ways = {
        "lines": _lines_exchanged(text, rng),
        "names": _names_exchanged(text, prompt, rng),
        "line": _line_replaced(text, elsewhere, rng),
    }
    found = [made for name, made in ways.items() if way in ("any", name) and made is not None and made != text]
    return rng.choice(found) if found else None


def _lines_exchanged(text: str, rng: random.Random) -> str | None:
    """Two lines that say something change places, each keeping the indentation of its place."""
    lines = text.split("\n")
    full = [number for number, line in enumerate(lines) if line.strip()]
    if len(full) < 2:
        return None
    one, other = rng.sample(full, 2)
    said_one, said_other = lines[one].strip(), lines[other].strip()
    lines[one], lines[other] = _indented_as(lines[one], said_other), _indented_as(lines[other], said_one)
    return "\n".join(lines)


def _names_exchanged(text: str, prompt: str, rng: random.Random) -> str | None:
    """Wherever one name stands in the text there stands another one of text or prompt, and the other way round."""
    own, known = _names(text), _names(prompt + text)
    if not own or len(known) < 2:
        return None
    one = rng.choice(own)
    other = rng.choice([name for name in known if name != one])
    exchange = {one: other, other: one}
    return NAME.sub(lambda match: exchange.get(match[0], match[0]), text)


def _line_replaced(text: str, elsewhere: Sequence[str], rng: random.Random) -> str | None:
    """A line of about the same length from elsewhere takes the place of one."""
    lines = text.split("\n")
    number = rng.choice([number for number, line in enumerate(lines) if line.strip()])
    said = lines[number].strip()
    near = [other for other in elsewhere if other != said and abs(len(other) - len(said)) <= TOLERANCE]
    if not near:
        return None
    lines[number] = _indented_as(lines[number], rng.choice(near))
    return "\n".join(lines)


def _names(text: str) -> list[str]:
    return sorted({name for name in NAME.findall(text) if not keyword.iskeyword(name)})


def _indented_as(line: str, said: str) -> str:
    return line[: len(line) - len(line.lstrip())] + said
