"""Minimal pairs on held-out Python, in the form of BLiMP (Warstadt et al. 2020).

A pair is one snippet of real code and the same snippet with one small edit that makes it wrong for one stated
reason. A model is right where it gives the good one the higher probability as a whole.

Neither length in characters nor the frequency of the edited word gives the answer away: edits keep the length
(indentation grows in one half of the items and shrinks in the other), and in one half of the items the wrong piece is
the more frequent one. In a model's own tokens it may still be given away in part (a rare name is more tokens): a
study's report shows what rules by the number and the frequency of tokens reach on the same items.
"""

from __future__ import annotations

import ast
import builtins
import io
import itertools
import keyword
import random
import re
import textwrap
import tokenize
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from harness.interfaces.corpus import Document

CLOSERS = ")]}"
QUOTES = "'\""
INDENT = "    "


@dataclass(frozen=True)
class Pair:
    """good parses (and defines its names); bad does not, for the reason that `kind` names. `favours` says which of
    the two a chooser would take that knows only lengths and frequencies."""

    good: str
    bad: str
    kind: str
    favours: str
    document: str


@dataclass(frozen=True)
class Snippet:
    """A statement of a document, dedented. names: every word of the whole document."""

    text: str
    node: ast.stmt
    names: frozenset[str]


@dataclass(frozen=True)
class Words:
    """How often each word and sign stands in the documents, and the identifiers by length."""

    counts: Counter[str]
    identifiers: dict[int, list[str]]

    def favours(self, good: str, bad: str) -> str:
        return "good" if self.counts[good] >= self.counts[bad] else "bad"


#: (bad text, which one is favoured)
Corruption = tuple[str, str]


def is_python(document: Document) -> bool:
    """Whether it is called a Python file and parses."""
    return document.name.endswith((".py", ".pyi")) and parses(document.text)


def parses(text: str) -> bool:
    return why_not(text) is None


def why_not(text: str) -> SyntaxError | ValueError | None:
    """What the parser says against the text; None where it parses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(text)
        except (SyntaxError, ValueError) as error:
            return error
    return None


@dataclass(frozen=True)
class Material:
    """What all kinds of pairs are made from: the snippets of each document, by its name, and all words."""

    snippets: dict[str, list[Snippet]]
    words: Words


def read(documents: Sequence[Document], most_bytes: int) -> Material:
    """documents: Python. most_bytes: the length of the longest snippet."""
    return Material({document.name: list(_snippets(document, most_bytes)) for document in documents}, _words(documents))


def minimal_pairs(material: Material, kind: str, items: int, seed: int) -> list[Pair]:
    """At most `items` pairs of one of the `KINDS`, spread evenly over the documents, the same for the same arguments.
    Fewer come back where there is little material."""
    streams = [_pairs(material, document, kind, seed) for document in material.snippets]
    quota = {"good": items - items // 2, "bad": items // 2}
    chosen: dict[str, Pair] = {}
    for pair in _round_robin(streams):
        if quota[pair.favours] and pair.good not in chosen:
            chosen[pair.good] = pair
            quota[pair.favours] -= 1
        if not any(quota.values()):
            break
    return list(chosen.values())


def _round_robin(streams: Sequence[Iterator[Pair]]) -> Iterator[Pair]:
    for turn in itertools.zip_longest(*streams):
        yield from (pair for pair in turn if pair is not None)


def _words(documents: Sequence[Document]) -> Words:
    counts = Counter(word for document in documents for word in re.findall(r"\w+|[^\w\s]", document.text))
    identifiers: dict[int, list[str]] = {}
    for word in sorted(counts):
        if word.isidentifier() and not keyword.iskeyword(word) and not hasattr(builtins, word):
            identifiers.setdefault(len(word), []).append(word)
    return Words(counts, identifiers)


def _pairs(material: Material, document: str, kind: str, seed: int) -> Iterator[Pair]:
    """The pairs of one document, its snippets in random order; of each snippet at most one pair that favours the
    good one and one that favours the bad one, so that the caller can balance them."""
    rng = random.Random(f"{seed}/{kind}/{document}")
    snippets = list(material.snippets[document])
    rng.shuffle(snippets)
    for snippet in snippets:
        corruptions = list(KINDS[kind](snippet, material.words, rng))
        rng.shuffle(corruptions)
        by_favour = {favours: bad for bad, favours in corruptions}
        for favours in rng.sample(sorted(by_favour), len(by_favour)):
            yield Pair(snippet.text, by_favour[favours], kind, favours, document)


def _snippets(document: Document, most_bytes: int, least_bytes: int = 24) -> Iterator[Snippet]:
    lines = document.text.splitlines(keepends=True)
    names = frozenset(re.findall(r"\w+", document.text))
    for node in ast.walk(ast.parse(document.text)):
        if not isinstance(node, ast.stmt) or node.end_lineno is None:
            continue
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        text = textwrap.dedent("".join(lines[first - 1 : node.end_lineno])).rstrip() + "\n"
        if least_bytes <= len(text.encode()) <= most_bytes and parses(text):
            body = ast.parse(text).body
            if len(body) == 1:
                yield Snippet(text, body[0], names)


def _tokens(text: str) -> Iterator[tokenize.TokenInfo]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield from tokenize.generate_tokens(io.StringIO(text).readline)


def _replace(text: str, line: int, start: int, end: int, new: str) -> str:
    """line counts from 1; start and end in characters of that line."""
    lines = text.splitlines(keepends=True)
    lines[line - 1] = lines[line - 1][:start] + new + lines[line - 1][end:]
    return "".join(lines)


# ------------------------------------------------------------------------------------------ corruptions


def _bracket(snippet: Snippet, words: Words, rng: random.Random) -> Iterator[Corruption]:
    """A closing bracket of another kind."""
    for token in _tokens(snippet.text):
        if token.type == tokenize.OP and token.string in CLOSERS:
            for other in CLOSERS.replace(token.string, ""):
                bad = _replace(snippet.text, token.start[0], token.start[1], token.end[1], other)
                if "does not match" in str(why_not(bad)):
                    yield bad, words.favours(token.string, other)


def _indentation(snippet: Snippet, words: Words, rng: random.Random) -> Iterator[Corruption]:
    """The first line of a block not indented (shorter), or a later one indented once more (longer)."""
    lines = snippet.text.splitlines()
    for parent in ast.walk(snippet.node):
        for block in (getattr(parent, name, None) for name in ("body", "orelse", "finalbody")):
            for place, statement in enumerate(block if isinstance(block, list) else []):
                line = lines[statement.lineno - 1]
                if line[: statement.col_offset].strip() or not statement.col_offset:
                    continue
                if place == 0 and line.startswith(INDENT):
                    bad, favours = _replace(snippet.text, statement.lineno, 0, len(INDENT), ""), "bad"
                elif place > 0:
                    bad, favours = _replace(snippet.text, statement.lineno, 0, 0, INDENT), "good"
                else:
                    continue
                if isinstance(why_not(bad), IndentationError):
                    yield bad, favours


def _keyword(snippet: Snippet, words: Words, rng: random.Random) -> Iterator[Corruption]:
    """Another keyword of the same length."""
    for token in _tokens(snippet.text):
        if token.type == tokenize.NAME and keyword.iskeyword(token.string):
            same_length = [word for word in keyword.kwlist if len(word) == len(token.string) and word != token.string]
            rng.shuffle(same_length)
            for other in same_length:
                bad = _replace(snippet.text, token.start[0], token.start[1], token.end[1], other)
                error = why_not(bad)
                if isinstance(error, SyntaxError) and not isinstance(error, IndentationError):
                    yield bad, words.favours(token.string, other)


def _undefined_name(snippet: Snippet, words: Words, rng: random.Random) -> Iterator[Corruption]:
    """A local name, where it is used, replaced by one of the same length that the whole document does not hold."""
    if not isinstance(snippet.node, (ast.FunctionDef, ast.AsyncFunctionDef)) or "eval" in snippet.names:
        return
    local = _bound_in(snippet.node) - {"self", "cls"}  # these every chooser knows
    for node in ast.walk(snippet.node):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in local:
            line = snippet.text.splitlines()[node.lineno - 1]
            start = len(line.encode()[: node.col_offset].decode())  # ast counts bytes
            if line[start : start + len(node.id)] != node.id:  # within an f-string Python 3.11 gives no exact place
                continue
            for other in _foreign(node.id, snippet, words, rng):
                bad = _replace(snippet.text, node.lineno, start, start + len(node.id), other)
                if parses(bad):
                    yield bad, words.favours(node.id, other)


def _bound_in(function: ast.stmt) -> set[str]:
    """Parameters of the function and names that it assigns."""
    parameters = {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}
    stored = {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return parameters | stored


def _foreign(name: str, snippet: Snippet, words: Words, rng: random.Random) -> list[str]:
    """Names of the same length from other documents: one more frequent than this one and one less, if there are."""
    names = [word for word in words.identifiers.get(len(name), []) if word not in snippet.names]
    more = [word for word in names if words.counts[word] > words.counts[name]]
    less = [word for word in names if words.counts[word] < words.counts[name]]
    return [rng.choice(side) for side in (more, less) if side]


def _quote(snippet: Snippet, words: Words, rng: random.Random) -> Iterator[Corruption]:
    """A string closed by the other quote."""
    for token in _tokens(snippet.text):
        content = token.string.lstrip("rRbBuUfF")
        if token.type == tokenize.STRING and len(content) > 2 and content[:3] not in ('"""', "'''"):
            closer, other = content[0], QUOTES.replace(content[0], "")
            bad = _replace(snippet.text, token.end[0], token.end[1] - 1, token.end[1], other)
            if other not in content and "unterminated string" in str(why_not(bad)):
                yield bad, words.favours(closer, other)


KINDS: dict[str, Callable[[Snippet, Words, random.Random], Iterator[Corruption]]] = {
    "bracket": _bracket,
    "indentation": _indentation,
    "keyword": _keyword,
    "undefined_name": _undefined_name,
    "quote": _quote,
}
