"""Reward models: one number for each answer, learned from comparisons. How steps are cut is tried in test_dpo.py."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.cli import main
from harness.config import plugin_config
from harness.data.dataset import prepare
from harness.files import write_json
from harness.interfaces.batch import ANSWER, CONTEXT, Batch, Sequences
from harness.interfaces.method import Setting
from harness.rundir import RunDir
from harness.schema import DataConfig
from harness.training.job import Parent
from harness.training.train import load_model
from tests import preferences
from tests.data.corpora import run_config
from tests.preferences import Tastes
from tests.training import small_runs

LENGTH = 64


def config() -> Any:
    return plugin_config("method", "reward_model", "method")


def tastes(pairs: int = 12) -> Sequences:
    of = run_config(Tastes(name="tastes", pairs=pairs), sequence_length=LENGTH, held_out=0.0)
    stream = prepare(replace(of, method=config())).stream(0)
    return stream.sequences(0, stream.sizes[0])


def method_of(length: int = LENGTH) -> Any:
    return config().build(Setting(tokenizer=None, sequence_length=length))


def batch_of(sequences: Sequences, length: int = LENGTH) -> Batch:
    return method_of(length).prepare(sequences, lambda place: np.random.default_rng(place))


@pytest.fixture
def model(transformer: Any) -> Any:
    torch.manual_seed(0)
    return transformer(width=16, init_std=0.4, head="reward").build(257).double().eval()


def rewards(model: Any, sequences: Sequences) -> list[list[float]]:
    """Of each answer alone, without padding, from the hidden state of its last token."""
    assert sequences.parts_BS is not None
    found = []
    for tokens_S, parts_S in zip(sequences.tokens_BS, sequences.parts_BS, strict=True):
        kept = [tokens_S[(parts_S == CONTEXT) | (parts_S == ANSWER + answer)] for answer in (0, 1)]
        found.append([float(model.logits(torch.from_numpy(row)[None], head="reward")[0, -1]) for row in kept])
    return found


@torch.no_grad()
def test_the_loss_and_what_is_told_are_those_of_each_answer_alone(model: Any):
    sequences = tastes()
    method, batch = method_of(), batch_of(sequences)
    margins = [better - worse for better, worse in rewards(model, sequences)]
    expected = sum(math.log(1 + math.exp(-m)) for m in margins)
    assert method.losses(model, batch) == {
        "reward_model": pytest.approx(expected, rel=1e-6),
        "preference_accuracy": sum(m > 0 for m in margins),
        "preference_margin": pytest.approx(sum(margins), rel=1e-5),
    }
    assert method.counts(batch) == dict.fromkeys(("reward_model", *method.told), 12.0)


def test_an_answer_is_read_to_its_end_within_the_sequence():
    """Nothing is foretold, so that the last token is an input, too: a model of so many places sees all of them."""
    of = run_config(Tastes(name="tastes"), sequence_length=24, held_out=0.0)
    stream = prepare(replace(of, method=config())).stream(0)
    batch = batch_of(stream.sequences(0, stream.sizes[0]), 24)
    assert batch.inputs_BT.shape[1] == 24
    assert batch.inputs_BT[batch.weights_BT > 0].tolist() == [256] * len(batch.inputs_BT)
    assert batch.weights_BT[:, -1].sum() > 0, "some answers fill it"


@pytest.mark.slow
@torch.no_grad()
def test_the_loss_is_that_of_trl(tmp_path: Path):
    from datasets import Dataset as Table
    from transformers import AutoTokenizer, LlamaConfig, LlamaForSequenceClassification
    from trl import RewardConfig, RewardTrainer
    from trl.trainer.reward_trainer import DataCollatorForPreference

    from harness.models.huggingface import config_from_transformers, state_from_transformers

    torch.manual_seed(0)
    theirs = LlamaForSequenceClassification(
        LlamaConfig(
            vocab_size=258, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=56,
            initializer_range=0.3, bos_token_id=256, eos_token_id=256, pad_token_id=257, num_labels=1,
            attn_implementation="eager", tie_word_embeddings=True,
        )
    ).eval()  # fmt: skip
    of = config_from_transformers(theirs.config.to_dict())
    state = dict(theirs.state_dict())
    head = state.pop("score.weight")
    ours = replace(of, head=plugin_config("head", "reward", "head")).build(258).eval()
    body = {name: t for name, t in state_from_transformers(state, of).items() if name.startswith("body.")}
    ours.load_state_dict({**body, "heads.reward.weight": head})

    sequences = tastes()
    loss = float(method_of().losses(ours, batch_of(sequences))["reward_model"]) / 12

    plugin_config("tokenizer", {"name": "bytes"}, "tokenizer").train(()).export(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    tokenizer.add_special_tokens({"pad_token": "<padding>"})
    assert tokenizer.pad_token_id == 257
    arguments = RewardConfig(
        output_dir=str(tmp_path / "out"), use_cpu=True, bf16=False, report_to=[], disable_tqdm=True
    )
    trainer = RewardTrainer(
        theirs, args=arguments, processing_class=tokenizer,
        train_dataset=Table.from_list([{"prompt": "a", "chosen": "b", "rejected": "c"}]),
    )  # fmt: skip
    assert sequences.parts_BS is not None
    rows = [
        {f"{name}_ids": row[(parts == CONTEXT) | (parts == ANSWER + answer)].tolist() for answer, name in names}
        for row, parts in zip(sequences.tokens_BS, sequences.parts_BS, strict=True)
        for names in [[(0, "chosen"), (1, "rejected")]]
    ]
    batch = DataCollatorForPreference(pad_token_id=257)(rows)
    assert loss == pytest.approx(float(trainer.compute_loss(theirs.eval(), batch)), rel=0, abs=1e-5)


# -------------------------------------------------------------------------- from a language model


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    preferences.register(monkeypatch)


@pytest.fixture
def parent(tmp_path: Path) -> Parent:
    text = small_runs.write_text(tmp_path / "text", documents=8)
    of = small_runs.config(text, architecture={"init_std": 0.3})
    run = small_runs.run_dir(tmp_path / "runs" / "parent", of)
    small_runs.trained(small_runs.job(of, 4), run)
    return Parent(run.path, 4, "parent@4")


def trained(tmp_path: Path, parent: Parent, steps: int, **changes: Any) -> RunDir:
    of = small_runs.config(
        tmp_path, architecture={"head": "reward", "init_std": 0.3}, trainer={"log_every": 1}, **changes
    )
    data = DataConfig(sequence_length=LENGTH, batch_size=4, held_out=0.2)
    of = replace(of, corpus=Tastes(name="tastes"), data=data, method=config())
    run = small_runs.run_dir(tmp_path / "runs" / "model", of)
    small_runs.trained(replace(small_runs.job(of, steps), parents={"init": parent}), run)
    return run


def test_it_takes_the_body_of_a_language_model_and_says_so(
    parent: Parent, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    run = trained(tmp_path, parent, 1, optimizer={"name": "adamw", "lr": 0.0})
    assert "its head (language_model) is left out, and this run's (reward) begins anew" in caplog.text
    assert "architecture.head" not in caplog.text
    ours, theirs = (load_model(of)[0].state_dict() for of in (run, RunDir(parent.path)))
    assert ours.keys() - theirs.keys() == {"heads.reward.weight"}
    assert all(torch.equal(ours[name], theirs[name]) for name in ours.keys() & theirs.keys())


@pytest.mark.parametrize("tied", [True, False])
def test_a_language_model_can_begin_with_the_body_of_a_reward_model(tied: bool, parent: Parent, tmp_path: Path):
    """Its head begins anew, or is the body's own table."""
    run = trained(tmp_path, parent, 1)
    of = small_runs.config(
        tmp_path / "text", architecture={"head": {"name": "language_model", "tied": tied}, "init_std": 0.3},
        optimizer={"name": "adamw", "lr": 0.0},
    )  # fmt: skip
    child = small_runs.run_dir(tmp_path / "runs" / "child", of)
    small_runs.trained(replace(small_runs.job(of, 1), parents={"init": Parent(run.path, 1, "model@1")}), child)
    ours, theirs = (load_model(one)[0].state_dict() for one in (child, run))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours if name.startswith("body."))
    assert torch.equal(ours["heads.language_model.weight"], ours["body.tokens.weight"]) is tied


def test_it_learns_which_answer_is_better(parent: Parent, tmp_path: Path):
    run = trained(tmp_path, parent, 40)
    losses = [row["loss"] for row in run.metrics()]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
    assert run.manifest()["result"]["held_out_measures"]["preference_accuracy"]["value"] > 0.6


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["score", "suite=offline"], "gives no likelihoods: no suite can score it"),
        (["generate", "prompt=a"], "has no head that says what comes next: it writes no text"),
    ],
)
def test_what_it_cannot_do_is_one_sentence(
    words: list[str], said: str, parent: Parent, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run = trained(tmp_path, parent, 1)
    write_json(run.path / "manifest.json", {**run.manifest(), "identity": {}})
    assert main([words[0], f"run={run.path}", *words[1:]]) == 2
    told = capsys.readouterr().err
    assert " ".join(told.split()).endswith(f"{said}.")
    assert "Traceback" not in told
