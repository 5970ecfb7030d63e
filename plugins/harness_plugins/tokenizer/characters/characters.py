"""Text as its characters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer, decoders, models

from harness.errors import UserError
from harness.files import read_json, write_json
from harness.models.huggingface.tokenizer import END, write_tokenizer

#: What an unknown character is decoded to.
REPLACEMENT = "\ufffd"
#: What the unknown token is called in `transformers`.
UNKNOWN = "<|unknown|>"


class CharacterTokenizer:
    """One token for each known character in their order, then the unknown one, then the end."""

    def __init__(self, characters: Sequence[str]) -> None:
        self.characters = list(characters)
        self.unknown = len(self.characters)
        self.end = self.unknown + 1
        self.size = self.unknown + 2
        self._tokens = {character: token for token, character in enumerate(self.characters)}

    def encode(self, text: str) -> list[int]:
        return [self._tokens.get(character, self.unknown) for character in text]

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        return [self.encode(text) for text in texts]

    def decode(self, tokens: Sequence[int]) -> str:
        """End tokens are passed over; the unknown one becomes U+FFFD."""
        shown = [*self.characters, REPLACEMENT, ""]
        return "".join(shown[token] for token in tokens)

    def save(self, folder: Path) -> None:
        write_json(folder / "tokenizer.json", {"tokenizer": "characters", "characters": self.characters})

    def export(self, folder: Path) -> None:
        """A BPE of characters without merges."""
        tokenizer = Tokenizer(models.BPE({**self._tokens, UNKNOWN: self.unknown, END: self.end}, [], unk_token=UNKNOWN))
        tokenizer.decoder = decoders.Fuse()
        write_tokenizer(folder, tokenizer, unk_token=UNKNOWN)


def load(folder: Path) -> CharacterTokenizer:
    path = folder / "tokenizer.json"
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("characters"), list):
        raise UserError(f"{path} is no character tokenizer: a list `characters` is missing.")
    return CharacterTokenizer(content["characters"])
