"""WordPiece: the longest piece first, over bytes."""

from typing import Any

from harness.config import plugin_config
from harness_plugins.tokenizer.wordpiece.wordpiece import LONGEST, WITHIN

TEXTS = ["unaffable affable affordable un affably " * 20, "naïve 北京 " * 5]


def train() -> Any:
    return plugin_config("tokenizer", {"name": "wordpiece", "size": 600}, "tokenizer").train(TEXTS)


def test_each_piece_is_the_longest_that_fits() -> None:
    """Against the definition (Devlin et al. 2019), byte by byte, over the library's own words."""
    tokenizer = train()
    vocabulary = tokenizer.library.get_vocab()
    for text in [*TEXTS, "unaffordable trees", "naïveté", "x" * 3 * LONGEST]:
        expected = []
        for word, _ in tokenizer.library.pre_tokenizer.pre_tokenize_str(text):
            start = 0
            while start < len(word):
                before = WITHIN if start else ""
                ends = range(len(word), start, -1)
                stop = next(end for end in ends if before + word[start:end] in vocabulary)
                expected.append(vocabulary[before + word[start:stop]])
                start = stop
        assert tokenizer.encode(text) == expected


def test_it_knows_which_tokens_begin_a_word() -> None:
    tokenizer = train()
    begins = [tokenizer.begins_word(token) for token in tokenizer.encode("affable zzz")]
    assert begins[0]
    assert begins[-3:] == [False, False, False] or begins[-3:] == [True, False, False]
    assert not tokenizer.begins_word(tokenizer.end), "it is no part of a word"
