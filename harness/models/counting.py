"""The account of a model: parameters, floating-point operations, memory. From the closed forms of its Configs, without
torch; only an architecture that gives none is built on the meta device and counted there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.interfaces.architecture import ArchitectureConfig, PartCount

#: Bytes of one number: (weights and gradients, activations), by `trainer.precision`.
BYTES = {"fp32": (4, 4), "bf16": (4, 2), "bf16-true": (2, 2)}


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
    def forward_flops(self) -> int:
        """Exact FLOPs of the forward pass for one token: matrix products only, attention over all places."""
        return sum(part.flops for part in self.parts)

    @property
    def training_flops(self) -> int:
        """Exact FLOPs of forward and backward for one token: backward, two products stand for each of the first."""
        return 3 * self.forward_flops

    def six_n(self, parameters: int | None = None) -> int:
        """The 6N of "C = 6ND": FLOPs of training for one token, by rule of thumb. parameters: N; null: all active
        ones (Hoffmann et al. 2022 count the total, Kaplan et al. 2020 `non_embedding`)."""
        return 6 * (self.active if parameters is None else parameters)


def account(config: ArchitectureConfig, vocabulary: int, sequence_length: int) -> Account:
    """The model's account at this vocabulary and sequence length (tokens)."""
    parts = config.counts(vocabulary, sequence_length)
    if parts is None:
        from harness.models.meta import count_on_meta

        parts = count_on_meta(config, vocabulary, sequence_length)
    return Account(parts, sequence_length)


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes on one device that holds everything. activations is an estimate; None where the architecture gives none."""

    weights: int
    gradients: int
    optimizer: int
    activations: int | None

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.optimizer + (self.activations or 0)


@dataclass(frozen=True)
class InferenceMemory:
    """Bytes of the weights, and of the decoding state for each token in it (None: the architecture does not say)."""

    weights: int
    cache_per_token: int | None


def training_memory(
    config: ArchitectureConfig,
    vocabulary: int,
    sequence_length: int,
    micro_batch: int,
    precision: str = "fp32",
    optimizer_numbers: int = 2,
) -> TrainingMemory:
    """Memory of one training step. optimizer_numbers: numbers of optimizer state for each parameter (AdamW: 2)."""
    parameter_bytes, activation_bytes = BYTES[precision]
    weights = account(config, vocabulary, sequence_length).total * parameter_bytes
    kept = config.activations(vocabulary, sequence_length)
    activations = None if kept is None else kept * sequence_length * micro_batch * activation_bytes
    return TrainingMemory(weights, weights, optimizer_numbers * weights, activations)


def inference_memory(config: ArchitectureConfig, vocabulary: int, precision: str = "bf16-true") -> InferenceMemory:
    """Memory of decoding: weights, and the cache's growth with each token."""
    parameter_bytes, activation_bytes = BYTES[precision]
    weights = account(config, vocabulary, 1).total * parameter_bytes
    return InferenceMemory(weights, config.cache_bytes(activation_bytes))
