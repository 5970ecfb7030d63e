"""What the verbs share: flags, words in front of the overrides, options that are no part of a config."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import UserError, suggest


def asks_help(words: Sequence[str]) -> bool:
    return "--help" in words or "-h" in words


def flags(words: Sequence[str], known: Sequence[str]) -> tuple[set[str], list[str]]:
    """The flags among the words, and the rest. Raises UserError for a flag that the verb does not know."""
    found = {word for word in words if word.startswith("--")}
    for flag in sorted(found - set(known)):
        raise UserError(f"{flag} is not a flag of this verb. {suggest(flag, known)}")
    return found, [word for word in words if word not in found]


def settings(words: Sequence[str], defaults: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """``key=value`` words of the verb's own (with the values of the others by default), and the rest."""
    values, rest = dict(defaults), []
    for word in words:
        key, equals, value = word.partition("=")
        if equals and key in defaults:
            values[key] = value
        else:
            rest.append(word)
    return values, rest


def one_word(words: Sequence[str], what: str) -> tuple[str, list[str]]:
    """The first word without ``=``, and the rest. Raises UserError if it is missing or there is a second one."""
    bare = [word for word in words if "=" not in word and not word.startswith("-")]
    if len(bare) != 1:
        found = f"found {' and '.join(bare)}" if bare else "found none"
        raise UserError(f"This verb needs {what}, one word; {found}.")
    rest = list(words)
    rest.remove(bare[0])
    return bare[0], rest


def only(words: Sequence[str], known: Sequence[str] = ()) -> None:
    """Raises UserError if anything is left over."""
    if words:
        raise UserError(
            f"{words[0]} is not understood here. {suggest(words[0], known)}"
            if known
            else f"{words[0]} is not understood here."
        )
