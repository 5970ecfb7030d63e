"""The tokenizer of a Hugging Face folder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from harness import hookimpl
from harness.config import option
from harness.interfaces.tokenizer import TokenizerConfig

if TYPE_CHECKING:
    from harness_plugins.tokenizer.huggingface.huggingface import FolderTokenizer

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class HuggingFace(TokenizerConfig):
    """A folder's tokenizer.json, as tokenizer.folder=<folder>. What determines a result is its content; a run keeps a
    copy."""

    folder: str = option(help="a folder with tokenizer.json", identity=False)
    end: str | None = option(
        None, "the token that ends a document, as text; null: what the folder calls eos_token", identity=False
    )

    def needs_training(self) -> bool:
        return False

    def vocabulary(self) -> int:
        return self.train(()).size

    def fingerprint(self) -> str:
        return f"{self.train(()).fingerprint()} {self.results_version}"

    def special(self, name: str) -> int | None:
        return self.train(()).special(name)

    def of_run(self, folder: Path) -> Self:
        return replace(self, folder=str(folder), end=None)

    def train(self, texts: Iterable[str]) -> FolderTokenizer:
        from harness_plugins.tokenizer.huggingface.huggingface import load

        return load(Path(self.folder), self.end)

    def load(self, folder: Path) -> FolderTokenizer:
        from harness_plugins.tokenizer.huggingface.huggingface import load

        return load(folder)


@hookimpl
def register_tokenizer() -> dict[str, type]:
    return {"huggingface": HuggingFace}
