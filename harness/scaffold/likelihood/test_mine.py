"""Rows show what may be seen and ask for what is meant."""

from harness.interfaces.likelihood import Asked, Likelihood
from harness.scaffold.likelihood import MineConfig
from harness.testing.objective import Letters

LENGTH = 6


def likelihood() -> Likelihood:
    return MineConfig(name="mine").build(Asked(tokenizer=Letters(), length=LENGTH))


def test_every_token_is_asked_for_once_and_not_shown_before() -> None:
    for length in range(1, likelihood().room + 1):
        continuation = list(range(length))
        (row,) = likelihood().rows([40, 41], continuation)
        assert list(row.targets) == continuation
        for place, token in zip(row.places, row.targets, strict=True):
            assert list(row.inputs[1 : place + 1]) == continuation[:token]


def test_a_row_is_no_longer_than_the_model_sees() -> None:
    (row,) = likelihood().rows([40], list(range(likelihood().room)))
    assert len(row.inputs) <= LENGTH


def test_the_context_changes_nothing() -> None:
    assert likelihood().rows([40, 41, 42], [1, 2]) == likelihood().rows([43], [1, 2])
