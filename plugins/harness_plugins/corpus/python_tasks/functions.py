"""The functions of the standard library, each as signature, docstring and body."""

from __future__ import annotations

import ast
import functools
import json
import warnings
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path

from harness.data import files as of_files
from harness.data.cache import cached_folder, digest
from harness.sources import source_digest
from harness_plugins.corpus.python_stdlib.python_stdlib import files


@dataclass(frozen=True)
class Function:
    """A function or method as it would stand at the left margin, without decorators; each part ends with a newline.

    module: number of its file in the library. line: of its signature. docstring: its first paragraph in one line, as
    the source would have it, indented; or empty. body: what follows the docstring.
    """

    module: int
    line: int
    signature: str
    docstring: str
    body: str


def fingerprint() -> str:
    """A hash of the library's content."""
    return of_files.fingerprint(files(), field="")


@functools.cache
def functions() -> tuple[Function, ...]:
    """Those of all modules in order, no two alike; from the cache, since reading them anew takes seconds."""
    key = digest([source_digest((), (__name__,)), fingerprint()])
    made = cached_folder("functions", key, _write) / "functions.jsonl"
    return tuple(Function(*json.loads(line)) for line in made.read_text(encoding="utf-8").splitlines())


def _write(folder: Path) -> None:
    seen = set()
    with open(folder / "functions.jsonl", "w", encoding="utf-8") as file:
        for module, path in enumerate(files()):
            for function in of_module(module, of_files.read_text(path)):
                parts = (function.signature, function.docstring, function.body)
                if parts not in seen:
                    seen.add(parts)
                    file.write(json.dumps(astuple(function)) + "\n")


def of_module(module: int, text: str) -> Iterator[Function]:
    """The functions of a module in order, those within others too. A text that does not parse has none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in the library's own strings
            tree = ast.parse(text)
    except SyntaxError:
        return
    lines = text.replace("\r\n", "\n").split("\n")  # as the parser counts them
    found = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for node in sorted(found, key=lambda node: node.lineno):
        if (function := _function(module, node, lines)) is not None:
            yield function


def _function(module: int, node: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> Function | None:
    """None where signature, docstring and body do not stand on lines of their own, or lines lie left of it."""
    docstring = ast.get_docstring(node)
    rest = node.body[1:] if docstring is not None else node.body
    begin, end = _first_line(node.body[0]), node.end_lineno or 0
    if not rest or begin <= node.lineno or (docstring is not None and _first_line(rest[0]) <= _last(node.body[0])):
        return None
    after = _last(node.body[0]) if docstring is not None else begin - 1
    signature = _dedented(lines[node.lineno - 1 : begin - 1], node.col_offset)
    body = _dedented(lines[after:end], node.col_offset)
    if signature is None or body is None:
        return None
    indentation = " " * (rest[0].col_offset - node.col_offset)
    return Function(module, node.lineno, signature, _one_line(docstring or "", indentation), body.lstrip("\n"))


def _first_line(statement: ast.stmt) -> int:
    """Where it begins, with its decorators."""
    return min([statement.lineno, *(d.lineno for d in getattr(statement, "decorator_list", ()))])


def _last(statement: ast.stmt) -> int:
    return statement.end_lineno or statement.lineno


def _dedented(lines: list[str], by: int) -> str | None:
    if any(line.strip() and not line.startswith(" " * by) for line in lines):
        return None
    return "".join(f"{line[by:].rstrip()}\n" for line in lines)


def _one_line(docstring: str, indentation: str) -> str:
    """Its first paragraph, as a docstring again; empty where that would need escapes."""
    text = " ".join(docstring.strip().split("\n\n")[0].split())
    if not text or '"""' in text or "\\" in text or text.endswith('"'):
        return ""
    return f'{indentation}"""{text}"""\n'
