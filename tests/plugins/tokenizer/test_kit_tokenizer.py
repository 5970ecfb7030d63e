"""Every tokenizer keeps what its kind promises."""

import json

import pytest

from harness.config import plugin_config
from harness.testing import TokenizerKit
from harness.testing.tokenizer import DOCUMENTS, NASTY


def tokenizer(name, **options):
    return plugin_config("tokenizer", {"name": name, **options}, "tokenizer")


class TestBpe(TokenizerKit):
    config = tokenizer("bpe", size=270)


class TestBytes(TokenizerKit):
    config = tokenizer("bytes")


class TestCharacterBpe(TokenizerKit):
    config = tokenizer("character_bpe", size=310)


class TestCharacters(TokenizerKit):
    config = tokenizer("characters")
    documents = NASTY


class TestUnigram(TokenizerKit):
    config = tokenizer("unigram", size=310)


class TestWordPiece(TokenizerKit):
    config = tokenizer("wordpiece", size=560)


class TestHuggingFace(TokenizerKit):
    """A folder as `transformers` has them, of byte-level pieces."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        tokenizer("bpe", size=270).train(DOCUMENTS).export(tmp_path)
        assert (tmp_path / "tokenizer.json").exists()
        assert "eos_token" in json.loads((tmp_path / "tokenizer_config.json").read_text())
        self.config = tokenizer("huggingface", folder=str(tmp_path))
