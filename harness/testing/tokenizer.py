"""What every tokenizer promises: text comes back, the end is in no text, and a saved one is the same."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from harness.testing.check import sound

#: Texts that tokenizers have lost something of: spaces at every place, line ends, digits, accents in two ways, other
#: scripts, emoji of several code points, what is no printable character, code, what looks like a special token.
NASTY = (
    "",
    " ",
    "  two  spaces ",
    "\n\n\tindented\r\nlines\n",
    "1234567890 3.14 1e-5",
    "naïve café — “quoted” …",
    "cafe\u0301 \u212b \ufb01",
    "Ελληνικά Русский العربية हिन्दी 漢字かな 한국어",
    "👩‍👩‍👧 🇩🇪 👍🏽",
    "\u200b\u00a0\ufeff\x00\x07\x7f",
    "def f(x):\n    return {x: [x] * 2}  # ok\n",
    "<s></s> [MASK] [UNK] <|endoftext|> <0x0A> ##ing ▁a Ġb",
    "word" * 50,
)

#: What one is trained on.
DOCUMENTS = ("One two, three.\n", "def double(value):\n    return value + value\n", "Ein Text: 42 Wörter!\n") * 4


def loses_text(tokenizer: Any, texts: Sequence[str] = NASTY) -> str | None:
    """Whether a text does not come back, or its tokens are no numbers of the vocabulary, or the end is one of them."""
    for text in texts:
        tokens = tokenizer.encode(text)
        if tokenizer.end in tokens:
            return f"The end token, {tokenizer.end}, stands in the tokens of the text {text!r}."
        if any(not 0 <= token < tokenizer.size for token in tokens):
            return f"The text {text!r} has a token that is not below size={tokenizer.size}: {max(tokens)}."
        if (decoded := tokenizer.decode(tokens)) != text:
            return f"The text {text!r} comes back as {decoded!r}."
    return None


def encodes_otherwise(tokenizer: Any, texts: Sequence[str] = NASTY) -> str | None:
    """Whether many texts at once have other tokens than one by one."""
    for text, tokens in zip(texts, tokenizer.encode_all(list(texts)), strict=True):
        if list(tokens) != list(tokenizer.encode(text)):
            return f"encode_all gives other tokens of {text!r} than encode."
    return None


def loads_otherwise(config: Any, tokenizer: Any, texts: Sequence[str] = NASTY) -> str | None:
    """Whether a tokenizer that was saved and loaded has other tokens."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(Path(folder))
        other = config.of_run(Path(folder)).load(Path(folder))
        if (other.size, other.end) != (tokenizer.size, tokenizer.end):
            return f"Loaded, size and end are {other.size, other.end}, and were {tokenizer.size, tokenizer.end}."
        for text in texts:
            if list(other.encode(text)) != list(tokenizer.encode(text)):
                return f"Loaded, it gives other tokens of {text!r}."
    return None


def trains_otherwise(config: Any, documents: Sequence[str], texts: Sequence[str] = NASTY) -> str | None:
    """Whether it is another one for the same documents, or of another size than the Config says."""
    first, second = (config.train(iter(documents)) for _ in range(2))
    if any(list(first.encode(text)) != list(second.encode(text)) for text in texts):
        return "Trained twice on the same documents, it gives other tokens."
    known = config.vocabulary()
    if known is not None and first.size != known:
        return f"vocabulary() says {known} tokens, and the tokenizer has {first.size}."
    if not 0 <= first.end < first.size:
        return f"The end token is {first.end}, which is not below size={first.size}."
    return None


class TokenizerKit:
    """Subclass it and give `config`, a `TokenizerConfig` that is trained in a moment.

    class TestMine(TokenizerKit):
        config = MyConfig(name="mine", size=300)
    """

    config: ClassVar[Any]
    #: What it is trained on, and what it must give back: all that its vocabulary covers.
    documents: ClassVar[Sequence[str]] = DOCUMENTS
    texts: ClassVar[Sequence[str]] = NASTY

    def tokenizer(self) -> Any:
        return self.config.train(iter(self.documents))

    def test_text_comes_back(self) -> None:
        sound(loses_text(self.tokenizer(), self.texts))

    def test_many_texts_are_encoded_as_each(self) -> None:
        sound(encodes_otherwise(self.tokenizer(), self.texts))

    def test_saved_and_loaded_it_is_the_same(self) -> None:
        sound(loads_otherwise(self.config, self.tokenizer(), self.texts))

    def test_the_documents_decide_and_nothing_else(self) -> None:
        sound(trains_otherwise(self.config, self.documents, self.texts))
