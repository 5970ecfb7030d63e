"""T5 and BART, small: trained by what they are trained by, exported, opened by `transformers`, imported, scored, and
asked to write."""

import json
from pathlib import Path

import pytest
import torch

from harness.cli import main
from harness.rundir import RunDir
from harness.stored import likelihood_of, opening, own_tokens, stored_config, writes
from harness.training.train import load_model

TINY = [
    "experiment=tiny", "architecture.width=16", "architecture.layers=2", "architecture.attention.heads=2",
    "architecture.feedforward.hidden=24", "architecture.vocabulary=null", "data.batch_size=4",
    "data.sequence_length=32", "budget.tokens=1024", "corpus=text", "corpus.path=*.txt", "data.held_out=0.3",
    "suite=null", "tokenizer=bytes",
]  # fmt: skip
WORDS = ("alphabet", "betray", "gammon", "deltas", "epsilons")
OFFLINE = ["suite=offline", "suite.documents=2", "suite.pairs=0", "suite.problems=2"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(30):
        text = " ".join(WORDS[(number + i * i) % len(WORDS)] for i in range(60))
        (tmp_path / f"{number}.txt").write_text(f"{number} {text}")


def the_run(but: RunDir | None = None) -> RunDir:
    (found,) = [run for path in Path("runs").glob("*/manifest.json") if (run := RunDir(path.parent)) != but]
    return found


@pytest.mark.parametrize(
    ("preset", "objective"),
    [
        ("t5v1.1_small", "span"),
        pytest.param("t5_small", "span", marks=pytest.mark.slow),
        pytest.param("bart_base", "bart", marks=pytest.mark.slow),
    ],
)
def test_one_is_trained_and_goes_to_transformers_and_back(preset: str, objective: str) -> None:
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    own = ["method.sentinels=8"] if objective == "span" else []
    assert main(["train", f"architecture={preset}", f"objective={objective}", *own, *TINY]) == 0
    run = the_run()
    assert main(["export", run.id, "to=out"]) == 0
    model, _, tokenizer = load_model(run, run.result_step())
    theirs = AutoModelForSeq2SeqLM.from_pretrained("out")
    assert theirs.config.decoder_start_token_id == tokenizer.end
    assert AutoTokenizer.from_pretrained("out")("né")["input_ids"] == list("né".encode())
    read, written = (torch.tensor([tokenizer.encode(text)]) for text in ("alphabet deltas", "gammon"))
    with torch.no_grad():
        found, expected = model.logits(written, source_BS=read), theirs(read, decoder_input_ids=written).logits
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def their_t5(folder: str) -> None:
    """Of words, with the hundred sentinels of T5 among its tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import T5Config, T5ForConditionalGeneration

    sentinels = [f"<extra_id_{number}>" for number in range(100)]
    vocabulary = {token: n for n, token in enumerate(["<pad>", "</s>", "<unk>", *WORDS, *reversed(sentinels)])}
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=112,
        d_model=16,
        d_kv=8,
        d_ff=24,
        num_layers=2,
        num_heads=2,
        feed_forward_proj="gated-gelu",
        decoder_start_token_id=0,
    )
    T5ForConditionalGeneration(config).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(f"{folder}/tokenizer.json")
    settings = {"eos_token": "</s>", "pad_token": "<pad>", "tokenizer_class": "PreTrainedTokenizerFast"}
    Path(folder, "tokenizer_config.json").write_text(json.dumps(settings))


def test_an_imported_t5_fills_in_with_its_own_sentinels(capsys: pytest.CaptureFixture) -> None:
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    their_t5("theirs")
    words = ["corpus=text", "corpus.path=*.txt", "data.held_out=0.5", "data.sequence_length=32"]
    assert main(["import", "theirs", *words]) == 0
    run = the_run()
    assert (stored_config(run).method.name, likelihood_of(run), writes(run)) == ("span", "infilling", True)
    assert own_tokens(run)["<extra_id_0>"] == 107
    model, config, tokenizer = load_model(run)
    opened = opening(run, model, tokenizer, config)(tokenizer.encode("alphabet gammon"))
    assert (list(opened.source), list(opened.inputs)) == ([3, 5, 107], [0, 107])  # T5 begins with its padding
    assert main(["score", f"run={run.id}", *OFFLINE]) == 0
    assert "held_out_text" in {row["task"] for row in run.scores()}
    capsys.readouterr()
    assert main(["generate", f"run={run.id}", "prompt=alphabet betray", "tokens=12", "seed=1"]) == 0
    assert set(capsys.readouterr().out.split()) <= {*WORDS, *own_tokens(run), "<pad>", "<unk>"}
    assert main(["export", run.id, "to=back"]) == 0
    assert AutoTokenizer.from_pretrained("back")("alphabet gammon", add_special_tokens=False)["input_ids"] == [3, 5]
    assert AutoModelForSeq2SeqLM.from_pretrained("back").config.decoder_start_token_id == 0
    assert main(["import", "back", *words]) == 0
    assert "there already" in capsys.readouterr().out


def test_an_imported_flan_is_asked_as_it_was_taught(capfd: pytest.CaptureFixture) -> None:
    """Its folder looks like that of a T5 that fills in."""
    their_t5("theirs")
    assert main(["import", "theirs"]) == 0
    filling = the_run()
    assert main(["import", "theirs", "objective=prefix"]) == 0
    run = the_run(but=filling)
    assert (likelihood_of(run), own_tokens(run)) == ("prefix", {})
    model, config, tokenizer = load_model(run)
    opened = opening(run, model, tokenizer, config)(tokenizer.encode("alphabet gammon"))
    assert (list(opened.source), list(opened.inputs)) == ([3, 5], [0])
    assert main(["import", "theirs", "objective=clm"]) == 2
    assert "is not one that objective=clm trains" in " ".join(capfd.readouterr().err.split())
