"""What a run costs and what a model is, as tables for people and programs."""

from __future__ import annotations

from typing import Any

from harness.models.counting import Account, account, inference_memory, training_memory
from harness.planning.plan import ASSUMED_MFU, Plan, dataset, vocabulary_of
from harness.schema import RunConfig


def cost(plan: Plan, flops_per_second: float) -> dict[str, Any]:
    """One line of `harness plan`. memory_bytes: weights, gradients, optimizer state, and activations by estimate.
    own_flops, hours: without what is continued from another run."""
    config, data = plan.config, dataset(plan.config)
    memory = _training_memory(config, plan.vocabulary)
    return {
        "run": plan.id,
        "parameters": plan.account.total,
        "non_embedding": plan.account.non_embedding,
        "steps": plan.steps,
        "tokens": plan.tokens,
        "unique_tokens": data.distinct(plan.tokens),
        "epochs": max(data.epochs(plan.tokens).values()),
        "flops": plan.flops,
        "flops_6nd": plan.flops_6nd,
        "own_steps": plan.own_steps,
        "own_flops": plan.own_flops,
        "parents": " ".join(f"{role}={parent.identity}" for role, parent in plan.parents.items()),
        "memory_bytes": memory.total,
        "hours": plan.hours(flops_per_second),
    }


def machine_rate(config: RunConfig) -> tuple[float, str]:
    """FLOP/s that one device of this machine is expected to reach, and how that was arrived at."""
    from harness.training.fit import device_of
    from harness.training.peak import peak

    machine = peak(device_of(config.trainer), config.trainer.precision, config.trainer.threads)
    return machine.flops * ASSUMED_MFU, f"{ASSUMED_MFU:.0%} of the peak of {machine.flops:.3g}, {machine.source}"


def description(config: RunConfig) -> dict[str, Any]:
    """The model by part, in totals, FLOPs for each token, and memory. Nothing is built."""
    vocabulary, length = vocabulary_of(config), config.data.sequence_length
    model = account(config.architecture, vocabulary, length)
    training = _training_memory(config, vocabulary)
    inference = inference_memory(config.architecture, vocabulary, config.trainer.precision)
    return {
        "parts": [_part(part) for part in model.parts],
        "vocabulary": vocabulary,
        "sequence_length": length,
        "parameters": model.total,
        "non_embedding_parameters": model.non_embedding,
        "active_parameters": model.active,
        "forward_flops_per_token": model.forward_flops,
        "training_flops_per_token": model.training_flops,
        "training_flops_per_token_by_6N": model.six_n(model.non_embedding),
        "training_bytes": training.total,
        "training_bytes_of_weights": training.weights,
        "training_bytes_of_gradients": training.gradients,
        "training_bytes_of_optimizer": training.optimizer,
        "training_bytes_of_activations_estimated": training.activations,
        "inference_bytes_of_weights": inference.weights,
        "inference_bytes_of_cache_per_token": inference.cache_per_token,
    }


def _part(part: Any) -> dict[str, Any]:
    return {
        "part": part.part,
        "parameters": part.parameters,
        "active": part.active,
        "forward_flops_per_token": part.flops,
        "embedding": "yes" if part.embedding else "",
    }


def _training_memory(config: RunConfig, vocabulary: int) -> Any:
    return training_memory(
        config.architecture,
        vocabulary,
        config.data.sequence_length,
        config.trainer.micro_batch or config.data.batch_size,
        config.trainer.precision,
        config.optimizer.state_numbers(_in_matrices(account(config.architecture, vocabulary, 1))),
    )


def _in_matrices(model: Account) -> float:
    """The share of the parameters in the body's matrices; gains and biases, which are few, are taken for such."""
    within = sum(part.parameters for part in model.parts if not part.embedding and part.part != "head")
    return within / model.total
