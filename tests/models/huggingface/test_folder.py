"""Folders of `transformers`, read and written: what is in them, and what is said of those that are none."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.composition import run_config
from harness.config import plugin_config
from harness.errors import UserError
from harness.models.huggingface import FAMILIES
from harness.models.huggingface.folder import open_folder, write_folder

VOCABULARY = 260
KINDS = {
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 48},
    "llama": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 48,
        "max_position_embeddings": 48,
        "tie_word_embeddings": True,
    },
    "mistral": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 12,
        "intermediate_size": 48,
        "max_position_embeddings": 48,
        "sliding_window": 5,
    },
    "mixtral": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 24,
        "num_local_experts": 3,
        "max_position_embeddings": 48,
    },
}
OTHERS = {
    "phi3": {**KINDS["llama"], "pad_token_id": None},
    "starcoder2": KINDS["llama"],
    "falcon": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 48},
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4},
    "mpt": {"d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 48},
}


def their_folder(kind: str, folder: Path, dtype=torch.float32, **options) -> Path:
    """A model of theirs with the tokenizer of bytes, as save_pretrained leaves it."""
    from transformers import AutoConfig, AutoModelForCausalLM

    values = {**KINDS, **OTHERS}[kind]
    config = AutoConfig.for_model(kind, vocab_size=VOCABULARY, bos_token_id=256, eos_token_id=256, **values)
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).to(dtype).save_pretrained(folder, **options)
    plugin_config("tokenizer", "bytes", "tokenizer").train(()).export(folder)
    return folder


def live(folder: Path):
    """Our model of a folder."""
    opened = open_folder(folder)
    model = opened.architecture().build(VOCABULARY).eval()
    model.load_state_dict(opened.weights())
    return model


def logits(folder: Path, inputs: torch.Tensor) -> torch.Tensor:
    from transformers import AutoModelForCausalLM

    with torch.no_grad():
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)(inputs).logits


@pytest.fixture(scope="module")
def llama(tmp_path_factory) -> Path:
    return their_folder("llama", tmp_path_factory.mktemp("theirs") / "llama")


@pytest.fixture
def damaged(llama: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copytree(llama, tmp_path / "copy"))


INPUTS = torch.randint(VOCABULARY, (2, 30), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    "options", [{}, {"max_shard_size": "20KB"}, {"dtype": torch.bfloat16}, {"dtype": torch.float16}]
)
@pytest.mark.parametrize("kind", KINDS)
def test_logits_of_a_folder(tmp_path: Path, kind: str, options: dict) -> None:
    folder = their_folder(kind, tmp_path / "theirs", **options)
    assert len(list(folder.glob("*.safetensors"))) > 1 or "max_shard_size" not in options
    opened, model = open_folder(folder), live(folder)
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32}
    assert opened.sequence_length() == 48
    with torch.no_grad():
        torch.testing.assert_close(model.logits(INPUTS), logits(folder, INPUTS), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [*KINDS, *OTHERS])
def test_written_and_opened_by_transformers_without_a_difference(tmp_path: Path, kind: str) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = their_folder(kind, tmp_path / "theirs")
    opened = open_folder(folder)
    config = run_config(["data.sequence_length=48"])
    config.architecture = opened.architecture()
    write_folder(tmp_path / "ours", live(folder), config, opened.tokenizer().train(()), kind)

    theirs, ours = (AutoModelForCausalLM.from_pretrained(f) for f in (folder, tmp_path / "ours"))
    assert type(ours) is type(theirs)
    expected = theirs.state_dict()
    assert ours.state_dict().keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in ours.state_dict().items())
    assert torch.equal(logits(tmp_path / "ours", INPUTS), logits(folder, INPUTS))
    positions = FAMILIES[kind].positions
    assert positions is None or getattr(ours.config, positions) == 48
    assert ours.config.eos_token_id == 256
    assert AutoTokenizer.from_pretrained(tmp_path / "ours")("né")["input_ids"] == list("né".encode())


def test_a_folder_is_written_for_the_model_type_that_is_asked_for(tmp_path: Path, llama: Path) -> None:
    """Mistral without a window computes what LLaMA does."""
    opened, config = open_folder(llama), run_config(["data.sequence_length=48"])
    config.architecture = opened.architecture()
    write_folder(tmp_path / "ours", live(llama), config, opened.tokenizer().train(()), "mistral")
    assert open_folder(tmp_path / "ours").theirs["model_type"] == "mistral"
    assert torch.equal(logits(tmp_path / "ours", INPUTS), logits(llama, INPUTS))
    with pytest.raises(UserError, match="gpt2 of transformers is made of transformer .multi_head, learned"):
        write_folder(tmp_path / "gpt2", live(llama), config, opened.tokenizer().train(()), "gpt2")
    with pytest.raises(UserError, match="model_type=lama cannot be written for transformers. Did you mean llama"):
        write_folder(tmp_path / "lama", live(llama), config, opened.tokenizer().train(()), "lama")


def test_a_folder_is_known_by_its_model_and_not_by_its_place(llama: Path, damaged: Path) -> None:
    assert open_folder(llama).identity() == open_folder(damaged).identity()
    weights = load_file(damaged / "model.safetensors")
    save_file({**weights, "model.norm.weight": weights["model.norm.weight"] + 1}, damaged / "model.safetensors")
    assert open_folder(llama).identity() != open_folder(damaged).identity()


def test_a_folder_may_have_no_tokenizer(damaged: Path) -> None:
    assert open_folder(damaged).tokenizer().name == "huggingface"
    (damaged / "tokenizer.json").unlink()
    assert open_folder(damaged).tokenizer() is None


# ------------------------------------------------------------------------------------- bad folders


def setting(**values):
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return change


def writing(name: str, content: str | bytes):
    def change(folder: Path) -> None:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return change


def without_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def cut_short(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def index(content):
    def change(folder: Path) -> None:
        without_weights(folder)
        (folder / "model.safetensors.index.json").write_text(json.dumps(content))

    return change


BAD = {
    "no config": (lambda folder: (folder / "config.json").unlink(), "is no folder of transformers"),
    "a config that is no JSON": (writing("config.json", "{"), "config.json cannot be read"),
    "a config that is a list": (writing("config.json", "[]"), "config.json cannot be read"),
    "another model type": (setting(model_type="mambo"), "model_type=mambo cannot be taken"),
    "no model type": (writing("config.json", "{}"), "model_type=None cannot be taken"),
    "an option of another type": (setting(hidden_size="wide"), "hidden_size='wide', where a whole number"),
    "heads that do not fit": (setting(num_key_value_heads=3), "key_value_heads=3 does not divide"),
    "an epsilon of another type": (setting(rms_norm_eps="small"), "epsilon='small' is not a finite number"),
    "quantized weights": (setting(quantization_config={"bits": 4}), "are quantized"),
    "pickled weights": (without_weights, "a pickle can execute anything"),
    "an index without a map": (index({"metadata": {}}), "is no index of weights"),
    "an index that leaves the folder": (index({"weight_map": {"a": "../other.safetensors"}}), "is no index of weights"),
    "an index of files that are missing": (index({"weight_map": {"a": "model-1.safetensors"}}), "is missing, which"),
    "weights cut short": (cut_short, "damaged or cut short"),
    "weights that are none": (writing("model.safetensors", b"x" * 100), "damaged or cut short"),
    "weights of another config": (setting(num_hidden_layers=3), r"no model\.layers\.2\."),
    "weights of another width": (setting(intermediate_size=56), "another shape than the config says"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_folders_are_one_paragraph(damaged: Path, case: str) -> None:
    change, message = BAD[case]
    change(damaged)
    with pytest.raises(UserError, match=message) as caught:
        open_folder(damaged).weights()
    assert str(damaged) in str(caught.value)


def test_a_folder_that_is_there_is_not_written_over(llama: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is there already"):
        write_folder(llama, live(llama), run_config([]), None)


def test_what_cannot_be_exported_leaves_nothing(llama: Path, tmp_path: Path) -> None:
    class Strange:
        end = 0

    config = run_config(["data.sequence_length=48"])
    config.architecture = open_folder(llama).architecture()
    with pytest.raises(UserError, match="Strange cannot be exported"):
        write_folder(tmp_path / "ours", live(llama), config, Strange())
    assert list(tmp_path.iterdir()) == []
