"""Each character is a token."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness import hookimpl
from harness.interfaces.tokenizer import TokenizerConfig

if TYPE_CHECKING:
    from harness_plugins.tokenizer.characters.characters import CharacterTokenizer

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class Characters(TokenizerConfig):
    """The characters of the corpus, one token for all others, and the end token. No options."""

    def train(self, texts: Iterable[str]) -> CharacterTokenizer:
        from harness_plugins.tokenizer.characters.characters import CharacterTokenizer

        return CharacterTokenizer(sorted(set().union(*texts)))

    def load(self, folder: Path) -> CharacterTokenizer:
        from harness_plugins.tokenizer.characters.characters import load

        return load(folder)


@hookimpl
def register_tokenizer() -> dict[str, type]:
    return {"characters": Characters}
