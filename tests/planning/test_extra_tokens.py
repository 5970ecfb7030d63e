"""A method's own tokens: numbers behind the tokenizer's, rows in the table, and what becomes of them in later runs."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from harness.composition import run_config
from harness.config import ConfigError, plugin_config
from harness.interfaces.method import Method, ObjectiveConfig, Setting
from harness.interfaces.tokenizer import extra_tokens, vocabulary_with
from harness.launch.run import carry_out
from harness.planning.cost import description
from harness.planning.plan import Plan, resolve
from harness.registry import Entry, registry
from harness.rundir import RunDir
from harness.training.fit import build_loop
from harness.training.job import Parent, TrainingJob
from harness.training.parents import read
from harness.training.train import load_model

TINY = [
    "experiment=tiny", "tokenizer=bytes", "corpus=synthetic", "corpus.documents=40", "suite=null", "budget.tokens=null",
    "budget.steps=2", "data.sequence_length=32", "trainer.checkpoints=1",
]  # fmt: skip


@dataclass(kw_only=True)
class Two(ObjectiveConfig):
    """As clm, with tokens of its own, of which one is also that of mlm, under another number."""

    def extra_tokens(self) -> tuple[str, ...]:
        return ("<other>", "[MASK]")

    def build(self, setting: Setting) -> Method:
        return registry().get("objective", "clm")().build(setting)


@pytest.fixture(autouse=True)
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry().entries, ("objective", "two"), [Entry("objective", "two", Two, "tests", "0")])


def plan_of(*words: str) -> Plan:
    return resolve(run_config([*TINY, *words]).with_seeds())


def table(plan: Plan, runs: Path) -> torch.Tensor:
    return load_model(RunDir(runs / plan.id))[0].state_dict()["body.tokens.weight"]


def trained(runs: Path, *words: str) -> Plan:
    plan = plan_of(f"runs={runs}", *words)
    carry_out(plan, quiet=True)
    return plan


def test_numbers_follow_behind_the_tokenizers_own():
    tokenizer = plugin_config("tokenizer", "bytes", "tokenizer")
    found = extra_tokens(tokenizer, 257, ("a", "b"))
    assert found == {"a": 257, "b": 258}
    assert (vocabulary_with(257, found), vocabulary_with(257, {})) == (259, 257)


def test_the_models_vocabulary_has_room_for_them():
    assert [plan_of(f"objective={name}").vocabulary for name in ("clm", "mlm", "two")] == [257, 258, 259]
    clm, mlm = (description(run_config([*TINY, f"objective={name}"])) for name in ("clm", "mlm"))
    width = run_config(TINY).architecture.width
    tables = 1 if run_config(TINY).architecture.head.tied else 2
    assert mlm["parameters"] - clm["parameters"] == tables * width
    assert plan_of("objective=mlm", "architecture.vocabulary=300").vocabulary == 300
    with pytest.raises(ConfigError, match=r"tokenizer's 258, with the objective's own \[MASK\]"):
        plan_of("objective=mlm", "architecture.vocabulary=257")


def test_a_trained_tokenizer_keeps_its_size():
    assert plan_of("objective=mlm", "tokenizer=bpe", "tokenizer.size=300").vocabulary == 301


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tokenizer of transformers that has a mask, under another name."""
    plugin_config("tokenizer", {"name": "bytes"}, "tokenizer").train(()).export(tmp_path)
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    tokenizer.add_special_tokens(["<mask>"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**settings, "mask_token": "<mask>"}))
    return tmp_path


def test_a_token_that_a_tokenizer_has_keeps_its_number(folder: Path):
    words = ["tokenizer=huggingface", f"tokenizer.folder={folder}"]
    tokenizer = run_config([*TINY, *words]).tokenizer
    assert (tokenizer.special("[MASK]"), tokenizer.special("<other>")) == (257, None)
    assert tokenizer.vocabulary() == 258
    assert plan_of("objective=mlm", *words).vocabulary == 258
    assert extra_tokens(tokenizer, 258, ("<other>", "[MASK]")) == {"<other>": 258, "[MASK]": 257}


def test_a_run_is_loaded_without_the_folder_of_its_tokenizer(folder: Path, tmp_path: Path):
    plan = trained(tmp_path / "runs", "objective=two", "tokenizer=huggingface", f"tokenizer.folder={folder}")
    shutil.move(folder / "tokenizer.json", tmp_path / "gone.json")
    assert len(table(plan, tmp_path / "runs")) == plan.vocabulary == 259


@pytest.fixture
def begun(tmp_path: Path) -> Any:
    """The table that a run begins with, and that of a fresh model of its seed."""

    def begun(*words: str) -> tuple[torch.Tensor, torch.Tensor]:
        plan = plan_of(f"runs={tmp_path}", *words)
        job = TrainingJob(
            plan.config, plan.steps, plan.dataset(), plan.vocabulary, plan.account.forward_flops, plan.training_flops,
            plan.parents,
        )  # fmt: skip
        loop = build_loop(job, begins=True)
        torch.manual_seed(plan.config.with_seeds().seeds.init)
        fresh = plan.config.architecture.build(plan.vocabulary)
        return loop.model.body.tokens.weight, fresh.body.tokens.weight

    return begun


def test_what_starts_from_a_run_takes_the_rows_of_the_same_names(tmp_path: Path, begun: Any):
    """From two tokens to one of them, to none, and to two again: one row is known by name, the other begins anew."""
    first = trained(tmp_path, "objective=two")
    old_VC = table(first, tmp_path)
    rows_VC, fresh_VC = begun("objective=mlm", f"parents.init={first.id}")
    assert torch.equal(rows_VC[:257], old_VC[:257])
    assert torch.equal(rows_VC[257], old_VC[258]), "the mask, which had another number"
    rows_VC, _ = begun("objective=clm", f"parents.init={first.id}")
    assert torch.equal(rows_VC, old_VC[:257])

    second = trained(tmp_path, "objective=mlm", f"parents.init={first.id}")
    rows_VC, fresh_VC = begun("objective=two", f"parents.init={second.id}")
    assert torch.equal(rows_VC[258], table(second, tmp_path)[257])
    assert torch.equal(rows_VC[257], fresh_VC[257]), "which the parent had not"


@pytest.mark.parametrize("vocabulary", ["null", "300"])
@pytest.mark.parametrize("quantized", [False, True])
def test_an_adapter_stands_beside_a_run_that_has_them_and_no_other(tmp_path: Path, vocabulary: str, quantized: bool):
    """Their rows would be in no checkpoint. The advice must not be a vocabulary too small for them."""

    def planned(*words: str, **before: Plan) -> Plan:
        all_words = [*TINY, f"runs={tmp_path}", *words]
        return resolve(run_config(all_words).with_seeds(), {one.id: one for one in before.values()})

    def parent(*words: str) -> dict[str, Plan]:
        first = planned(f"architecture.vocabulary={vocabulary}", *words)
        if not quantized:
            return {"first": first}
        words = ("objective=null", "quantizer=int8", f"parents.init={first.id}")
        return {"first": first, "second": planned(*words, first=first)}

    lora = ["objective=mlm", "adapter=lora", f"architecture.vocabulary={vocabulary}"]
    for other in ("objective=clm", "objective=two"):
        before = parent(other)
        with pytest.raises(ConfigError, match=r"mlm has tokens of its own \(\[MASK\]\), which have no rows there"):
            planned(*lora, f"parents.init={list(before.values())[-1].id}", **before)
    before = parent("objective=mlm")
    assert planned(*lora, f"parents.init={list(before.values())[-1].id}", **before).trained


def test_a_continued_run_keeps_them(tmp_path: Path):
    first = trained(tmp_path, "objective=clm", "architecture.vocabulary=300")
    with pytest.raises(ConfigError, match=r"own tokens is \[MASK\] here and not set there"):
        plan_of(
            f"runs={tmp_path}", "objective=mlm", "architecture.vocabulary=300", f"parents.continue={first.id}",
            "budget.steps=4",
        )  # fmt: skip


def test_a_quantized_run_has_them_too(tmp_path: Path, begun: Any):
    first = trained(tmp_path, "objective=mlm")
    words: list[Any] = ["objective=null", "quantizer=int8", f"parents.init={first.id}"]
    quantized = trained(tmp_path, *words)
    assert quantized.vocabulary == 258 == len(table(quantized, tmp_path))
    rows_VC, _ = begun("objective=mlm", f"parents.init={quantized.id}")
    assert torch.equal(rows_VC, read(Parent(tmp_path / quantized.id, 0, ""))[1]["body.tokens.weight"])
