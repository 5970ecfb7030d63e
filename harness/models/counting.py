"""The account of a model: parameters, floating-point operations, memory. From the closed forms of its Configs, without
torch; only an architecture that gives none is built on the meta device and counted there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.interfaces.architecture import ArchitectureConfig, PartCount

#: Bytes of one number: (weights and gradients, activations), by `trainer.precision`.
BYTES = {"fp32": (4, 4), "bf16": (4, 2), "bf16-true": (2, 2), "fp16": (4, 2)}


@dataclass(frozen=True)
class Account:
    """What a model is made of and what one token costs, at one sequence length."""

    parts: Sequence[PartCount]
    sequence_length: int

    @property
    def total(self) -> int:
        """All parameters."""
        return sum(part.parameters for part in self.parts)

    @property
    def non_embedding(self) -> int:
        """Parameters without the look-up tables (Kaplan et al. 2020). A tied head's matrix is such a table; an untied
        one is not."""
        return sum(part.parameters for part in self.parts if not part.embedding)

    @property
    def active(self) -> int:
        """Parameters that one token uses, embedding tables included whole."""
        return sum(part.active for part in self.parts)

    @property
    def active_non_embedding(self) -> int:
        """Of `non_embedding` those that one token uses: fewer only where there are experts."""
        return sum(part.active for part in self.parts if not part.embedding)

    @property
    def forward_flops(self) -> int:
        """Exact FLOPs of the forward pass for one token: matrix products only, attention over all places."""
        return sum(part.flops for part in self.parts)

    @property
    def body_share(self) -> float:
        """The share of these that is not the head's."""
        of_head = sum(part.flops for part in self.parts if part.part.split(".")[0] in ("head", "heads"))
        return 1 - of_head / self.forward_flops if self.forward_flops else 0.0

    @property
    def training_flops(self) -> int:
        """Exact FLOPs of forward and backward for one token: backward, two products stand for each of the first."""
        return 3 * self.forward_flops

    def six_n(self, parameters: int | None = None) -> int:
        """The 6N of "C = 6ND": FLOPs of training for one token, by rule of thumb. parameters: N; null: all active
        ones (Hoffmann et al. 2022 count the total, Kaplan et al. 2020 `active_non_embedding`)."""
        return 6 * (self.active if parameters is None else parameters)


def account(config: ArchitectureConfig, vocabulary: int, sequence_length: int, source_length: int = 0) -> Account:
    """The model's account at this vocabulary and sequence length (tokens). source_length: of the text that an
    encoder–decoder reads; 0: as long."""
    lengths = (sequence_length, source_length) if source_length else (sequence_length,)
    parts = config.counts(vocabulary, *lengths)
    if parts is None:
        from harness.models.meta import count_on_meta

        parts = count_on_meta(config, vocabulary, *lengths)
    return Account(parts, sequence_length)


@dataclass(frozen=True)
class InferenceMemory:
    """Bytes of the weights, and of the decoding state: for each token in it (None: the architecture does not say), and
    for each row whatever its length."""

    weights: int
    cache_per_token: int | None
    state_per_row: int


def inference_memory(config: ArchitectureConfig, vocabulary: int, precision: str = "bf16-true") -> InferenceMemory:
    """Memory of decoding: weights, the cache's growth with each token, and what does not grow."""
    parameter_bytes, activation_bytes = BYTES[precision]
    weights = account(config, vocabulary, 1).total * parameter_bytes
    return InferenceMemory(weights, config.cache_bytes(activation_bytes), config.state_bytes(activation_bytes))
