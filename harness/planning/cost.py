"""What a run costs and what a model is, as tables for people and programs."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from harness.data.curriculum import stages
from harness.models.counting import Account, account, inference_memory
from harness.models.memory import Step, TrainingMemory, training_memory
from harness.planning.plan import ASSUMED_MFU, Plan, mean_flops, places_of, resolve, vocabulary_of
from harness.planning.trained import adapter_counts, trained_parameters
from harness.schema import RunConfig


def cost(plan: Plan, flops_per_second: float) -> dict[str, Any]:
    """One line of `harness plan`. memory_bytes: the most that a step holds at once, on one device.
    own_flops, hours: without what is continued from another run."""
    config, read = plan.config, seen(plan)
    memory = _most_memory(config, plan.vocabulary) + _of_teachers(plan)
    return {
        "run": plan.id,
        "parameters": plan.account.total,
        "non_embedding": plan.account.non_embedding,
        "trained": plan.trained,
        "steps": plan.steps,
        "tokens": plan.tokens,
        "unique_tokens": read["unique_tokens"],
        "epochs": read["epochs"],
        "flops": plan.flops,
        "flops_6nd": plan.flops_6nd,
        "own_steps": plan.own_steps,
        "own_flops": plan.own_flops,
        "parents": " ".join(f"{role}={parent.identity}" for role, parent in plan.parents.items()),
        "memory_bytes": memory,
        "hours": plan.hours(flops_per_second),
    }


def seen(plan: Plan) -> dict[str, Any]:
    """What a run reads of its corpus: distinct tokens, epochs of the source that it reads most often, and both by
    source. A run that only quantizes is scored on its corpus at most, and one that is too small to train on will do."""
    if plan.config.method is None:
        return {"unique_tokens": 0, "epochs": 0.0, "sources": {}}
    data, staged = plan.dataset(), stages(plan.config.data, plan.steps)
    epochs = data.epochs(plan.tokens, staged)
    sources = {name: {"unique_tokens": n, "epochs": epochs[name]} for name, n in data.unique_tokens.items()}
    return {"unique_tokens": data.distinct(plan.tokens, staged), "epochs": max(epochs.values()), "sources": sources}


def machine_rate(config: RunConfig) -> tuple[float, str]:
    """FLOP/s that one device of this machine is expected to reach, and how that was arrived at."""
    from harness.training.device import device_of
    from harness.training.peak import peak

    machine = peak(device_of(config.trainer), config.trainer.precision, config.trainer.threads)
    return machine.flops * ASSUMED_MFU, f"{ASSUMED_MFU:.0%} of the peak of {machine.flops:.3g}, {machine.source}"


def description(config: RunConfig) -> dict[str, Any]:
    """The model by part, in totals, FLOPs for each token, and memory. Nothing is built. A run with parents is resolved
    first: it may have its architecture and its tokenizer from there. Raises ConfigError where it cannot start so."""
    plan = resolve(config) if any(config.parents.values()) else None
    if plan:
        config, vocabulary = plan.config, plan.vocabulary
    else:
        vocabulary = vocabulary_of(config)
    places = places_of(config)
    model = account(config.architecture, vocabulary, *places)
    inference = inference_memory(config.architecture, vocabulary, config.trainer.precision)
    weights = "inference_bytes_of_weights" + ("_before_quantization" if config.quantizer else "")
    return {
        "parts": [_part(part) for part in model.parts],
        "vocabulary": vocabulary,
        "sequence_length": places.written,
        "parameters": model.total,
        "non_embedding_parameters": model.non_embedding,
        "active_parameters": model.active,
        "trained_parameters": trained_parameters(config, vocabulary, model.total),
        "forward_flops_per_token": model.forward_flops,
        **(_of_training(config, vocabulary, model, plan) if config.method else {}),
        weights: inference.weights,
        "inference_bytes_of_cache_per_token": inference.cache_per_token,
        "inference_bytes_of_state": inference.state_per_row,
    }


def _of_training(config: RunConfig, vocabulary: int, model: Account, plan: Plan | None) -> dict[str, Any]:
    """plan: of a run with parents."""
    training, beside = _training_memory(config, vocabulary), _of_teachers(plan) if plan else 0.0
    return {
        "training_flops_per_token": plan.training_flops if plan else mean_flops(config, vocabulary, model),
        "training_flops_per_token_by_6N": model.six_n(model.active_non_embedding),
        "training_bytes": training.peak + beside,
        "training_bytes_of_weights": training.weights + beside,
        "training_bytes_of_gradients": training.gradients,
        "training_bytes_of_optimizer": training.optimizer,
        "training_bytes_of_copies": training.copies,
        "training_bytes_of_activations": training.activations,
    }


def _part(part: Any) -> dict[str, Any]:
    return {
        "part": part.part,
        "parameters": part.parameters,
        "active": part.active,
        "forward_flops_per_token": part.flops,
        "embedding": "yes" if part.embedding else "",
    }


def _most_memory(config: RunConfig, vocabulary: int) -> float:
    """Of a step; of a run that only quantizes, as much as its weights."""
    if config.method is None:
        return inference_memory(config.architecture, vocabulary, config.trainer.precision).weights
    return _training_memory(config, vocabulary).peak


def _of_teachers(plan: Plan) -> float:
    """Bytes of their weights: each device holds them whole."""
    return sum(inference_memory(*of, plan.config.trainer.precision).weights for of in plan.teachers)


def _training_memory(config: RunConfig, vocabulary: int) -> TrainingMemory:
    trainer, model = config.trainer, account(config.architecture, vocabulary, 1)
    rows = math.ceil(config.data.batch_size * trainer.tensor_parallel / trainer.devices)  # of one step, on one device
    micro_batch, beside = min(trainer.micro_batch or rows, rows), adapter_counts(config, vocabulary)
    places = places_of(config)
    step = Step(
        places.written,
        micro_batch * (config.method.rows() * config.method.body_passes() if config.method else 1),
        math.ceil(rows / micro_batch),
        trainer.precision,
        trainer.activation_checkpointing,
        getattr(config.method, "logits_chunk", None),
        config.optimizer.state_numbers(1.0 if beside else _in_matrices(model)),
        config.optimizer.update_numbers(),
        beside,
        places.read,
    )
    whole = training_memory(config.architecture, vocabulary, step)
    shards = trainer.devices if trainer.strategy == "fsdp" else trainer.tensor_parallel
    return whole if shards == 1 else _shared_out(whole, shards)


def _shared_out(whole: TrainingMemory, shards: int) -> TrainingMemory:
    """An estimate for one of the devices that share the weights, from above: gradients and activations are taken to
    be there at once, and a layer gathered from the others to be no more than what is left out with that."""
    weights, gradients, optimizer = (each // shards for each in (whole.weights, whole.gradients, whole.optimizer))
    peak = weights + gradients + optimizer + whole.copies + (whole.activations or 0)
    return replace(whole, weights=weights, gradients=gradients, optimizer=optimizer, peak=peak)


def _in_matrices(model: Account) -> float:
    """The share of the parameters in the body's matrices; gains and biases, which are few, are taken for such."""
    within = sum(part.parameters for part in model.parts if not part.embedding and part.part != "head")
    return within / model.total
