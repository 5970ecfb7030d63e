"""BERT, RoBERTa and DeBERTa-v3, small: trained by masked language modelling, exported, opened by `transformers`, and
imported again."""

import json
from pathlib import Path

import pytest
import torch

from harness.cli import main
from harness.interfaces.visibility import Full
from harness.models.huggingface.folder import open_folder
from harness.rundir import RunDir
from harness.stored import likelihood_of, own_tokens, stored_config, writes
from harness.training.train import load_model

TINY = [
    "experiment=tiny", "architecture.width=16", "architecture.layers=2", "architecture.attention.heads=2",
    "architecture.vocabulary=null", "data.batch_size=4", "data.sequence_length=32", "budget.tokens=1024",
    "corpus=text", "corpus.path=*.txt", "data.held_out=0.3", "suite=null",
]  # fmt: skip
MASKED = ["objective=mlm", "method.whole_words=true", "tokenizer=wordpiece", "tokenizer.size=540"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(30):
        words = ("alphabet", "betray", "gammon", "deltas", "epsilons")
        text = " ".join(words[(number + i * i) % len(words)] for i in range(60))
        (tmp_path / f"{number}.txt").write_text(f"{number} {text}")


def the_run() -> RunDir:
    (found,) = Path("runs").glob("*/manifest.json")
    return RunDir(found.parent)


@pytest.mark.parametrize(
    "preset",
    [
        pytest.param("bert_base", marks=pytest.mark.slow),
        pytest.param("roberta_base", marks=pytest.mark.slow),
        "deberta_v3_base",
    ],
)
def test_a_masked_model_is_trained_and_goes_to_transformers(preset: str) -> None:
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    assert main(["train", f"architecture={preset}", *TINY, *MASKED]) == 0
    run = the_run()
    assert main(["export", run.id, "to=out"]) == 0
    model, _, tokenizer = load_model(run, run.result_step())
    theirs = AutoModelForMaskedLM.from_pretrained("out")
    tokens = torch.tensor([tokenizer.encode("alphabet deltas gammon betray")])
    opened = AutoTokenizer.from_pretrained("out")
    assert opened.mask_token_id == own_tokens(run)["[MASK]"]
    assert max(opened.get_vocab().values()) + 1 == len(model.body.embedding_VC)
    with torch.no_grad():
        found, expected = model.logits(tokens, visibility=Full()), theirs(tokens).logits
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_roberta_whose_padding_would_be_text_is_told(capfd: pytest.CaptureFixture) -> None:
    assert main(["train", "architecture=roberta_base", *TINY, "objective=mlm", "tokenizer=bytes"]) == 0
    assert main(["export", the_run().id, "to=out"]) == 0
    assert "RobertaForMaskedLM takes token 1 for padding" in capfd.readouterr().err
    assert open_folder(Path("out")).sequence_length() == 512  # of 514 rows, two are before the first place


def test_an_imported_bert_is_a_masked_model() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForMaskedLM

    vocabulary = {
        token: n for n, token in enumerate(["[PAD]", "[UNK]", "[SEP]", "[MASK]", "alphabet", "##s", "gammon"])
    }
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=7, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=20,
        max_position_embeddings=24,
    )  # fmt: skip
    BertForMaskedLM(config).save_pretrained("theirs")
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save("theirs/tokenizer.json")
    Path("theirs/tokenizer_config.json").write_text(json.dumps({"eos_token": "[SEP]", "mask_token": "[MASK]"}))
    assert main(["import", "theirs"]) == 0
    run = the_run()
    assert (likelihood_of(run), writes(run), own_tokens(run)) == ("masked", False, {"[MASK]": 3})
    assert stored_config(run).data.sequence_length == 24
    assert main(["export", run.id, "to=back"]) == 0
    assert Path("back/model.safetensors").stat().st_size > 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["architecture=bert_base"], "has learned from what stands before a token alone, and BertForMaskedLM"),
        (["objective=mlm"], "has learned from what stands on both sides of a token, and LlamaForCausalLM"),
    ],
)
def test_a_model_of_the_other_kind_is_not_written(words: list[str], told: str, capfd: pytest.CaptureFixture) -> None:
    assert main(["train", *words, *TINY, "tokenizer=bytes"]) == 0
    assert main(["export", the_run().id, "to=out"]) == 2
    assert told in " ".join(capfd.readouterr().err.split())
    assert not Path("out").exists()
