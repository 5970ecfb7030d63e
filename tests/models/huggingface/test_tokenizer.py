"""A tokenizer of ours with the tokens of a method, as `transformers` opens it."""

from pathlib import Path
from typing import Any

import pytest

from harness.config import plugin_config
from harness.models.huggingface.tokenizer import export_tokenizer

TEXTS = ["def double(value):\n    return value + value\n", "a text that spells [MASK] out and <extra_id_0> too"]
NAMES = ("bytes", "characters", "bpe", "wordpiece", "unigram", "character_bpe", "huggingface")


def of_name(name: str, folder: Path) -> Any:
    sized = {"size": 700} if name in ("bpe", "wordpiece", "unigram", "character_bpe") else {}
    if name == "huggingface":
        of_name("bytes", folder).export(folder)
        sized = {"folder": str(folder)}
    return plugin_config("tokenizer", {"name": name, **sized}, "tokenizer").train(TEXTS)


@pytest.mark.parametrize("name", NAMES)
def test_the_tokens_of_a_method_have_the_same_numbers_there(tmp_path: Path, name: str) -> None:
    """And texts that spell their names are texts, as they were."""
    from transformers import AutoTokenizer

    ours = of_name(name, tmp_path)
    extra = {"[MASK]": ours.size + 1, "<extra_id_0>": ours.size}
    (tmp_path / "out").mkdir()
    export_tokenizer(tmp_path / "out", ours, extra)
    theirs = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert max(theirs.get_vocab().values()) + 1 == ours.size + 2  # a small text fills no large vocabulary
    assert theirs.convert_tokens_to_ids(list(extra)) == list(extra.values())
    assert (theirs.mask_token, theirs.mask_token_id) == ("[MASK]", extra["[MASK]"])
    assert theirs.eos_token_id == ours.end
    assert [theirs(text)["input_ids"] for text in TEXTS] == ours.encode_all(TEXTS)
    tokens = ours.encode("value")
    assert theirs.decode([*tokens, *extra.values()], skip_special_tokens=True) == ours.decode(tokens)


@pytest.mark.parametrize("name", NAMES)
def test_they_are_found_again_where_the_folder_comes_back(tmp_path: Path, name: str) -> None:
    ours = of_name(name, tmp_path)
    (tmp_path / "out").mkdir()
    export_tokenizer(tmp_path / "out", ours, {"[MASK]": ours.size, "<extra_id_0>": ours.size + 1})
    again = plugin_config("tokenizer", {"name": "huggingface", "folder": str(tmp_path / "out")}, "tokenizer")
    assert (again.special("[MASK]"), again.special("<extra_id_0>")) == (ours.size, ours.size + 1)
    assert again.vocabulary() == ours.size + 2


def test_a_name_that_is_a_word_already_is_changed(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    ours = plugin_config("tokenizer", {"name": "bpe", "size": 262}, "tokenizer").train(["blank blank blank"])
    (token,) = set(ours.encode("blank"))
    export_tokenizer(tmp_path, ours, {"blank": ours.size})
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert theirs("blank")["input_ids"] == [token]
    assert theirs.convert_tokens_to_ids("<|blank|>") == ours.size


def test_a_token_that_the_tokenizer_has_is_not_written_again(tmp_path: Path) -> None:
    ours = of_name("bytes", tmp_path)
    (tmp_path / "out").mkdir()
    export_tokenizer(tmp_path / "out", ours, {"<end>": ours.end})
    ours.export(tmp_path)
    assert (tmp_path / "out" / "tokenizer.json").read_text() == (tmp_path / "tokenizer.json").read_text()
