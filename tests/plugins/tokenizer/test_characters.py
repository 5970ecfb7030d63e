"""Each character a token."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.config import plugin_config
from harness.errors import UserError

config = plugin_config("tokenizer", "characters", "tokenizer")


@given(st.lists(st.text(), min_size=1))
def test_what_it_was_trained_on_is_given_back(texts: list[str]) -> None:
    tokenizer = config.train(texts)
    assert [tokenizer.decode(tokens) for tokens in tokenizer.encode_all(texts)] == texts
    assert tokenizer.size == len(set("".join(texts))) + 2


@given(st.lists(st.text(), min_size=1))
def test_the_order_of_the_documents_does_not_matter(texts: list[str]) -> None:
    assert config.train(texts).characters == config.train(reversed(texts)).characters


def test_a_character_that_it_does_not_know_is_marked() -> None:
    tokenizer = config.train(["abc"])
    assert tokenizer.encode("axc") == [0, tokenizer.unknown, 2]
    assert tokenizer.decode([0, tokenizer.unknown, 2, tokenizer.end]) == "a\ufffdc"
    assert len({*tokenizer.encode("abc"), tokenizer.unknown, tokenizer.end}) == tokenizer.size


def test_saved_and_loaded(tmp_path: Path) -> None:
    tokenizer = config.train(["né\n\U0001f600"])
    tokenizer.save(tmp_path)
    loaded = config.load(tmp_path)
    assert (loaded.characters, loaded.end, loaded.size) == (tokenizer.characters, tokenizer.end, tokenizer.size)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"characters": 3}'])
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(UserError, match=r"tokenizer.json (cannot be read|is no character tokenizer)"):
        config.load(tmp_path)
