"""A part of a preset is swapped by one word, whatever the preset says of the part that it has."""

import pytest

from harness.composition import compose, run_config
from harness.config import ConfigError
from harness.planning.plan import resolve


def test_options_of_the_part_that_was_there_go_with_it():
    """The table of LLaMA's head is its own, and its positions have a base; a reward and ALiBi know nothing of that."""
    config = run_config(["architecture=llama3_8b", "architecture/head=reward", "architecture/position=alibi"])
    assert (config.architecture.head.name, config.architecture.position.name) == ("reward", "alibi")


def test_options_that_both_have_stay():
    config = run_config(["architecture=llama3_8b", "architecture/attention=linear"])
    assert config.architecture.attention.heads == 32


def test_a_part_within_a_part_goes_too():
    mixture = run_config(["architecture=mixtral_8x7b"]).architecture.feedforward
    dense = run_config(["architecture=mixtral_8x7b", "architecture/feedforward=gated"]).architecture.feedforward
    assert mixture.experts == 8
    assert dense.name == "gated"


@pytest.mark.parametrize("preset", ["gemma2_2b", "palm_8b", "rwkv4_169m"])
def test_a_preset_whose_head_has_options_becomes_a_reward_model(preset: str):
    words = [f"architecture={preset}", "architecture.vocabulary=null", "architecture/head=reward", "tokenizer=bytes"]
    words += ["alignment=reward_model", "corpus=python_tasks", "corpus.examples=preferences", "suite=null"]
    plan = resolve(run_config([*words, "budget.steps=2", "budget.tokens=null"]))
    assert set(plan.config.architecture.heads()) == {"reward"}


def test_what_the_words_themselves_say_is_refused():
    with pytest.raises(ConfigError, match="architecture.head.tied is not an option"):
        run_config(["architecture=llama2_7b", "architecture/head=reward", "architecture.head.tied=true"])


def test_what_no_part_has_is_refused():
    with pytest.raises(ConfigError, match="architecture.head.teid is not an option"):
        run_config(["architecture=llama2_7b", "architecture/head=reward", "+architecture.head.teid=true"])


def test_a_part_that_no_word_chose_keeps_all_that_a_preset_says():
    assert "tied" in compose(["architecture=llama2_7b"]).architecture.head


def test_an_experiments_options_of_another_architecture_go_with_it():
    config = run_config(["experiment=tiny", "architecture=mamba2"])
    assert (config.architecture.name, config.architecture.width) == ("mamba2", 32)
    with pytest.raises(ConfigError, match="architecture.attention is not an option of mamba2"):
        run_config(["experiment=tiny", "architecture=mamba2", "architecture.attention.heads=4"])
