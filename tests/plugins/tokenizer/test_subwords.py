"""Tokenizers of pieces of words, trained on the corpus: what holds for each of them, however it finds its pieces."""

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.config import ConfigError, plugin_config
from harness.data.subwords import BYTES, alphabet, count_words, words_of_characters
from harness.errors import UserError
from harness.models.huggingface.tokenizer import END

TEXTS = [f"def function_{i}(value):\n    return value + {i}  # naïve\n" for i in range(100)]
NAMES = ("wordpiece", "unigram", "character_bpe")
#: Fewer tokens than a tokenizer needs for what it says with bytes, and the end.
SMALLEST = {"wordpiece": 514, "unigram": 258, "character_bpe": 258}


def config(name: str, size: int = 700) -> Any:
    return plugin_config("tokenizer", {"name": name, "size": size}, "tokenizer")


trained = {name: config(name).train(TEXTS) for name in NAMES}
each = pytest.mark.parametrize("name", NAMES)

#: What tokenizers take for something else: spaces, names of bytes and of special tokens, marks of continued words.
TRAPS = st.sampled_from(
    [" ", "   ", "\n", "\t", "\r\n", "▁", "Ġ", "##", "‿", "<0x41>", "<unk>", "[MASK]", END, "\x00", "�"]
)


@each
@given(text=st.lists(st.one_of(st.text(), TRAPS, st.sampled_from(TEXTS))).map("".join))
def test_decoding_gives_back_every_text(name: str, text: str) -> None:
    tokenizer = trained[name]
    tokens = tokenizer.encode(text)
    assert tokenizer.decode(tokens) == text
    assert tokenizer.encode_all([text]) == [tokens]
    assert tokenizer.end not in tokens


@each
def test_long_words_come_back_too(name: str) -> None:
    text = "value" * 2000 + "北京" * 500
    assert trained[name].decode(trained[name].encode(text)) == text


@each
def test_what_was_frequent_is_short(name: str) -> None:
    tokenizer = trained[name]
    assert len(tokenizer.encode(" return value")) <= 3
    assert len(tokenizer.encode("zqxj")) == 4


@each
def test_every_digit_is_a_token(name: str) -> None:
    assert [len(trained[name].encode(digits)) for digits in ("7", "42", "100", "1000000")] == [1, 2, 3, 7]


@each
def test_the_end_is_the_last_token_and_a_small_corpus_leaves_tokens_unused(name: str) -> None:
    tokenizer = trained[name]
    assert (tokenizer.size, tokenizer.end, config(name).vocabulary()) == (700, 699, 700)
    assert tokenizer.decode([*tokenizer.encode("a"), tokenizer.end, 698, *tokenizer.encode("b")]) == "ab"
    nothing = config(name).train([])
    assert nothing.decode(nothing.encode("ab é")) == "ab é"


@each
def test_a_size_is_kept(name: str) -> None:
    small = config(name, SMALLEST[name] + 12).train(TEXTS)
    assert small.library.get_vocab_size() == small.size - 1
    assert small.decode(small.encode(TEXTS[0])) == TEXTS[0]
    with pytest.raises(ConfigError, match=f"at least {SMALLEST[name]}"):
        config(name, SMALLEST[name] - 1)


@each
def test_saved_and_loaded(tmp_path: Path, name: str) -> None:
    trained[name].save(tmp_path)
    loaded = config(name).load(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer.json"]
    assert loaded.encode_all(TEXTS) == trained[name].encode_all(TEXTS)
    with pytest.raises(UserError, match=f"tokenizer.size={SMALLEST[name]} has no room"):
        config(name, SMALLEST[name]).load(tmp_path)


@each
def test_training_is_the_same_in_every_process_and_with_every_number_of_threads(tmp_path: Path, name: str) -> None:
    """Many pieces are equally frequent here, so that an order of chance would show."""
    rng = random.Random(0)
    texts = [" ".join("".join(rng.choices("abcdefgh", k=3)) for _ in range(50)) for _ in range(200)]
    (tmp_path / "texts").write_text("\n".join(texts))
    script = (
        "import sys; from pathlib import Path; from harness.config import plugin_config; "
        "config = plugin_config('tokenizer', {'name': sys.argv[1], 'size': 700}, 'tokenizer'); "
        "config.train(Path(sys.argv[2]).read_text().split('\\n')).save(Path(sys.argv[3]))"
    )
    made = []
    for threads in ("1", "2", "2"):
        folder = tmp_path / str(len(made))
        folder.mkdir()
        subprocess.run(
            [sys.executable, "-c", script, name, tmp_path / "texts", folder],
            check=True, env={"RAYON_NUM_THREADS": threads, "OMP_NUM_THREADS": threads},
        )  # fmt: skip
        made.append((folder / "tokenizer.json").read_text())
    assert made[0] == made[1] == made[2]


# ------------------------------------------------------------------------------------ what they share


@given(st.text())
def test_no_word_spells_the_name_of_a_byte(text: str) -> None:
    words = [word for word, _ in words_of_characters().pre_tokenize_str(f"{text}<0x41>{text}")]
    assert "".join(words) == f"{text}<0x41>{text}"
    assert not any(byte in word for word in words for byte in BYTES)


def test_words_are_counted_as_they_are_split() -> None:
    text = "a bb  a\n\n  bb a1.5 "
    split = [word for word, _ in words_of_characters().pre_tokenize_str(text)]
    assert count_words([text, text]) == {word: 2 * split.count(word) for word in split}


def test_the_alphabet_leaves_out_what_is_rare() -> None:
    words = count_words(["ab" * 10_000 + "z"])
    assert alphabet(words, most=9) == ["a", "b"]
    assert alphabet(words, most=1) == ["a"]
    assert alphabet(count_words([]), most=9) == []
