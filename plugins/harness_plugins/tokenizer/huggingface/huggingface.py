"""A tokenizer.json by the `tokenizers` library, with the special tokens that its folder names."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from harness.data.cache import digest
from harness.errors import UserError
from harness.files import read_json, write_atomic
from harness.models.huggingface.tokenizer import ROLES
from harness_plugins.tokenizer.huggingface.template import ChatTemplate, template_of

TOKENIZER, SETTINGS, TEMPLATE = "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"
#: What a piece begins with at the beginning of a word: SentencePiece's space, and spaces as bytes are written.
SPACES = ("\u2581", " ", "\u0120", "\u010a", "\u0109")
#: Where older folders name their special tokens, and where those without settings do.
SPECIAL, MODEL = "special_tokens_map.json", "config.json"
#: What a run's copy calls the token that an encoder–decoder begins to write with, which a folder's config tells.
DECODER_START = "decoder_start_token"


class FolderTokenizer:
    """Encodes as the folder's own does, without special tokens around a text. Those that are written out in a text,
    as chat templates do, are taken for themselves.

    files: what is copied into a run and exported, by name. start: the token that stands before an empty context.
    opening: what stands before every context that a model is asked about (LLaMA's ``<s>``). chat: the folder's chat
    template, where it has one. decoder_start: the token that an encoder–decoder of it begins to write with.
    """

    chat: ChatTemplate

    def __init__(
        self,
        tokenizer: Tokenizer,
        files: Mapping[str, str],
        end: int,
        start: int,
        chat: ChatTemplate | None = None,
        decoder_start: int | None = None,
    ) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self.size = max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1
        self.end, self.start = end, start
        self.decoder_start = end if decoder_start is None else decoder_start
        self.opening = tokenizer.encode("").ids[:1] if tokenizer.encode("").ids[:1] == [start] else []
        self._tokenizer, self._files = tokenizer, dict(files)
        self._within = getattr(tokenizer.model, "continuing_subword_prefix", None)
        if chat is not None:
            self.chat = chat

    def encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        return [found.ids for found in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def decode(self, tokens: Sequence[int]) -> str:
        """Special tokens are passed over."""
        return self._tokenizer.decode([token for token in tokens if token != self.end])

    def begins_word(self, token: int) -> bool:
        piece = self._tokenizer.id_to_token(token) or ""
        return not piece.startswith(self._within) if self._within else piece.startswith(SPACES)

    def special(self, name: str) -> int | None:
        """As `TokenizerConfig` has it."""
        settings = json.loads(self._files[SETTINGS])
        found = self._tokenizer.token_to_id(_named(settings, ROLES.get(name, "")) or name)
        return None if found is None else int(found)

    def fingerprint(self) -> str:
        """A hash of the content."""
        return digest(self._files)

    def save(self, folder: Path) -> None:
        for name, content in self._files.items():
            write_atomic(folder / name, content)

    export = save


def load(folder: Path, end: str | None = None) -> FolderTokenizer:
    """The folder's tokenizer. end: the text of its end token; None: as the folder says.

    Raises UserError where the folder has no tokenizer.json, a damaged one, or names no end token.
    """
    if not (folder / TOKENIZER).is_file():
        raise UserError(
            f"{folder} has no {TOKENIZER}. Tokenizers of other kinds are written as one by transformers: "
            f"AutoTokenizer.from_pretrained(folder).save_pretrained(folder)."
        )
    files = [folder / name for name in (TOKENIZER, SETTINGS, TEMPLATE, SPECIAL, MODEL)]
    stamps = tuple((file.stat().st_mtime_ns, file.stat().st_size) if file.is_file() else None for file in files)
    return _load(folder, end, stamps)


@functools.lru_cache(maxsize=8)  # a vocabulary of 100,000 tokens takes half a second to read
def _load(folder: Path, end: str | None, stamps: Any) -> FolderTokenizer:
    content = _text(folder / TOKENIZER)
    try:
        tokenizer = Tokenizer.from_str(content)
    except Exception as error:  # the library raises nothing narrower
        raise UserError(f"{folder / TOKENIZER} cannot be read as a tokenizer: {error}.") from None
    settings = {**_mapping(folder / SPECIAL), **_mapping(folder / SETTINGS)}
    ends = end or _named(settings, "eos_token") or _of_model(folder, tokenizer, "eos_token_id")
    if ends is None:
        raise UserError(f"{folder} does not say which token ends a document: name it as tokenizer.end=<token>.")
    if _named(settings, "eos_token") != ends:
        settings["eos_token"] = ends
    writes = _named(settings, DECODER_START) or _of_model(folder, tokenizer, "decoder_start_token_id") or ends
    if writes != ends:
        settings[DECODER_START] = writes
    files = {TOKENIZER: content, SETTINGS: json.dumps(settings, indent=1, ensure_ascii=False) + "\n"}
    if (folder / TEMPLATE).is_file():
        files[TEMPLATE] = _text(folder / TEMPLATE)
    starts = _named(settings, "bos_token") or ends
    template = template_of(settings, files.get(TEMPLATE))
    chat = ChatTemplate(template, _special(settings), folder) if template is not None else None
    tokens = {text: _token(tokenizer, text, folder) for text in (ends, starts, writes)}
    return FolderTokenizer(tokenizer, files, tokens[ends], tokens[starts], chat, tokens[writes])


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}.") from None


def _mapping(path: Path) -> dict[str, Any]:
    found = read_json(path) if path.is_file() else {}
    if not isinstance(found, dict):
        raise UserError(f"{path} cannot be read: it holds {type(found).__name__} where a JSON object should be.")
    return found


def _named(settings: Mapping[str, Any], role: str) -> str | None:
    """A special token's text, which stands alone or with its options."""
    found = settings.get(role)
    found = found.get("content") if isinstance(found, dict) else found
    return found if isinstance(found, str) else None


def _special(settings: Mapping[str, Any]) -> dict[str, str]:
    """The texts of all special tokens, by role."""
    found = {role: _named(settings, role) for role in settings if role.endswith("_token")}
    return {role: text for role, text in found.items() if text is not None}


def _of_model(folder: Path, tokenizer: Tokenizer, option: str) -> str | None:
    """The token that the model's config names by number, as an option; the first of several."""
    found = _mapping(folder / MODEL).get(option)
    found = found[0] if isinstance(found, list) and found else found
    return tokenizer.id_to_token(found) if isinstance(found, int) and found >= 0 else None


def _token(tokenizer: Tokenizer, text: str, folder: Path) -> int:
    found = tokenizer.token_to_id(text)
    if found is None:
        raise UserError(f"The tokenizer of {folder} has no token {text}. Give one that it has as tokenizer.end.")
    return int(found)
