"""Several corpora in one stream, each with its share of the sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness.config import ConfigError, option, plugin_config
from harness.interfaces.corpus import CorpusConfig, Source

HARNESS_INTERFACE = 1

#: The stream's schedule has at most a thousand places in a period.
LEAST_SHARE = 0.001


@dataclass(kw_only=True)
class Mix(CorpusConfig):
    """Weights are shares of the training sequences, in any unit, rounded to about a thousandth of the whole."""

    sources: dict[str, dict[str, Any]] = option(
        {}, "label: {name: a corpus, weight: its share, and that corpus's options}", identity=False
    )

    def check(self) -> None:
        self.mixture()

    def mixture(self) -> Sequence[Source]:
        """The sources by label, weights normalised; a mix within a mix is spread out."""
        if not self.sources:
            raise ConfigError(
                "sources is empty. Give +corpus.sources.<label>={name: <corpus>, weight: <share>} for each."
            )
        weights = {label: _weight(label, values) for label, values in self.sources.items()}
        total = sum(weights.values())
        found = []
        for label in sorted(self.sources):
            options = {key: value for key, value in self.sources[label].items() if key != "weight"}
            found += _spread(label, plugin_config("corpus", options, f"sources.{label}"), weights[label] / total)
        return found

    def fingerprint(self) -> str:
        from harness.data.cache import digest

        return digest([[source.name, source.corpus.fingerprint(), source.weight] for source in self.mixture()])


def _weight(label: str, values: dict[str, Any]) -> float:
    weight = values.get("weight")
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 < weight < float("inf"):
        raise ConfigError(f"sources.{label}.weight={weight!r} is not a number above 0.")
    return float(weight)


def _spread(label: str, corpus: CorpusConfig, share: float) -> list[Source]:
    parts = [s for s in corpus.mixture() if s.corpus is not corpus]
    named = [Source(f"{label}/{s.name}", s.corpus, share * s.weight) for s in parts] or [Source(label, corpus, share)]
    for source in named:
        if source.weight < LEAST_SHARE:
            raise ConfigError(f"sources.{label}.weight makes {source.weight:.2g} of the mix: at least {LEAST_SHARE}.")
    return named


@hookimpl
def register_corpus() -> dict[str, type]:
    return {"mix": Mix}
