"""Conversations, preferences and prompts from the user's files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness import hookimpl
from harness.config import option
from harness.data.rows import FORMATS
from harness.interfaces.corpus import CorpusConfig

if TYPE_CHECKING:
    from harness.data.files import ExampleFiles

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class Examples(CorpusConfig):
    """JSONL files, folders and globs of them, one example a row; also as .gz, .zst. (Folders of `datasets`: corpus=hf.)

    What determines a result is the content, in order, and what its rows are taken for.
    """

    path: str | list[str] = option(
        help="a file, a folder, a glob (** for any depth), or a list of these", identity=False
    )
    format: str = option(
        "auto",
        "what a row has; auto: the format whose fields the first one has",
        identity=False,
        choices=("auto", *FORMATS),
    )

    def form(self) -> str:
        return FORMATS[self.build().format].form

    def fingerprint(self) -> str:
        from harness.data.files import examples_fingerprint

        return examples_fingerprint(self.build())

    def build(self) -> ExampleFiles:
        from harness.data.files import ExampleFiles
        from harness_plugins.corpus.text.text import find

        return ExampleFiles(find(self.path, [".jsonl"]), self.format)


@hookimpl
def register_corpus() -> dict[str, type]:
    return {"examples": Examples}
