"""Likelihoods: how a model is asked what a text is worth, each kind in the form in which its objective trains it.

A method names its kind, and the kind stands in each row of scores. A question is a context and its continuation, in
tokens; a likelihood writes it as rows of a forward pass, and the answer is the sum of the log-probabilities of what
these rows ask for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from harness.config import PluginConfig
from harness.interfaces.architecture import DECODER
from harness.interfaces.visibility import Causal, Condition


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a forward pass, and what is asked of it: log p(targets[i]) at places[i], in nats.

    inputs: what the model sees; of an encoder–decoder, its decoder. source: what its encoder sees. prefix: places from
    the first on that see each other, where the kind sees a `Prefix`. weight: how often what is asked counts.
    """

    inputs: Sequence[int]
    places: Sequence[int] = ()
    targets: Sequence[int] = ()
    source: Sequence[int] | None = None
    prefix: int = 0
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a likelihood is built for. length: tokens that a row shows at most. extra: the numbers of its method's own
    tokens, by name. topology: of its architecture."""

    tokenizer: Any
    length: int
    extra: Mapping[str, int] = field(default_factory=dict)
    topology: str = DECODER


class Likelihood(Protocol):
    """What `LikelihoodConfig.build` returns. One that can write has also ``opening(context) → Row``: what is seen when
    the first token behind a context is drawn, which goes on from the row's last place. One that takes a row for each
    token may have ``rolling(context, continuation) → list[Row]``: of a piece of a long text, rows for some of its
    tokens, by whose weights those that are not asked are counted."""

    room: int  #: tokens of a continuation, at most

    def rows(self, context: Sequence[int], continuation: Sequence[int]) -> list[Row]:
        """context: at least one token, as long as it likes: its beginning is left out where it does not fit.
        continuation: 1 to `room` tokens."""
        ...


@dataclass(kw_only=True)
class LikelihoodConfig(PluginConfig):
    """Base of every likelihood's Config, which has no options: a score must not depend on more than its name."""

    #: The head that gives the log-probabilities.
    head: ClassVar[str] = "language_model"
    #: Whether its numbers are probabilities of texts, of which all together have one: what counts words has such, too.
    proper: ClassVar[bool] = True
    #: What a place of a row sees: `Causal`, `Full` or `Prefix`. Padding is hidden from all.
    sees: ClassVar[type[Condition]] = Causal

    def build(self, asked: Asked) -> Likelihood:
        raise NotImplementedError
