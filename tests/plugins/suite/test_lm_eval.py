"""suite=lm_eval: tasks by name, from folders; what is refused, and in which words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.config import ConfigError, from_mapping
from harness.errors import UserError
from harness.registry import registry

LmEval = registry().get("suite", "lm_eval")

CHOICE = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_target: answer
doc_to_choice: choices
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
"""


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the task `sums`."""
    rows = [{"question": f"{a} + 1 =", "choices": [str(a), str(a + 1)], "answer": 1} for a in range(5)]
    (tmp_path / "tasks").mkdir()
    data = tmp_path / "tasks" / "sums.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "tasks" / "sums.yaml").write_text(CHOICE.format(name="sums", data=data))
    return tmp_path / "tasks"


def build(folder: Path, **options: Any) -> dict[str, Any]:
    return from_mapping(LmEval, {"include": str(folder), **options}).build([], None)


def test_a_folder_of_task_files(folder: Path) -> None:
    tasks = build(folder)
    assert list(tasks) == ["sums"]
    assert tasks["sums"].doc_to_text(tasks["sums"].eval_docs[2]) == "2 + 1 ="


def test_a_group_brings_its_tasks_and_itself(folder: Path) -> None:
    (folder / "group.yaml").write_text("group: maths\ntask: [sums]\naggregate_metric_list: [{metric: acc}]\n")
    assert sorted(build(folder, tasks=["maths"])) == ["maths", "sums"]


def test_few_shot_examples(folder: Path) -> None:
    from harness.scoring.evaluate import Prepared

    (folder / "sums.yaml").write_text((folder / "sums.yaml").read_text() + "fewshot_split: test\n")
    tokenizer = registry().get("tokenizer", "bytes")().train([])
    prepared = Prepared(build(folder, num_fewshot=2), tokenizer, limit=3)
    prompts = [instance.args[0] for instance in prepared.instances()]
    assert len(prompts) == 3 * 2
    assert all(prompt.count("+ 1 =") == 3 for prompt in prompts)


def test_plugins_bring_folders(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pluggy

    from harness import hookimpl, plugins

    class Plugin:
        @hookimpl
        def task_folders(self) -> list[str]:
            return [str(folder)]

    manager: pluggy.PluginManager = plugins.load().manager
    plugin = Plugin()
    manager.register(plugin)
    try:
        assert list(from_mapping(LmEval, {"tasks": ["sums"]}).build([], None)) == ["sums"]
    finally:
        manager.unregister(plugin)


def test_the_questions_determine_the_fingerprint(folder: Path) -> None:
    suite = from_mapping(LmEval, {"include": str(folder)})
    before = suite.fingerprint()
    (folder / "sums.jsonl").write_text(json.dumps({"question": "1 + 1 =", "choices": ["1", "2"], "answer": 1}) + "\n")
    assert suite.fingerprint() != before


# ------------------------------------------------------------------------------------- code is refused


@pytest.fixture
def trap(folder: Path) -> Path:
    """What a task's code would leave behind if it ran."""
    (folder / "code.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\ndef double(docs): return docs\n")
    return folder / "ran"


def add_line(folder: Path, line: str) -> None:
    (folder / "sums.yaml").write_text((folder / "sums.yaml").read_text() + line + "\n")


def test_a_function_runs_only_by_permission(folder: Path, trap: Path) -> None:
    add_line(folder, "process_docs: !function code.double")
    with pytest.raises(UserError, match=r"sums\.yaml calls Python code .*allow_code=\[sums\]"):
        build(folder, tasks=["sums"])
    assert not trap.exists()
    assert list(build(folder, tasks=["sums"], allow_code=["sums"])) == ["sums"]
    assert trap.exists()


def test_a_function_in_an_included_file_is_found(folder: Path, trap: Path) -> None:
    (folder / "base").write_text("process_docs: !function code.double\n")
    add_line(folder, "include: base")
    with pytest.raises(UserError, match="calls Python code"):
        build(folder)
    assert not trap.exists()


def test_a_function_below_a_group_is_found(folder: Path, trap: Path) -> None:
    (folder / "group.yaml").write_text("group: maths\ntask: [{group: inner, task: [sums]}]\n")
    add_line(folder, "process_docs: !function code.double")
    with pytest.raises(UserError, match="calls Python code"):
        build(folder, tasks=["maths"])
    assert not trap.exists()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("unsafe_code: true", "executes the code that the model writes"),
        ("dataset_path: pandas", "pickled"),
        ("metric_list: [{metric: x, hf_evaluate: true}]", "code from the Hugging Face Hub"),
    ],
)
def test_other_ways_to_run_code(folder: Path, line: str, reason: str) -> None:
    add_line(folder, line)
    with pytest.raises(UserError, match=reason):
        build(folder, tasks=["sums"])


def test_a_template_cannot_reach_python(folder: Path) -> None:
    add_line(folder, 'doc_to_text: "{{ cycler.__init__.__globals__.os.getcwd() }}"')
    with pytest.raises(UserError, match=r"sums cannot be loaded: SecurityError"):
        build(folder)


# ------------------------------------------------------------------------------------------ bad input


def test_no_task_is_named() -> None:
    with pytest.raises(ConfigError, match="tasks is empty"):
        from_mapping(LmEval, {})


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no folder"):
        build(tmp_path / "nowhere")


def test_a_folder_without_tasks(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no lm-eval task file"):
        build(tmp_path)


def test_a_file_that_is_no_yaml(folder: Path) -> None:
    (folder / "broken.yaml").write_text("task: [sums\n")
    with pytest.raises(UserError, match=r"broken\.yaml is no YAML"):
        build(folder)


def test_a_task_file_that_lacks_its_data(folder: Path) -> None:
    (folder / "sums.jsonl").unlink()
    with pytest.raises(UserError, match="Task sums cannot be loaded: FileNotFoundError"):
        build(folder)


def test_data_that_only_the_hub_has(folder: Path) -> None:
    far = "task: far\ndataset_path: allenai/ai2_arc\ntest_split: test\noutput_type: loglikelihood\n"
    (folder / "sums.yaml").write_text(far)
    with pytest.raises(UserError, match=r"data of task far are out of reach.*suite=offline") as raised:
        build(folder)
    assert "\n" not in str(raised.value)


@pytest.mark.slow
def test_a_shipped_task_out_of_reach_and_one_mistyped() -> None:
    with pytest.raises(UserError, match="data of task arc_easy are out of reach"):
        from_mapping(LmEval, {"tasks": ["arc_easy"]}).build([], None)
    with pytest.raises(UserError, match=r"no lm-eval task, group or tag named arc_esay\. Did you mean arc_easy"):
        from_mapping(LmEval, {"tasks": ["arc_esay"]}).build([], None)
