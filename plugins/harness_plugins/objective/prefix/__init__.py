"""Prefix language modelling: the second part of a row from the first, which is seen both ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from harness import hookimpl
from harness.config import ConfigError, option
from harness.interfaces.architecture import DECODER, ENCODER_DECODER
from harness.interfaces.method import Method, ObjectiveConfig, Places, Setting
from harness.interfaces.visibility import Causal, Condition, Prefix

if TYPE_CHECKING:
    import numpy as np

    from harness.models.rewriting import Text

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class PrefixConfig(ObjectiveConfig):
    """Prefix language modelling (Liu et al. 2018; Raffel et al. 2020, section 3.2.3): where a row is cut in two is
    chance. A decoder sees the first part both ways; an encoder–decoder reads it with its encoder."""

    likelihood: ClassVar[str | None] = "prefix"
    topologies: ClassVar[frozenset[str]] = frozenset({DECODER, ENCODER_DECODER})

    least: float = option(0.0, "share of a row that is read, at least", minimum=0.0, maximum=1.0)
    most: float = option(1.0, "share of a row that is read, at most", minimum=0.0, maximum=1.0)

    def check(self) -> None:
        if self.least > self.most:
            raise ConfigError(f"objective=prefix has least={self.least} and most={self.most}: say least first.")

    def asks(self, topology: str = DECODER) -> frozenset[type[Condition]]:
        return frozenset({Causal if topology == ENCODER_DECODER else Prefix})

    def writes(self) -> bool:
        return True

    def places(self, sequence_length: int, topology: str) -> Places:
        read = round(sequence_length * (self.least + self.most) / 2)
        return Places(sequence_length - read, read) if topology == ENCODER_DECODER else Places(sequence_length - 1)

    def longest(self, sequence_length: int, topology: str) -> int:
        most = max(self.most, 1 - self.least) if topology == ENCODER_DECODER else 1.0
        return min(round(sequence_length * most), sequence_length - 1)

    def build(self, setting: Setting) -> Method:
        from harness.models.rewriting import Rewriting

        return Rewriting("prefix", self.split, setting, logits_chunk=self.logits_chunk, opened=False, both_ways=True)

    def split(self, row: Text, rng: np.random.Generator) -> tuple[Text, Text]:
        """At least one token on either side."""
        length = len(row.tokens)
        least, most = (min(max(round(length * share), 1), length - 1) for share in (self.least, self.most))
        at = int(rng.integers(least, most + 1))
        return row.of(slice(at)), row.of(slice(at, None))


@hookimpl
def register_objective() -> dict[str, type]:
    return {"prefix": PrefixConfig}
