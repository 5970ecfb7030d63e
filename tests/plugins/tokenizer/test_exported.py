"""Every tokenizer of ours, exported: `transformers` opens it and encodes alike."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.config import plugin_config
from harness.models.huggingface.tokenizer import END

TEXTS = ["def double(value):\n    return value + value\n", "naïve 北京 \U0001f600\r\n\t1234", "  two  spaces "]
TRAINED = {"bpe": {"size": 400}, "wordpiece": {"size": 700}, "unigram": {"size": 400}, "character_bpe": {"size": 400}}
NAMES = ("bytes", "characters", *TRAINED, "huggingface")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """(ours, theirs) by name. Those that are trained have room for more tokens than their texts hold."""
    from transformers import AutoTokenizer

    folder, found = tmp_path_factory.mktemp("exported"), {}
    for name in NAMES:
        (folder / name).mkdir()
        options = {"folder": str(folder / "bpe")} if name == "huggingface" else TRAINED.get(name, {})
        tokenizer = plugin_config("tokenizer", {"name": name, **options}, "tokenizer").train(TEXTS)
        tokenizer.export(folder / name)
        found[name] = tokenizer, AutoTokenizer.from_pretrained(folder / name)
    return found


@pytest.mark.parametrize("name", NAMES)
@given(text=st.text())
def test_every_text_has_the_same_tokens(pairs, name: str, text: str) -> None:
    ours, theirs = pairs[name]
    assert theirs(text)["input_ids"] == ours.encode(text)


@pytest.mark.parametrize("name", ["bytes", "characters", *TRAINED])
@pytest.mark.parametrize("text", [*TEXTS, f"a text that spells {END} out", "\x00\x7f\x80\xff"])
def test_texts_come_back_alike(pairs, name: str, text: str) -> None:
    ours, theirs = pairs[name]
    tokens = ours.encode(text)
    assert theirs(text)["input_ids"] == tokens
    assert ours.end not in tokens
    if name != "characters" or "\ufffd" not in ours.decode(tokens):
        assert theirs.decode([*tokens, ours.end], skip_special_tokens=True) == text == ours.decode([*tokens, ours.end])


@pytest.mark.parametrize("name", NAMES)
def test_the_end_token_is_theirs_too(pairs, name: str) -> None:
    ours, theirs = pairs[name]
    assert theirs.eos_token_id == theirs.bos_token_id == ours.end


def test_any_bytes_are_decoded_alike(pairs) -> None:
    ours, theirs = pairs["bytes"]
    for seed in range(50):
        tokens = random.Random(seed).choices(range(256), k=20)
        assert theirs.decode(tokens) == ours.decode(tokens)


def test_what_is_written_names_no_place(pairs, tmp_path) -> None:
    ours, _ = pairs["bpe"]
    ours.export(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tokenizer.json", "tokenizer_config.json"]
    assert json.loads((tmp_path / "tokenizer_config.json").read_text())["eos_token"] == END
