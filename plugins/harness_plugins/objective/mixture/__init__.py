"""Several objectives in one run: each row is learned by one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from harness import hookimpl
from harness.config import ConfigError, option, plugin_config
from harness.errors import suggest
from harness.interfaces.architecture import DECODER, ENCODER_DECODER
from harness.interfaces.corpus import DOCUMENTS
from harness.interfaces.method import SEQUENCES, Method, ObjectiveConfig, Places, Setting
from harness.interfaces.visibility import Condition

HARNESS_INTERFACE = 1

#: The name of the loss, which no label can have.
TERM = "mixture"


@dataclass(kw_only=True)
class MixtureConfig(ObjectiveConfig):
    """Several objectives, by one of which each row is learned, drawn by weight. The loss is the mean over all tokens
    that are learned, as if all rows were of one objective; the loss of each is told by its label."""

    example: ClassVar[Mapping[str, Any]] = {"objectives": {"clm": {}, "fim": {}}}

    objectives: dict[str, Any] = option(
        {}, "label: {name: an objective, where the label is not its name, and that objective's options}"
    )
    weights: dict[str, float] = option({}, "label: its share of the rows, in any unit; of those not named, 1")
    scored_as: str | None = option(
        None, "label of the objective as whose its model is scored and writes; null: any, where all are scored alike"
    )

    def check(self) -> None:
        if not self.objectives:
            raise ConfigError("objectives is empty. Give +method.objectives.<label>={name: <objective>} for each.")
        # By label, so that their order, which no id knows, changes nothing.
        self.objectives = {label: _objective(label, self.objectives[label]) for label in sorted(self.objectives)}
        for label, weight in self.weights.items():
            if label not in self.objectives:
                raise ConfigError(f"weights.{label} has no objective. {suggest(label, self.objectives)}")
            if weight <= 0:
                raise ConfigError(f"weights.{label}={weight} is not a number above 0.")
        kinds = {label: str(config.likelihood) for label, config in self.objectives.items()}
        if self.scored_as is None and len(set(kinds.values())) > 1:
            told = ", ".join(f"{label}: {kind}" for label, kind in kinds.items())
            raise ConfigError(f"scored_as is null, and the objectives are not scored alike ({told}): name one of them.")
        if self.scored_as is not None and self.scored_as not in self.objectives:
            raise ConfigError(
                f"scored_as={self.scored_as} has no objective. {suggest(self.scored_as, self.objectives)}"
            )

    @property
    def scored(self) -> ObjectiveConfig:
        """That as whose its model is scored."""
        found: ObjectiveConfig = self.objectives[self.scored_as or min(self.objectives)]
        return found

    @property
    def likelihood(self) -> str | None:  # type: ignore[override]
        return self.scored.likelihood

    @property
    def topologies(self) -> frozenset[str]:  # type: ignore[override]
        both = frozenset({DECODER, ENCODER_DECODER})
        return both.intersection(*(config.topologies for config in self.objectives.values()))

    def shares(self) -> dict[str, float]:
        """Of the rows, by label."""
        weights = {label: self.weights.get(label, 1.0) for label in self.objectives}
        return {label: weight / sum(weights.values()) for label, weight in weights.items()}

    def asks(self, topology: str = DECODER) -> frozenset[type[Condition]]:
        return frozenset().union(*(config.asks(topology) for config in self.objectives.values()))

    def writes(self) -> bool:
        return self.scored.writes()

    def extra_tokens(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(token for config in self.objectives.values() for token in config.extra_tokens()))

    def places(self, sequence_length: int, topology: str) -> Places:
        each = {label: config.places(sequence_length, topology) for label, config in self.objectives.items()}
        return Places(
            *(round(sum(share * each[label][side] for label, share in self.shares().items())) for side in (0, 1))
        )

    def longest(self, sequence_length: int, topology: str) -> int:
        return max(config.longest(sequence_length, topology) for config in self.objectives.values())

    def build(self, setting: Setting) -> Method:
        from harness_plugins.objective.mixture.mixture import ObjectiveMixture

        chunked = {
            label: replace(config, logits_chunk=config.logits_chunk or self.logits_chunk)
            for label, config in self.objectives.items()
        }
        return ObjectiveMixture({label: config.build(setting) for label, config in chunked.items()}, self.shares())


def _objective(label: str, values: Any) -> ObjectiveConfig:
    """Raises ConfigError for one whose loss is not a mean over tokens of rows of documents."""
    if label == TERM:
        raise ConfigError(f"objectives.{label} has the name of the loss: choose another label.")
    if isinstance(values, dict):
        values = {"name": label, **values}
    config: ObjectiveConfig = plugin_config("objective", values or label, f"objectives.{label}")
    plain = ObjectiveConfig()
    alike = config.reads == DOCUMENTS and config.cut() == SEQUENCES and not config.leans_on and not config.generates
    if not alike or (config.head, config.unit) != (plain.head, plain.unit) or isinstance(config, MixtureConfig):
        raise ConfigError(
            f"objectives.{label}: {config.name} cannot stand in a mixture, whose objectives all read rows of documents "
            f"and tell their loss in {plain.unit} of the language model's head."
        )
    return config


@hookimpl
def register_objective() -> dict[str, type]:
    return {"mixture": MixtureConfig}
