"""What a user can cause, told in one paragraph."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import SequenceMatcher, get_close_matches

#: Names that a sentence still reads well with.
MANY = 24


class UserError(ValueError):
    """Something the user can put right: the command line prints it as one paragraph and exits with 2."""


class RunFailed(RuntimeError):
    """A run came to a bad end that is not the user's input: exit code 1."""


@contextmanager
def standing_in(where: str) -> Iterator[None]:
    """Says of what a user can put right where it stands."""
    try:
        yield
    except UserError as error:
        raise type(error)(f"{where}: {error}") from error


def suggest(word: str, known: Iterable[str]) -> str:
    """A sentence that names the nearest of the known words, or all of them if none is near.

    >>> suggest("rotery", ["rotary", "learned"])
    'Did you mean rotary?'
    >>> suggest("x", ["rotary", "learned"])
    'Known are learned, rotary.'
    """
    names = sorted(map(str, known))
    close = get_close_matches(str(word), names, n=3, cutoff=0.6)
    if close and SequenceMatcher(None, str(word), close[0]).ratio() > 0.85:
        close = close[:1]
    if close:
        return f"Did you mean {' or '.join(close)}?"
    more = f" and {len(names) - MANY} more" if len(names) > MANY else ""
    return f"Known are {', '.join(names[:MANY])}{more}." if names else "None is known."
