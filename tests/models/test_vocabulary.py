"""Weights under another vocabulary: a new token begins as the mean of what its text was."""

from typing import Any

import pytest
import torch

from harness.config import plugin_config
from harness.models.vocabulary import grown, origins, same_tokens, tables, transferred


def tokenizer(name: str, *texts: str, **options: Any) -> Any:
    return plugin_config("tokenizer", {"name": name, **options}, "tokenizer").train(texts)


@pytest.fixture
def words() -> Any:
    return tokenizer("bpe", "the cat and the hat and the rat " * 20, size=270)


def test_a_token_comes_from_the_tokens_that_its_text_was(words: Any):
    """From bytes to words: each merge from its bytes, each byte from itself, the end from the end."""
    found = origins(words, tokenizer("bytes"))
    for token, before in enumerate(found):
        text = words.decode([token])
        if token == words.end:
            assert before == [256]
        elif "\ufffd" in text or not text:
            assert before == []
        else:
            assert before == list(text.encode())
    assert [116, 104, 101] in found or [32, 116, 104, 101] in found, "a merge of several bytes"


def test_where_every_token_is_one_of_the_old_ones_it_is_moved_to_its_new_place():
    old, new = tokenizer("characters", "abcdef"), tokenizer("characters", "bdf")
    assert origins(new, old) == [[1], [3], [5], [], [old.end]]


def test_rows_are_means_and_what_comes_from_nowhere_keeps_its_fresh_start():
    old, fresh = torch.tensor([[1.0, 2.0], [3.0, 6.0], [5.0, 7.0]]), torch.full((3, 2), -1.0)
    found = transferred(old, fresh, [[1], [], [0, 1]])
    assert found.tolist() == [[3.0, 6.0], [-1.0, -1.0], [2.0, 4.0]]
    assert fresh.tolist() == [[-1.0, -1.0]] * 3, "it is left as it was"
    assert transferred(torch.tensor([1.0, 3.0]), torch.zeros(2), [[0, 1]]).tolist() == [2.0, 0.0], "a bias, too"


@pytest.mark.parametrize(("old", "new"), [(2, 3), (3, 2)])
def test_padding_grows_and_shrinks_at_the_end(old: int, new: int):
    found = grown(torch.ones(old, 1), torch.zeros(new, 1))
    assert found.flatten().tolist() == [1.0, 1.0, 0.0][:new]


def test_the_same_tokens_are_told_from_others(words: Any):
    other = tokenizer("bpe", "one fish two fish red fish blue fish " * 20, size=270)
    assert same_tokens(words, tokenizer("bpe", "the cat and the hat and the rat " * 20, size=270))
    assert not same_tokens(words, other)
    assert not same_tokens(words, tokenizer("bytes"))


@pytest.mark.parametrize("tied", [True, False])
def test_tables_are_what_has_a_row_for_each_token(transformer: Any, tied: bool):
    model = transformer(width=32, head={"name": "language_model", "tied": tied}).build(32)
    assert tables(model, 32) == {"body.tokens.weight", "heads.language_model.weight"}
