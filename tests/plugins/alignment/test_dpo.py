"""Direct preference optimisation: the loss of pairs, against a reference that is computed once."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.config import plugin_config
from harness.data.dataset import Dataset, prepare
from harness.interfaces.batch import ANSWER, CONTEXT, Batch, Sequences
from harness.interfaces.method import LogProbabilities, Setting
from harness.launch.ranks import together
from harness.rundir import RunDir
from harness.schema import DataConfig
from harness.training.job import Parent, TrainingJob
from harness.training.train import load_model
from harness.training.train import train as carry_out
from tests.data.corpora import run_config
from tests.preferences import Tastes
from tests.training import small_runs

LENGTH = 64


def config(name: str = "dpo", **values: Any) -> Any:
    return plugin_config("method", {"name": name, **values}, "method")


def dpo(reference: LogProbabilities, **values: Any) -> Any:
    return config(**values).build(
        Setting(tokenizer=None, sequence_length=LENGTH, log_probabilities=lambda role: reference)
    )


def tastes(pairs: int = 60, held_out: float = 0.0) -> Dataset:
    of = run_config(Tastes(name="tastes", pairs=pairs), sequence_length=LENGTH, held_out=held_out)
    return prepare(replace(of, method=config()))


def everything(dataset: Dataset) -> Sequences:
    stream = dataset.stream(0)
    return stream.sequences(0, stream.sizes[0])


def batch_of(method: Any, sequences: Sequences) -> Batch:
    def nothing(place: int) -> np.random.Generator:
        raise AssertionError("nothing about it is random")

    return method.prepare(sequences, nothing)


def nothing_known(sources_B: np.ndarray, numbers_B: np.ndarray) -> np.ndarray:
    return np.zeros((len(sources_B), 2))


@pytest.fixture
def models(transformer: Callable[..., Any]) -> list[Any]:
    """A policy and a reference."""
    torch.manual_seed(0)
    return [transformer(width=16, init_std=0.4).build(257).double().eval() for _ in range(2)]


# ---------------------------------------------------------------------- against a slow reference


@torch.no_grad()
def logp(model: Any, tokens_S: np.ndarray, parts_S: np.ndarray, answer: int) -> float:
    """Of one answer, one token at a time from its own prefix alone."""
    kept_S = (parts_S == CONTEXT) | (parts_S == ANSWER + answer)
    tokens, parts = torch.from_numpy(tokens_S[kept_S]), parts_S[kept_S]
    return math.fsum(
        float(torch.log_softmax(model.logits(tokens[None, :t])[0, -1], 0)[tokens[t]])
        for t in range(1, len(tokens))
        if parts[t] != CONTEXT
    )


def all_logp(model: Any, sequences: Sequences) -> np.ndarray:
    assert sequences.parts_BS is not None
    rows = zip(sequences.tokens_BS, sequences.parts_BS, strict=True)
    return np.array([[logp(model, *row, answer) for answer in (0, 1)] for row in rows])


@torch.no_grad()
@pytest.mark.parametrize("options", [{}, {"beta": 0.5, "label_smoothing": 0.2}, {"logits_chunk": 3}], ids=str)
def test_the_loss_and_what_is_told_are_those_of_each_answer_alone(options: dict[str, float], models: list[Any]):
    policy, reference = models
    sequences = everything(tastes(pairs=12))
    own_BA, its_BA = all_logp(policy, sequences), all_logp(reference, sequences)
    method = dpo(lambda sources_B, numbers_B: its_BA, **options)
    batch = batch_of(method, sequences)
    beta, smoothing = options.get("beta", 0.1), options.get("label_smoothing", 0.0)
    gained_BA = own_BA - its_BA
    margins = [beta * (better - worse) for better, worse in gained_BA.tolist()]
    expected = -sum(
        (1 - smoothing) * math.log(1 / (1 + math.exp(-m))) + smoothing * math.log(1 / (1 + math.exp(m)))
        for m in margins
    )
    found = {name: float(term) for name, term in method.losses(policy, batch).items()}
    assert found.pop("dpo") == pytest.approx(expected, rel=1e-6)
    assert found.pop("preference_margin") == pytest.approx(sum(margins), rel=1e-6)
    assert found == {
        "preference_accuracy": sum(m > 0 for m in margins),
        "policy_accuracy": sum(better > worse for better, worse in own_BA),
        "reference_accuracy": sum(better > worse for better, worse in its_BA),
    }
    assert len(set(found.values())) > 1, "they are told apart here"
    assert method.counts(batch) == dict.fromkeys(("dpo", *method.told), 12.0)


def test_pairs_are_looked_up_by_their_numbers():
    """Whatever order and batch they come in."""

    def told(sources_B: np.ndarray, numbers_B: np.ndarray) -> np.ndarray:
        return np.stack([sources_B - numbers_B / 2, sources_B + numbers_B], axis=1)

    rows = tastes(held_out=0.3).stream(5).sequences(3, 4)
    assert rows.numbers_B is not None
    batch = batch_of(dpo(told), rows)
    assert batch.extra["reference_BA"].tolist() == [[-n / 2, n] for n in rows.numbers_B.tolist()]


def test_a_policy_that_is_its_reference_loses_the_logarithm_of_two(models: list[Any]):
    policy, _ = models
    sequences = everything(tastes(pairs=12))
    own_BA = all_logp(policy, sequences)
    method = dpo(lambda sources_B, numbers_B: own_BA)
    batch = batch_of(method, sequences)
    assert float(method.losses(policy, batch)["dpo"].detach()) / 12 == pytest.approx(math.log(2), abs=1e-7)


def test_a_step_makes_better_answers_likelier_and_worse_ones_less_likely(models: list[Any]):
    policy, reference = models
    policy.load_state_dict(reference.state_dict())
    method = dpo(nothing_known)
    sequences = everything(tastes(pairs=12))
    reference_BA = all_logp(reference, sequences)
    method.reference = lambda sources_B, numbers_B: reference_BA
    batch = batch_of(method, sequences)
    optimizer = torch.optim.SGD(policy.parameters(), lr=1e-4)
    method.losses(policy, batch)["dpo"].backward()
    optimizer.step()
    moved_BA = all_logp(policy, sequences) - reference_BA
    assert moved_BA[:, 0].mean() > moved_BA[:, 1].mean()
    assert all(p.grad is None for p in reference.parameters())
    assert not batch.extra["reference_BA"].requires_grad


# ------------------------------------------------------------------------------- against TRL


def table(sequences: Sequences) -> list[dict[str, Any]]:
    """The pairs as TRL has them, token by token."""
    assert sequences.parts_BS is not None
    names = {"prompt_ids": CONTEXT, "chosen_ids": ANSWER, "rejected_ids": ANSWER + 1}
    rows = zip(sequences.tokens_BS, sequences.parts_BS, strict=True)
    return [{name: tokens_S[parts_S == part].tolist() for name, part in names.items()} for tokens_S, parts_S in rows]


@pytest.mark.slow
@torch.no_grad()
def test_the_loss_is_that_of_trl(tmp_path: Path):
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig
    from trl import DPOConfig, DPOTrainer
    from trl.trainer.dpo_trainer import DataCollatorForPreference

    from harness.models.huggingface import config_from_transformers, state_from_transformers

    theirs_config = LlamaConfig(
        vocab_size=257, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=56,
        initializer_range=0.3, bos_token_id=256, eos_token_id=256, pad_token_id=256,
    )  # fmt: skip
    torch.manual_seed(0)
    theirs, ours = [], []
    for _ in range(2):
        theirs.append(AutoModelForCausalLM.from_config(theirs_config, attn_implementation="eager").eval())
        of = config_from_transformers(theirs[-1].config.to_dict())
        ours.append(of.build(257).eval())
        ours[-1].load_state_dict(state_from_transformers(theirs[-1].state_dict(), of))

    sequences = everything(tastes(pairs=12))
    its_BA = all_logp(ours[1], sequences)
    method = dpo(lambda sources_B, numbers_B: its_BA)
    loss = float(method.losses(ours[0], batch_of(method, sequences))["dpo"]) / 12

    from datasets import Dataset as Table

    plugin_config("tokenizer", {"name": "bytes"}, "tokenizer").train(()).export(tmp_path)
    arguments = DPOConfig(
        output_dir=str(tmp_path / "out"), beta=0.1, use_cpu=True, bf16=False, report_to=[], disable_tqdm=True
    )
    trainer = DPOTrainer(
        theirs[0], theirs[1], args=arguments, processing_class=AutoTokenizer.from_pretrained(tmp_path),
        train_dataset=Table.from_list([{"prompt": "a", "chosen": "b", "rejected": "c"}]),
    )  # fmt: skip
    batch = DataCollatorForPreference(pad_token_id=256)(table(sequences))
    assert loss == pytest.approx(float(trainer.compute_loss(theirs[0].eval(), batch)), rel=0, abs=1e-5)


# ------------------------------------------------------------------------------- in the loop


def lm(tmp_path: Path, **changes: Any) -> Any:
    """A run on the test's pairs whose method is yet to be chosen."""
    of = small_runs.config(tmp_path, **changes)
    data = DataConfig(sequence_length=LENGTH, batch_size=4, held_out=0.2)
    return replace(of, corpus=Tastes(name="tastes"), data=data, method=config())


def parent_of(tmp_path: Path, steps: int = 4) -> Parent:
    """A language model that knows a little of other text."""
    text = small_runs.write_text(tmp_path / "text", documents=8)
    of = small_runs.config(text, architecture={"init_std": 0.3})
    run = small_runs.run_dir(tmp_path / "parent", of)
    small_runs.trained(small_runs.job(of, steps), run)
    return Parent(run.path, steps, f"parent@{steps}")


def aligned(job: TrainingJob, folder: Path) -> RunDir:
    run = small_runs.run_dir(folder, job.config)
    with run.lease() as held:
        train = partial(carry_out, job, held, progress=False)
        devices = job.config.trainer.devices
        train() if devices == 1 else together(devices, lambda rank: train())
    return run


def test_it_starts_at_its_reference_and_leaves_it_as_it_was(tmp_path: Path):
    parent = parent_of(tmp_path)
    before = load_model(RunDir(parent.path))[0].state_dict()
    of = lm(tmp_path, trainer={"log_every": 1})
    job = replace(small_runs.job(of, 12), parents={"init": parent, "reference": parent})
    run = aligned(job, tmp_path / "run")
    losses = [row["loss"] for row in run.metrics()]
    assert losses[0] == pytest.approx(math.log(2), abs=1e-6)
    assert min(losses) < 0.99 * math.log(2)
    after = load_model(RunDir(parent.path))[0].state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    measured = run.manifest()["result"]["held_out_measures"]
    assert measured["reference_accuracy"]["n"] == len(job.dataset.validation(99).places_B)


def test_a_reference_of_its_own_stands_beside_where_it_starts(tmp_path: Path):
    """From the same weights, another reference is another run; and it begins away from it."""
    start, reference = (parent_of(tmp_path / name, steps) for name, steps in (("one", 2), ("two", 8)))
    of = lm(tmp_path, trainer={"log_every": 1})
    run = aligned(replace(small_runs.job(of, 1), parents={"init": start, "reference": reference}), tmp_path / "run")
    assert abs(run.metrics()[0]["loss"] - math.log(2)) > 1e-4


WAYS = [
    {"micro_batch": 1},
    pytest.param({"devices": 2}, marks=pytest.mark.slow),
    pytest.param({"devices": 2, "strategy": "fsdp", "micro_batch": 1}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("method", ["dpo", "reward_model"])
def test_each_pair_counts_alike_however_a_step_is_cut(
    method: str, way: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import harness.training.fit  # noqa: F401

    parent = parent_of(tmp_path)
    runs = []
    for name, trainer in (("whole", {}), ("cut", way)):
        head = {"architecture": {"head": "reward"}} if method == "reward_model" else {}
        of = replace(lm(tmp_path, trainer={"log_every": 1, **trainer}, **head), method=config(method))
        job = replace(small_runs.job(of, 4), parents={"init": parent, "reference": parent})
        runs.append(aligned(job, tmp_path / name))
    whole, cut = runs
    for column in ("loss", "grad_norm"):
        found, expected = ([row[column] for row in run.metrics()] for run in (cut, whole))
        assert found == pytest.approx(expected, rel=1e-5)
    ours, theirs = (run.manifest()["result"]["held_out_measures"]["preference_margin"] for run in (cut, whole))
    assert ours["value"] == pytest.approx(theirs["value"], abs=1e-5)
    assert ours["n"] == theirs["n"] > 4
