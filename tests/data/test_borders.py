"""Where words begin and end in tokens."""

from typing import Any

import numpy as np

from harness.data.borders import borders, words_of
from harness.registry import registry

END = 256


def words(text: str, of: Any) -> list[str]:
    tokens_T = np.array(of.encode(text))
    words_T = words_of(tokens_T, *borders(of, []))
    return [of.decode(tokens_T[words_T == word].tolist()) for word in range(words_T[-1] + 1)]


def tokenizer(name: str = "bytes", **options: Any) -> Any:
    config = registry().get("tokenizer", name)(**options)
    return config.train(["one two three doubled value(value) return value " * 20])


def test_words_begin_with_a_space_or_behind_one():
    assert words("one two\n  three", tokenizer()) == ["one", " ", "two", "\n", " ", " ", "three"]
    assert words("return value(value)", tokenizer("bpe", size=290))[-1] == " value(value)"


def test_a_tokenizer_may_say_itself_where_words_begin():
    assert words("one doubled(two)", tokenizer("wordpiece", size=600)) == ["one", " doubled", "(", "two", ")"]


def test_the_end_and_a_methods_own_tokens_are_words_of_their_own():
    of = tokenizer()
    a, mask = ord("a"), 257
    assert words_of([a, a, END, a, mask, mask, a], *borders(of, [mask])).tolist() == [0, 0, 1, 2, 3, 4, 5]
