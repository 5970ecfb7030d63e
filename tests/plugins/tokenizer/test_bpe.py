"""Byte-pair encoding trained on the corpus."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.config import ConfigError, plugin_config
from harness.errors import UserError

TEXTS = [f"def function_{i}(value):\n    return value + {i}\n" for i in range(100)]


def config(size: int = 300):
    return plugin_config("tokenizer", {"name": "bpe", "size": size}, "tokenizer")


tokenizer = config().train(TEXTS)


@given(st.text())
def test_decoding_gives_back_every_text(text: str) -> None:
    tokens = tokenizer.encode(text)
    assert tokenizer.decode(tokens) == text
    assert tokenizer.encode_all([text]) == [tokens]
    assert tokenizer.end not in tokens


def test_what_was_frequent_is_short() -> None:
    assert len(tokenizer.encode("def function_")) < len("def function_") / 2
    assert len(tokenizer.encode("zqxj")) == 4


def test_every_digit_is_a_token() -> None:
    assert [len(tokenizer.encode(digits)) for digits in ("7", "42", "100", "1000000")] == [1, 2, 3, 7]


def test_the_end_is_the_last_token_and_no_text_contains_it() -> None:
    assert (tokenizer.size, tokenizer.end, config().vocabulary()) == (300, 299, 300)
    assert tokenizer.decode([*tokenizer.encode("a"), tokenizer.end, *tokenizer.encode("b")]) == "ab"


def test_a_corpus_too_small_for_its_size_leaves_tokens_unused() -> None:
    small = config(400).train(["ab ab ab"])
    assert (small.size, small.end) == (400, 399)
    assert small.decode([*small.encode("ab ab é"), 350]) == "ab ab é"
    assert config(400).train([]).decode(config(400).train([]).encode("é")) == "é"


def test_no_pair_that_is_more_frequent_was_passed_over() -> None:
    """The first merge by hand: the most frequent pair of neighbouring bytes."""
    texts = ["abab cdcd abab", "abab"]
    merged = config(258).train(texts)
    assert len(merged.encode("ab")) == 1
    assert [len(merged.encode(pair)) for pair in ("ba", "cd", "dc")] == [2, 2, 2]


def test_saved_and_loaded(tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    loaded = config().load(tmp_path)
    assert (loaded.size, loaded.end) == (tokenizer.size, tokenizer.end)
    assert loaded.encode_all(TEXTS) == tokenizer.encode_all(TEXTS)


def test_training_is_the_same_in_every_process(tmp_path: Path) -> None:
    """Many pairs are equally frequent here, so that an order of chance would show."""
    rng = random.Random(0)
    texts = [" ".join("".join(rng.choices("abcdefgh", k=3)) for _ in range(50)) for _ in range(200)]
    (tmp_path / "texts").write_text("\n".join(texts))
    script = (
        "import sys; from pathlib import Path; from harness_plugins.tokenizer.bpe.bpe import train; "
        "train(Path(sys.argv[1]).read_text().split('\\n'), 500).save(Path(sys.argv[2]))"
    )
    made = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        subprocess.run([sys.executable, "-c", script, tmp_path / "texts", tmp_path / name], check=True)
        made.append((tmp_path / name / "tokenizer.json").read_text())
    assert made[0] == made[1]


@pytest.mark.parametrize("content", ["", "{}", "not json"])
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(UserError, match=r"tokenizer.json cannot be read as a tokenizer"):
        config().load(tmp_path)


def test_files_that_are_missing_or_of_another_size_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"tokenizer.json cannot be read"):
        config().load(tmp_path)
    config(270).train(TEXTS).save(tmp_path)
    with pytest.raises(UserError, match=r"has 269 tokens; tokenizer.size=269 has no room"):
        config(269).load(tmp_path)


def test_a_size_without_room_for_bytes_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"tokenizer.size=256 is too small: at least 257"):
        config(256)
