"""Methods: what turns data and model into a loss, objectives and alignments alike.

A method returns weighted *sums*; each term is divided by its count over the whole step (all micro-batches,
all ranks) before the first backward, so that masked and answer-only losses come out right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from harness.config import PluginConfig, option
from harness.interfaces.architecture import DECODER
from harness.interfaces.corpus import DOCUMENTS, Example
from harness.interfaces.visibility import Causal, Condition

if TYPE_CHECKING:
    import numpy as np
    import torch

    from harness.interfaces.batch import Batch, Randomness, Sequences

#: How places of the stream are cut out of the shards: sequences of one length, regardless of where documents end; one
#: example each; or as many whole examples as fit into a sequence.
SEQUENCES, EXAMPLES, PACKED = "sequences", "examples", "packed"


class Places(NamedTuple):
    """Places of one row of a forward pass: those of the decoder, and those that an encoder reads."""

    written: int
    read: int = 0


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a method is built in.

    tokenizer: a `Tokenizer`. extra: the numbers of the tokens that the method's Config names, which are in the model's
    vocabulary and in no text. template: how examples are written out (data.template). sequence_length: tokens of a
    batch's row. frozen: role of a parent to its `Model`, in eval mode, on the training device, without gradients.
    log_probabilities: role of a parent to a function of the sources_B and numbers_B of `Sequences`, which looks up the
    log-probability of each answer under it, in nats, float64 (rows, answers): computed once for all runs that ask for
    the same, and mapped. topology: of the architecture. examples: sources and numbers, as `Sequences` has them, to the
    examples themselves.
    """

    tokenizer: Any
    template: str = "plain"
    attend_across_documents: bool = True
    sequence_length: int = 0
    frozen: Callable[[str], Any] | None = None
    log_probabilities: Callable[[str], LogProbabilities] | None = None
    examples: Callable[[Sequence[int], Sequence[int]], list[Example]] | None = None
    extra: Mapping[str, int] = field(default_factory=dict)
    topology: str = DECODER


#: sources_B and numbers_B of preferences to logp_BA, float64, nats: a row for each, a column for each answer.
LogProbabilities = Callable[["np.ndarray", "np.ndarray"], "np.ndarray"]


class Method(Protocol):
    """What `MethodConfig.build` returns.

    One may have more. ``collect(model, batch, generators) → Batch``: makes the micro-batch to learn from out of prompts
    and the policy, under no_grad and in eval mode; there is a generator for each row, keyed by (noise seed, step,
    place), so that what a prompt is answered depends neither on micro-batches nor on ranks.
    ``measures(model, batch) → {name: (sum, count)}``: what is told of held-out batches beside the loss.
    ``parts(batch) → [Batch]``: where a batch holds several, which have the inputs and targets in its stead.
    ``told``: names of terms that are counted like the others and told, in metrics.jsonl and of held-out batches, but
    are no part of the loss. The first two stand beside the loss while it trains.
    """

    def prepare(self, sequences: Sequences, randomness: Randomness) -> Batch:
        """Rows of tokens to one batch on the CPU. Runs in loader processes; every random choice about row b
        comes from ``randomness(sequences.places_B[b])``."""
        ...

    def counts(self, batch: Batch) -> dict[str, float]:
        """What each term of the loss is divided by, a function of the batch alone; the batch is on the CPU."""
        ...

    def losses(self, model: Any, batch: Batch) -> dict[str, torch.Tensor]:
        """Each term of the loss as a weighted sum over the batch. The total is Σ term / count. A term that `counts`
        does not name (an auxiliary loss out of `Output`) is a mean over its rows already, and is averaged over all."""
        ...


@dataclass(kw_only=True)
class MethodConfig(PluginConfig):
    """Base of the Configs of objectives and alignments."""

    #: How its model is scored: the kind of likelihood in each score row; None: it has none.
    likelihood: ClassVar[str | None] = "causal"
    #: The head it needs, by name.
    head: ClassVar[str] = "language_model"
    #: The form of the corpus that it reads.
    reads: ClassVar[str] = DOCUMENTS
    #: The roles of parents that it leans on while it trains; one that is not given is `init`.
    leans_on: ClassVar[tuple[str, ...]] = ()
    #: Those of them that teach it: each reads, in one forward pass, all rows that it trains on. `init` is none of these
    #: unless it is named.
    taught_by: ClassVar[tuple[str, ...]] = ()
    #: What its loss is told in: a quantity, and what it is a mean over.
    unit: ClassVar[str] = "nats per token"
    #: The topologies that it can train.
    topologies: ClassVar[frozenset[str]] = frozenset({DECODER})
    #: Whether it generates while it trains.
    generates: ClassVar[bool] = False

    def asks(self, topology: str = DECODER) -> frozenset[type[Condition]]:
        """The kinds of visibility condition it asks the body for, of an encoder–decoder what writes."""
        return frozenset({Causal})

    def writes(self) -> bool:
        """Whether its model goes on with a text, token by token."""
        return self.head == "language_model" and Causal in self.asks()

    def extra_tokens(self) -> tuple[str, ...]:
        """Tokens of its own, which stand for no text, such as ``[MASK]``, by the name that tokenizers have for them."""
        return ()

    def places(self, sequence_length: int, topology: str) -> Places:
        """About what it makes of a row of so many tokens. Raises ConfigError where it can make nothing of it."""
        return Places(sequence_length)

    def longest(self, sequence_length: int, topology: str) -> int:
        """Places of the longest row that it may make of so many tokens, on either side."""
        return max(self.places(sequence_length, topology))

    def cut(self) -> str:
        """How places are cut out of the shards."""
        return SEQUENCES

    def rows(self) -> int:
        """Rows of `sequence_length` tokens that the model sees of each place."""
        return 1

    def body_passes(self) -> int:
        """Passes of each token through the body, each with its backward pass; its heads are asked once."""
        return 1

    def forward_passes(self) -> int:
        """Forward passes of each token in training beside the one that a backward pass follows, of models of the same
        size. Those of `taught_by` are counted at their own."""
        return 0

    def room(self) -> int:
        """Tokens of a sequence that an example leaves free, for what is generated behind it."""
        return 0

    def build(self, setting: Setting) -> Method:
        raise NotImplementedError


@dataclass(kw_only=True)
class ObjectiveConfig(MethodConfig):
    """Base of every objective's Config."""

    logits_chunk: int | None = option(
        None, "places whose logits are held at once; null: all of them", identity=False, minimum=1
    )


@dataclass(kw_only=True)
class AlignmentConfig(MethodConfig):
    """Base of every alignment's Config."""

    def cut(self) -> str:
        return EXAMPLES
