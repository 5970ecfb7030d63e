"""An n-gram model with interpolated Kneser–Ney smoothing: what counting alone reaches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from harness import hookimpl
from harness.config import ConfigError, option
from harness.interfaces.architecture import ArchitectureConfig, PartCount
from harness.interfaces.method import AlignmentConfig
from harness.interfaces.visibility import Causal, Condition, NotBefore, SameDocument

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class NgramConfig(ArchitectureConfig):
    """Counts of n-grams with interpolated Kneser–Ney smoothing (Chen, Goodman 1999). The optimizer moves the discounts
    alone; with optimizer.lr=0 they stay at the authors' estimate."""

    visibilities: ClassVar[frozenset[type[Condition]]] = frozenset({Causal, SameDocument, NotBefore})

    order: int = option(3, "tokens of the longest n-gram: the one that is foretold, and those before it", minimum=1)

    def counts(self, vocabulary: int, sequence_length: int) -> list[PartCount] | None:
        """A discount for each order, which belongs to a table; no matrix products. Raises ConfigError where an n-gram
        has too many tokens of so large a vocabulary."""
        if (vocabulary + 1) ** self.order >= 2**63:
            raise ConfigError(
                f"architecture.order={self.order}: so many tokens of a vocabulary of {vocabulary} do not fit into the "
                "64 bits by which an n-gram is known. Give a lower order, or a smaller vocabulary."
            )
        return [PartCount("discounts", self.order, 0, self.order, embedding=True)]

    def check_run(self, config: Any) -> None:
        chosen, trainer = f"architecture={self.name}", config.trainer
        if trainer.devices > 1:
            raise ConfigError(f"{chosen} counts in one process: say trainer.devices=1 and not {trainer.devices}.")
        if isinstance(config.method, AlignmentConfig):
            raise ConfigError(
                f"{chosen} counts what is written in a text, and alignment={config.method.name} learns from texts that "
                "are better or worse: say an objective."
            )
        for part in ("adapter", "quantizer"):
            if getattr(config, part):
                raise ConfigError(f"{chosen} has no matrix that {part}={getattr(config, part).name} could be put to.")
        if config.parents.get("init"):
            raise ConfigError(f"{chosen} has no weights to begin with but its counts: say parents.continue=<run>.")
        if config.budget.flops is not None:
            raise ConfigError(
                f"budget.flops={config.budget.flops:g} is no budget for {chosen}, which does none: say budget.tokens."
            )

    def cache_bytes(self, bytes_per_number: int) -> int | None:
        """Its decoding state, the last tokens, does not grow."""
        return 0

    def state_bytes(self, bytes_per_number: int) -> int:
        """Tokens are numbers of 64 bits."""
        return 8 * max(self.order - 1, 1)

    def build(self, vocabulary: int) -> Any:
        from harness.models.model import Model
        from harness_plugins.architecture.ngram.ngram import Contexts, Counting

        return Model(Contexts(self.order, vocabulary), {"language_model": Counting(self.order, vocabulary)})


@hookimpl
def register_architecture() -> dict[str, type]:
    return {"ngram": NgramConfig}
