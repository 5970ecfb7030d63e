"""A config is set strictly by name and by type; every mistake names its place."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.config import Config, ConfigError, fields_of, from_mapping, option, replace_at, section, to_mapping
from harness.schema import BudgetConfig, DataConfig, SeedConfig, TrainerConfig


@dataclass(kw_only=True)
class Inner(Config):
    share: float = option(0.5, "a share", minimum=0.0, maximum=1.0)


@dataclass(kw_only=True)
class Outer(Config):
    steps: int = option(help="optimizer steps")
    label: str | None = option(None, "a label")
    widths: list[int] = option([1, 2], "widths in channels")
    mode: str = option("fast", "how", choices=("fast", "exact"))
    inner: Inner = section(Inner, "the inner part")

    def check(self) -> None:
        if self.steps == 13:
            raise ConfigError("steps must not be 13.")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"stpes": 3}, "stpes is not an option. Did you mean steps?"),
        ({}, "steps has no value: optimizer steps."),
        ({"steps": "many"}, "steps='many' is not a whole number."),
        ({"steps": 1.5}, "steps=1.5 is not a whole number."),
        ({"steps": True}, "steps=True is not a whole number."),
        ({"steps": None}, "steps=None is not a whole number."),
        ({"steps": float("inf")}, "steps=inf is not a whole number."),
        ({"steps": float("nan")}, "steps=nan is not a whole number."),
        ({"steps": 1, "inner": {"share": float("nan")}}, "inner.share=nan is not a finite number."),
        ({"steps": 1, "inner": {"share": "1e999"}}, "inner.share='1e999' is not a finite number."),
        ({"steps": 1, "widths": 3}, "widths=3 is not a list."),
        ({"steps": 1, "widths": ["a"]}, r"widths\[0\]='a' is not a whole number."),
        ({"steps": 1, "mode": "fats"}, "mode='fats' is not possible. Did you mean fast?"),
        ({"steps": 1, "inner": {"share": 2}}, "inner.share=2.0 is too large: at most 1.0."),
        ({"steps": 1, "inner": {"shar": 2}}, "inner.shar is not an option. Did you mean share?"),
        ({"steps": 1, "inner": 3}, "inner=3 is not a mapping."),
        ({"steps": 13}, "steps must not be 13."),
    ],
)
def test_a_mistake_names_its_place(values, message):
    with pytest.raises(ConfigError, match=message):
        from_mapping(Outer, values)


def test_a_budget_is_one_that_can_be_counted():
    assert from_mapping(BudgetConfig, {"tokens": "1e15"}).tokens == 10**15
    for values in ({"tokens": 1e30}, {"tokens_per_parameter": 1e30}):
        with pytest.raises(ConfigError, match="is too large"):
            from_mapping(BudgetConfig, values)


def test_seeds_are_what_generators_take():
    assert from_mapping(SeedConfig, {"init": 2**63 - 1}).init == 2**63 - 1
    for seed in (-1, 2**63):
        with pytest.raises(ConfigError, match="data=.* is too"):
            from_mapping(SeedConfig, {"data": seed})


def test_numbers_as_yaml_writes_them_are_understood():
    assert from_mapping(Outer, {"steps": "1e3", "inner": {"share": "1e-3"}}) == Outer(
        steps=1000, inner=Inner(share=1e-3)
    )
    assert from_mapping(Outer, {"steps": 5.0}).steps == 5


def test_replace_at_changes_one_field_and_nothing_else():
    before = Outer(steps=3)
    after = replace_at(before, "inner.share", 0.25)
    assert after == Outer(steps=3, inner=Inner(share=0.25))
    assert before.inner.share == 0.5
    with pytest.raises(ConfigError, match="inner.shape is not an option. Did you mean share?"):
        replace_at(before, "inner.shape", 1)


def test_defaults_are_not_shared_between_configs():
    one, other = Outer(steps=1), Outer(steps=1)
    one.widths.append(3)
    one.inner.share = 0.1
    assert other == Outer(steps=1)


@given(
    st.builds(
        Outer,
        steps=st.integers(-5, 10**9).filter(lambda n: n != 13),
        label=st.none() | st.text().filter(lambda s: s != "???"),
        widths=st.lists(st.integers()),
        mode=st.sampled_from(["fast", "exact"]),
        inner=st.builds(Inner, share=st.floats(0, 1)),
    )
)
def test_to_mapping_and_from_mapping_are_inverse(config):
    assert from_mapping(Outer, to_mapping(config)) == config


@pytest.mark.parametrize("section", [BudgetConfig, DataConfig, TrainerConfig])
def test_every_option_of_a_run_says_what_it_is(section):
    assert all(field.metadata["help"] for field in fields_of(section).values())
