"""What is promised for the memory of training, against tensors that are counted from their birth to their death."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

import memory as bench

from harness.models.memory import Step, training_memory

GRID = [(name, "adamw", Step(*reversed(bench.MODELS[name][2:]), 1, precision, recomputed, chunk), None)
        for name, precision, recomputed, chunk in [
    ("rung 32", "fp32", "none", None),
    ("rung 64", "fp32", "selective", None),
    ("rung 64", "bf16", "blocks", None),
    ("rung 64", "bf16-true", "none", None),
    ("llama 256", "bf16", "none", None),
    ("grouped 256", "fp32", "blocks", 512),
    ("grouped 256", "bf16", "selective", 512),
    ("gpt2 256", "fp32", "none", 512),
    ("gpt2 256", "bf16", "blocks", None),
    ("gpt2 512 untied", "fp32", "none", None),
    ("gpt2 512 untied", "bf16", "selective", 512),
    ("gpt2 768", "fp32", "none", None),
]]  # fmt: skip
GRID.append(("llama 256", "adamw", Step(256, 2, 2), None))
GRID.append(("gpt2 512 untied", "lion", Step(256, 1, optimizer_numbers=1, update_numbers=1), None))
GRID.append(("rung 64", "adamw", Step(128, 8, 2), "lora"))
GRID.append(("llama 256", "adamw", Step(256, 2, precision="bf16", recomputed="blocks"), "lora"))
GRID.append(("gpt2 256", "adamw", Step(512, 2, precision="bf16", logits_chunk=512), "lora"))


def within(promised: int, measured: int) -> bool:
    return abs(promised / measured - 1) <= bench.BOUND


@pytest.mark.parametrize(("name", "optimizer", "step", "adapter"), GRID)
def test_the_promise_is_within_fifteen_percent_of_the_tensors(name, optimizer, step, adapter):
    options, vocabulary, *_ = bench.MODELS[name]
    assert within(*bench.compare(options, vocabulary, step, optimizer, adapter=adapter))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "optimizer", "step", "adapter"), list(bench.grid()))
def test_the_whole_grid_is_within_fifteen_percent(name, optimizer, step, adapter):
    options, vocabulary, *_ = bench.MODELS[name]
    assert within(*bench.compare(options, vocabulary, step, optimizer, adapter=adapter))


OPTIONS = {
    "norms around and caps": {
        "placement": "sandwich",
        "norm": {"name": "rmsnorm", "around_one": True},
        "attention": {"name": "multi_head", "key_value_heads": 2, "soft_cap": 50.0},
        "head": {"name": "language_model", "soft_cap": 30.0},
    },
    "side by side, one norm": {"parallel": "one_norm", "embedding_norm": True},
    "side by side, two norms": {"parallel": "two_norms", "norm": "layernorm"},
    "a bias for all layers": {"position": "alibi"},
    "positions that are projected": {"position": "disentangled", "attention": "disentangled"},
    "queries and keys normed": {"attention": {"name": "multi_head", "query_key_norm": "rmsnorm"}},
    "linear": {"attention": {"name": "linear", "chunk": 32}},
    "random features": {"attention": "random_features"},
    "block-sparse": {"attention": {"name": "block_sparse", "random": 1, "global_places": 16}},
}


@pytest.mark.parametrize(("precision", "recomputed"), [("fp32", "none"), ("bf16", "selective"), ("bf16", "blocks")])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_the_promise_holds_for_the_options_of_blocks(options, precision, recomputed):
    step = Step(512, 2, precision=precision, recomputed=recomputed)
    assert within(*bench.compare({**bench.LLAMA, "width": 128, "layers": 3, **options}, 1024, step))


@pytest.mark.parametrize(("precision", "recomputed"), [("fp32", "none"), ("bf16", "selective"), ("bf16", "blocks")])
def test_the_promise_for_a_bias_that_learns_is_kept_from_above(precision, recomputed):
    options = {**bench.LLAMA, "width": 128, "layers": 3, "position": "relative_bias"}
    promised, measured = bench.compare(options, 1024, Step(512, 2, precision=precision, recomputed=recomputed))
    assert measured <= promised <= 1.5 * measured


@pytest.mark.parametrize("recomputed", ["none", "selective", "blocks"])
def test_fake_tensors_take_as_many_bytes_as_real_ones(recomputed):
    options, vocabulary, rows, length = bench.MODELS["rung 32"]
    step = Step(length, rows, 1, "bf16", recomputed, 512)
    fake, real = (bench.compare(options, vocabulary, step, real=real)[1] for real in (False, True))
    assert fake == real


def test_the_more_is_computed_again_the_less_is_held(transformer):
    config, step = transformer(layers=8), Step(128, 8, logits_chunk=64)
    none, selective, blocks = (
        training_memory(config, 100, replace(step, recomputed=mode)).peak for mode in ("none", "selective", "blocks")
    )
    assert blocks < selective < none


def test_gradients_of_earlier_micro_batches_wait_beside_the_activations(transformer):
    once, more = (training_memory(transformer(), 100, Step(128, 8, number)) for number in (1, 2))
    assert more.peak - once.peak == once.gradients


def test_weights_gradients_and_optimizer_state(transformer):
    config = transformer()
    memory = training_memory(config, 100, Step(24, 2, optimizer_numbers=1.5))
    total = 4 * sum(part.parameters for part in config.counts(100, 24))
    assert (memory.weights, memory.gradients, memory.optimizer, memory.copies) == (total, total, 1.5 * total, 0)


def test_autocast_copies_matrices_and_a_tied_table_but_no_look_up(transformer):
    for tied in (True, False):
        config = transformer(head={"name": "language_model", "tied": tied})
        memory = training_memory(config, 100, Step(24, 2, precision="bf16"))
        blocks = sum(part.parameters for part in config.counts(100, 24) if not part.embedding and part.part != "head")
        assert memory.copies == 2 * (blocks + 100 * config.width)


def test_a_part_without_closed_forms_is_not_guessed(transformer):
    config = transformer()

    @dataclass(kw_only=True)
    class Stranger(type(config.feedforward)):
        def activations(self, width):
            raise NotImplementedError

    config.feedforward = Stranger(name="stranger")
    memory = training_memory(config, 100, Step(24, 2))
    assert memory.activations is None
    assert memory.peak == memory.weights + memory.gradients + memory.optimizer
