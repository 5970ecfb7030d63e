"""Several corpora by weight."""

import pytest

from harness.config import ConfigError, plugin_config, to_mapping
from harness.errors import UserError

SYNTHETIC = {"name": "synthetic", "weight": 1}


def mix(**sources: object):
    return plugin_config("corpus", {"name": "mix", "sources": sources}, "corpus")


def test_sources_are_by_label_with_their_options_and_shares() -> None:
    found = mix(z={"name": "python_stdlib", "weight": 3}, a={**SYNTHETIC, "documents": 7}).mixture()
    assert [(source.name, source.corpus.name, source.weight) for source in found] == [
        ("a", "synthetic", 0.25),
        ("z", "python_stdlib", 0.75),
    ]
    assert found[0].corpus.documents == 7


def test_a_corpus_that_is_no_mix_is_its_own_only_source() -> None:
    config = plugin_config("corpus", "synthetic", "corpus")
    (source,) = config.mixture()
    assert (source.name, source.weight) == ("synthetic", 1.0)
    assert source.corpus is config


def test_a_mix_within_a_mix_is_spread_out() -> None:
    inner = {"name": "mix", "weight": 1, "sources": {"b": SYNTHETIC, "c": {**SYNTHETIC, "seed": 1}}}
    found = mix(a=SYNTHETIC, inner=inner).mixture()
    assert [(source.name, source.weight) for source in found] == [("a", 0.5), ("inner/b", 0.25), ("inner/c", 0.25)]


def test_it_can_be_written_down_and_read_again() -> None:
    config = mix(a=SYNTHETIC, b={**SYNTHETIC, "addition": [1, 3]})
    assert plugin_config("corpus", to_mapping(config), "corpus") == config


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ({}, r"corpus: sources is empty"),
        ({"a": {"name": "synthetic"}}, r"sources.a.weight=None is not a number above 0"),
        ({"a": {**SYNTHETIC, "weight": 0}}, r"sources.a.weight=0 is not a number above 0"),
        ({"a": {**SYNTHETIC, "weight": -1.0}}, r"sources.a.weight=-1.0 is not"),
        ({"a": {**SYNTHETIC, "weight": float("nan")}}, r"sources.a.weight=nan is not"),
        ({"a": {**SYNTHETIC, "weight": "much"}}, r"sources.a.weight='much' is not"),
        ({"a": {"weight": 1}}, r"sources.a has no name: say which corpus"),
        ({"a": SYNTHETIC, "b": {**SYNTHETIC, "weight": 5e-4}}, r"sources.b.weight makes 0.0005 of the mix"),
        (
            {"a": {**SYNTHETIC, "documets": 5}},
            r"sources.a.documets is not an option of synthetic. Did you mean documents\?",
        ),
        ({"a": "synthetic"}, r"corpus.sources.a='synthetic' is not a mapping"),
    ],
)
def test_what_cannot_be_mixed_is_refused(sources: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        mix(**sources)


def test_an_unknown_corpus_is_refused() -> None:
    with pytest.raises(UserError, match=r"no corpus named synthetics. Did you mean synthetic\?"):
        mix(a={"name": "synthetics", "weight": 1})


def test_the_fingerprint_sees_content_and_shares() -> None:
    configs = [
        mix(a=SYNTHETIC, b={**SYNTHETIC, "seed": 1}),
        mix(a=SYNTHETIC, b={**SYNTHETIC, "seed": 2}),
        mix(a=SYNTHETIC, b={**SYNTHETIC, "seed": 1, "weight": 2}),
    ]
    assert len({config.fingerprint() for config in configs}) == 3
    assert mix(b={**SYNTHETIC, "seed": 1}, a=SYNTHETIC).fingerprint() == configs[0].fingerprint()
