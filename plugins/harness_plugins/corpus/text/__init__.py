"""Documents from the user's files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness import hookimpl
from harness.config import option
from harness.interfaces.corpus import CorpusConfig

if TYPE_CHECKING:
    from harness.data.files import FileCorpus

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class Text(CorpusConfig):
    """Files, folders, globs, JSONL. One document a file, or one a row of a .jsonl file; all UTF-8, also as .gz, .zst.

    What determines a result is the content, in order: files may be moved, renamed and compressed as long as their
    order stays.
    """

    path: str | list[str] = option(
        help="a file, a folder, a glob (** for any depth), or a list of these", identity=False
    )
    field: str = option("text", "the field of a .jsonl row that holds the document", identity=False)
    suffixes: list[str] = option(
        [".txt", ".md", ".rst", ".py", ".jsonl"],
        "endings of the files that a folder is searched for, compressed or not",
        identity=False,
    )

    def fingerprint(self) -> str:
        from harness.data.files import fingerprint
        from harness_plugins.corpus.text.text import find

        return fingerprint(find(self.path, self.suffixes), self.field)

    def build(self) -> FileCorpus:
        from harness.data.files import FileCorpus
        from harness_plugins.corpus.text.text import find

        return FileCorpus(find(self.path, self.suffixes), self.field)


@hookimpl
def register_corpus() -> dict[str, type]:
    return {"text": Text}
