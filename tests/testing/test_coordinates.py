"""The coordinate check: flat in μP, growing in the standard parametrization, and growing where one rule of μP is
missing.

What a model computes is the sum of what it has learned, which μP keeps at one size, and of what the draw of its weights
leaves of sums over width, which falls as 1/√width. So an exponent lies between −1/2 and 0, and at 0 where the first is
much larger: in the outputs of blocks, and in what training changes in logits.
"""

from collections.abc import Callable
from typing import Any

import pytest

from harness.config import plugin_config
from harness.interfaces.optimizer import DecoupledDecayConfig
from harness.testing.coordinates import coordinates, exponent

BASE = 32
FLAT = 0.1


@pytest.fixture
def exponents(transformer: Callable[..., Any]) -> Callable[..., dict[tuple[str, str], float]]:
    """By quantity and "start" or "change". mup: whether the rate is of the narrowest model and follows the width."""

    def of(
        mup: bool, widths=(32, 64, 128), seeds=3, optimizer="adamw", steps=4, **changes: Any
    ) -> dict[tuple[str, str], float]:
        base = {"base_width": BASE, "base_channels": BASE // 4} if mup else {}
        rate = plugin_config("optimizer", {"name": optimizer, "lr": 0.01}, "optimizer")
        sizes = coordinates(lambda width: transformer(width=width, **base, **changes), widths, rate, steps, seeds)
        return {key: exponent(of_width) for key, of_width in sizes.items()}

    return of


def flat(found: dict[tuple[str, str], float]) -> bool:
    """Whether nothing grows, and blocks, and what training does to the final logits, stay of one size."""
    outputs = [of for (name, _), of in found.items() if "logits" not in name]
    kept = all(abs(of) < FLAT for of in (*outputs, found["final logits", "change"]))
    return kept and all(-0.5 - FLAT < of < FLAT for of in found.values())


def test_exponents_are_of_the_width():
    assert exponent({32: 5.0, 64: 5.0, 128: 5.0}) == pytest.approx(0)
    assert exponent({32: 1.0, 64: 2.0, 128: 4.0}) == pytest.approx(1)


def test_mup_is_flat(exponents: Any):
    found = exponents(True)
    assert flat(found)
    assert found["final logits", "start"] < -0.3  # of random weights: 1/√width


def test_the_standard_parametrization_grows(exponents: Any):
    found = exponents(False)
    assert not flat(found)
    for name in ("block 0", "block 1", "block 0: attention logits", "final logits"):
        assert found[name, "change"] > 0.5


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "lion"},
        {"head": {"name": "language_model", "tied": False}, "steps": 10},
        {"feedforward": {"name": "mixture_of_experts", "experts": 4}},
        {"optimizer": "muon", "attention": {"name": "multi_head", "key_value_heads": 2}},
        {"scale_embeddings": True, "placement": "sandwich"},
    ],
    ids=lambda changes: ",".join(changes),
)
def test_mup_is_flat_with_other_parts_and_optimizers(exponents: Any, changes: dict[str, Any]):
    assert flat(exponents(True, **changes))


def test_without_any_one_of_its_rules_it_is_not(exponents: Any, monkeypatch: pytest.MonkeyPatch):
    from harness_plugins.attention.multi_head import MultiHeadConfig
    from harness_plugins.head.language_model import LanguageModelConfig

    def unscaled(config: Any, *width: Any) -> Any:
        return config

    missing = {
        "rate": (DecoupledDecayConfig, "width_share", lambda config, one: 1.0),
        "attention": (MultiHeadConfig, "at_width", unscaled),
        "head": (LanguageModelConfig, "at_width", unscaled),
    }
    for rule in missing.values():
        with monkeypatch.context() as without:
            without.setattr(*rule)
            assert not flat(exponents(True, widths=(32, 128), seeds=2))


@pytest.mark.slow
def test_what_attention_learns_is_flat_too(exponents: Any):
    found = exponents(True, widths=(32, 64, 128, 256), seeds=8)
    assert all(abs(of) < FLAT for (_, when), of in found.items() if when == "change")
