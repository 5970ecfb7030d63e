"""`harness import` and `harness export`: a folder of `transformers` as a run, and back."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from harness.cli import main
from harness.config import plugin_config
from harness.rundir import RunDir
from harness.training.train import load_model


@pytest.fixture(scope="module")
def theirs(tmp_path_factory) -> Path:
    """A small LLaMA with the tokenizer of bytes."""
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("theirs") / "llama"
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=260, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
        max_position_embeddings=96, bos_token_id=256, eos_token_id=256,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    plugin_config("tokenizer", "bytes", "tokenizer").train(()).export(folder)
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def the_run(folder: Path) -> RunDir:
    (found,) = (folder / "runs").glob("*/manifest.json")
    return RunDir(found.parent)


def test_a_folder_becomes_a_finished_run(theirs: Path, here: Path, capsys) -> None:
    assert main(["import", str(theirs)]) == 0
    run = the_run(here)
    assert f"{run.id}: imported" in capsys.readouterr().out
    model, config, tokenizer = load_model(run)
    assert (run.state(), run.last_whole_checkpoint()[0]) == ("finished", 0)
    assert (config.data.sequence_length, config.architecture.vocabulary, tokenizer.size) == (96, 260, 257)
    assert run.manifest()["model"]["parameters"] == sum(p.numel() for p in model.parameters())


def test_the_id_is_the_content(theirs: Path, here: Path, capsys) -> None:
    """The same folder elsewhere is the same run; with other weights it is another."""
    assert main(["import", str(theirs)]) == 0
    run = the_run(here)
    copy = Path(shutil.copytree(theirs, here / "copy"))
    assert main(["import", str(copy)]) == 0
    assert f"{run.id}: there already" in capsys.readouterr().out
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 1e-3}))
    assert main(["import", str(copy)]) == 0
    assert len(list((here / "runs").glob("*/manifest.json"))) == 2


def test_it_is_scored_when_its_folder_is_gone(theirs: Path, here: Path) -> None:
    copy = Path(shutil.copytree(theirs, here / "copy"))
    for number in range(8):  # some are held out, some are not
        (here / f"{number}.txt").write_text(f"document {number}\n" * 20)
    chosen = ["corpus=text", "corpus.path=*.txt", "data.held_out=0.5", "data.sequence_length=64"]
    assert main(["import", str(copy), *chosen]) == 0
    shutil.rmtree(copy)
    run = the_run(here)
    assert (
        main(["score", f"run={run.id}", "suite=offline", "suite.documents=2", "suite.pairs=0", "suite.problems=2"]) == 0
    )
    assert {row["checkpoint"] for row in run.scores()} == {0}
    assert "held_out_text" in {row["task"] for row in run.scores()}


def test_there_and_back_is_the_same(theirs: Path, here: Path, capsys) -> None:
    assert main(["import", str(theirs)]) == 0
    assert main(["export", the_run(here).id, "to=back"]) == 0
    before, after = load_file(theirs / "model.safetensors"), load_file(here / "back" / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert main(["import", "back"]) == 0
    assert "there already" in capsys.readouterr().out


def test_a_trained_run_is_exported_at_a_step(here: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    assert main(["train", "experiment=tiny", "budget.tokens=4096", "suite=null", "trainer.keep=3"]) == 0
    run = the_run(here)
    steps = [step for step, _ in run.checkpoints()]
    for step in (steps[0], None):
        to = here / f"step-{step}"
        assert main(["export", run.id, f"to={to}", *([f"checkpoint={step}"] if step else [])]) == 0
        model, _, tokenizer = load_model(run, step)
        tokens = torch.tensor([tokenizer.encode("def f(x):\n    return x")])
        assert AutoTokenizer.from_pretrained(to)("def f(x):\n    return x")["input_ids"] == tokens[0].tolist()
        with torch.no_grad():
            expected = AutoModelForCausalLM.from_pretrained(to)(tokens).logits
            torch.testing.assert_close(model.logits(tokens), expected, rtol=1e-4, atol=1e-5)


def test_why_says_where_an_imported_run_comes_from(theirs: Path, here: Path, capsys) -> None:
    assert main(["import", str(theirs)]) == 0
    capsys.readouterr()
    assert main(["why", the_run(here).id]) == 0
    assert f"It was imported from {theirs}" in capsys.readouterr().out


def damage_the_checkpoint(folder: Path) -> None:
    next((folder / "runs").glob("*/checkpoints/*/model*.safetensors")).write_bytes(b"x")


def test_a_damaged_run_is_not_taken_for_whole(theirs: Path, here: Path, capfd) -> None:
    assert main(["import", str(theirs)]) == 0
    damage_the_checkpoint(here)
    assert main(["import", str(theirs)]) == 2
    assert "but damaged" in " ".join(capfd.readouterr().err.split())


WRONG = {
    "no folder": (["import"], "needs a folder of transformers"),
    "a folder that is not there": (["import", "nowhere"], "nowhere is no folder of transformers"),
    "what the folder says": (
        ["import", "llama", "architecture.width=8"],
        "architecture.width is nothing that an import",
    ),
    "a tokenizer that learns": (["import", "llama", "tokenizer=bpe"], "tokenizer=bpe learns from a corpus"),
    "no tokenizer": (["import", "bare"], "bare has no tokenizer.json"),
    "damaged weights": (["import", "short"], "damaged or cut short"),
    "an export of nothing": (["export"], "needs the id of a run"),
    "an export to nowhere": (["export", "zzz"], "to has no value"),
    "an export of no run": (["export", "zzz", "to=out"], "There is no run zzz"),
    "an export at no step": (["export", "zzz", "to=out", "checkpoint=last"], "checkpoint=last is no step"),
    "a word too many": (["export", "zzz", "to=out", "form=gguf"], "form=gguf is not understood"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_paragraph_and_leaves_nothing(case: str, theirs: Path, here: Path, capfd) -> None:
    for name in ("llama", "bare", "short"):
        shutil.copytree(theirs, here / name)
    (here / "bare" / "tokenizer.json").unlink()
    weights = here / "short" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    words, expected = WRONG[case]
    assert main(words) == 2
    told = " ".join(capfd.readouterr().err.split())
    assert expected in told
    assert "Traceback" not in told
    assert not [path for path in here.rglob("*") if "runs" in path.parts and path.is_file()]
    assert not (here / "out").exists()


def test_a_model_of_fewer_tokens_than_the_tokenizer_is_refused(here: Path, capfd) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=200, hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=48
    )
    LlamaForCausalLM(config).save_pretrained(here / "small")
    plugin_config("tokenizer", "bytes", "tokenizer").train(()).export(here / "small")
    assert main(["import", "small"]) == 2
    assert "The tokenizer has 257 tokens, the model in small 200." in " ".join(capfd.readouterr().err.split())
