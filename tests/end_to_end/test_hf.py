"""Models of transformers as they are: trained, scored, asked to write, exported, opened there, and taken over again."""

import json
from pathlib import Path

import pytest
import torch

from harness.cli import main
from harness.interfaces.visibility import Causal, Full
from harness.rundir import RunDir
from harness.training.train import load_model

TINY = [
    "trainer.threads=1", "data.batch_size=4", "data.sequence_length=32", "budget.tokens=1024", "corpus=text",
    "corpus.path=*.txt", "data.held_out=0.3", "suite=null", "tokenizer=bytes", "architecture=hf",
]  # fmt: skip
QWEN = [
    "architecture.model_type=qwen3",
    "+architecture.values={hidden_size: 16, num_hidden_layers: 2, num_attention_heads: 2, num_key_value_heads: 1, "
    "head_dim: 8, intermediate_size: 24}",
]
BERT = [
    "architecture.model_type=electra",
    "+architecture.values={hidden_size: 16, embedding_size: 8, num_hidden_layers: 2, num_attention_heads: 2, "
    "intermediate_size: 24}",
    "objective=mlm",
]
T5 = [
    "architecture.model_type=umt5",
    "+architecture.values={d_model: 16, num_layers: 2, num_decoder_layers: 2, num_heads: 2, d_kv: 8, d_ff: 24}",
    "objective=span",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("alphabet", "betray", "gammon", "deltas", "epsilons")
    for number in range(30):
        text = " ".join(words[(number + i * i) % len(words)] for i in range(60))
        (tmp_path / f"{number}.txt").write_text(f"{number} {text}")


def runs() -> dict[str, RunDir]:
    return {path.parent.name: RunDir(path.parent) for path in Path("runs").glob("*/manifest.json")}


def trained(*words: str) -> RunDir:
    before = set(runs())
    assert main(["train", *TINY, *words]) == 0
    (new,) = set(runs()) - before
    return runs()[new]


@pytest.mark.parametrize(
    ("words", "of", "visibility"),
    [
        (QWEN, "CausalLM", Causal()),
        pytest.param(BERT, "MaskedLM", Full(), marks=pytest.mark.slow),
        pytest.param(T5, "Seq2SeqLM", Causal(), marks=pytest.mark.slow),
    ],
    ids=["causal", "masked", "sequence_to_sequence"],
)
def test_one_is_trained_and_goes_to_transformers_and_back(words, of, visibility) -> None:
    import transformers

    run = trained(*words)
    assert main(["export", run.id, "to=out"]) == 0
    model, _, tokenizer = load_model(run, run.result_step())
    theirs = getattr(transformers, f"AutoModelFor{of}").from_pretrained("out").eval()
    tokens = torch.tensor([tokenizer.encode("alphabet deltas gammon betray")])
    reads = {"source_BS": tokens.flip(1)} if of == "Seq2SeqLM" else {}
    with torch.no_grad():
        found = model.logits(tokens, visibility=visibility, **reads)
        expected = theirs(tokens.flip(1), decoder_input_ids=tokens) if reads else theirs(tokens)
    torch.testing.assert_close(found, expected.logits, rtol=1e-5, atol=1e-6)
    assert main(["import", "out"]) == 0
    (imported,) = (other for name, other in runs().items() if name != run.id)
    again, _, _ = load_model(imported, 0)
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in model.state_dict().items())


def test_one_is_scored_and_writes(capsys: pytest.CaptureFixture) -> None:
    run = trained(*QWEN)
    assert (
        main(["score", f"run={run.id}", "suite=offline", "suite.documents=2", "suite.pairs=0", "suite.problems=2"]) == 0
    )
    assert main(["generate", f"run={run.id}", "prompt=alpha", "tokens=5", "sampler=greedy"]) == 0
    assert capsys.readouterr().out


def test_a_folder_is_trained_on(capsys: pytest.CaptureFixture) -> None:
    """Its config is the architecture, its weights are the parent."""
    run = trained(*QWEN)
    assert main(["export", run.id, "to=out"]) == 0
    words = ["architecture.folder=out", "parents.init=out", "tokenizer=huggingface", "tokenizer.folder=out"]
    further = trained(*words, "optimizer.lr=1e-9")
    here, there = (load_model(each, each.result_step())[0].state_dict() for each in (run, further))
    for name, tensor in here.items():
        torch.testing.assert_close(there[name], tensor, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (["architecture.model_type=qwen33"], "Did you mean qwen3"),
        (["architecture.model_type=qwen3", "+architecture.values={hiden_size: 16}"], "Did you mean hidden_size"),
        ([*QWEN, "objective=mlm"], "asks for Full visibility"),
        ([*QWEN, "trainer.compile=true"], "trainer.compile=false"),
        (["architecture.folder=mine"], "only the code of transformers itself"),
    ],
)
def test_what_cannot_be_is_one_paragraph(said, told, capsys: pytest.CaptureFixture) -> None:
    Path("mine").mkdir()
    Path("mine/config.json").write_text(json.dumps({"model_type": "qwen3", "auto_map": {"AutoConfig": "own.Mine"}}))
    assert main(["train", *TINY, *said]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert told in error
    assert "Traceback" not in error
    assert not Path("runs").exists()
