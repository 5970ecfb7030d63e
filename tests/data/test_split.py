"""The split: by the text alone."""

from hypothesis import given
from hypothesis import strategies as st

from harness.data.split import is_held_out


@given(st.text(), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_holds_out_the_same_and_more(text: str, a: float, b: float) -> None:
    assert is_held_out(text, min(a, b)) <= is_held_out(text, max(a, b))


@given(st.text())
def test_none_and_all(text: str) -> None:
    assert not is_held_out(text, 0.0)
    assert is_held_out(text, 1.0)


def test_the_share_is_kept() -> None:
    """Within five standard errors of a binomial."""
    held = sum(is_held_out(f"document {i}", 0.05) for i in range(20_000))
    assert abs(held - 1000) < 5 * (20_000 * 0.05 * 0.95) ** 0.5
