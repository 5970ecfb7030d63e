"""Each byte a token."""

from hypothesis import given
from hypothesis import strategies as st

from harness.config import plugin_config

tokenizer = plugin_config("tokenizer", "bytes", "tokenizer").train([])


@given(st.text())
def test_decoding_gives_back_the_text(text: str) -> None:
    tokens = tokenizer.encode(text)
    assert tokenizer.decode(tokens) == text
    assert bytes(tokens) == text.encode()
    assert tokenizer.encode_all([text, ""]) == [tokens, []]


def test_size_and_end() -> None:
    config = plugin_config("tokenizer", "bytes", "tokenizer")
    assert (tokenizer.size, tokenizer.end, config.vocabulary(), config.needs_training()) == (257, 256, 257, False)


def test_the_end_is_no_text_and_half_a_character_is_shown_as_such() -> None:
    assert tokenizer.decode([97, 256, 98]) == "ab"
    assert tokenizer.decode([97, "é".encode()[0]]) == "a\ufffd"


def test_saved_and_loaded(tmp_path) -> None:
    tokenizer.save(tmp_path)
    loaded = plugin_config("tokenizer", "bytes", "tokenizer").load(tmp_path)
    assert loaded.encode("né") == tokenizer.encode("né")
