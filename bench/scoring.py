"""Scoring 8 checkpoints in one go against 8 warm calls of lm-eval's `simple_evaluate`: at least 2 times faster.

The checkpoints are two of each of the quickstart's four rungs, with random weights (the time does not depend on
them) under the quickstart's tokenizer; the tasks are the quickstart's questions as lm-eval task files: held-out text,
minimal pairs, problems to be answered. Both load each checkpoint, ask the same model wrapper in one process and one
thread, with as many bootstraps; `simple_evaluate` is warm and shares one TaskManager over its calls. They take turns,
each first as often, and must find equal values.

    python bench/scoring.py [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

from harness.composition import run_config
from harness.config import from_mapping, to_mapping
from harness.files import new_folder, write_json
from harness.planning.plan import dataset
from harness.registry import registry
from harness.rundir import RunDir
from harness.scoring.encoder import Encoder
from harness.scoring.evaluate import quiet
from harness.scoring.model import LanguageModel
from harness.scoring.score import score_runs
from harness.scoring.statistics import BOOTSTRAPS
from harness.training.checkpoints import write_weights
from harness.training.train import load_model

LEAST = 2.0
WIDTHS = (24, 32, 48, 64)
QUICKSTART = ["scale=ladder", "corpus=stdlib_and_problems", "trainer.accelerator=cpu"]

Values = dict[tuple[str, str, str], float]

PAIR = """
output_type: multiple_choice
doc_to_text: ""
doc_to_target: 0
doc_to_choice: "{{[good, bad]}}"
target_delimiter: ""
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""
TEXT = """
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: text
metric_list: [{metric: bits_per_byte, aggregation: bits_per_byte, higher_is_better: false}]
"""
PROBLEM = """
output_type: generate_until
doc_to_text: prompt
doc_to_target: "{{answer}}"
target_delimiter: ""
generation_kwargs: {until: ["\\n"], max_gen_toks: 16}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
"""


def make_runs(folder: Path) -> list[RunDir]:
    """Two run directories for each rung, as training leaves them."""
    runs = []
    for seed in (0, 1):
        for width in WIDTHS:
            config = run_config([*QUICKSTART, f"scale.width={width}", f"seed={seed}"])
            tokenizer = dataset(config).tokenizer
            run = RunDir(folder / f"{width}-{seed}")
            write_json(run.path / "config.json", to_mapping(config))
            write_json(run.path / "manifest.json", {"state": "finished"})
            with new_folder(run.path / "tokenizer") as inside:
                tokenizer.save(inside)
            torch.manual_seed(seed)
            with new_folder(run.checkpoint(1)) as inside:
                write_weights(inside, config.architecture.build(tokenizer.size).state_dict())
            runs.append(run)
    return runs


def make_tasks(folder: Path) -> list[str]:
    """The default suite's questions as lm-eval's task files; returns their names."""
    config = run_config(QUICKSTART)
    data, most = dataset(config), config.data.sequence_length
    names = []
    for name, task in registry().get("suite", "offline")().build(data.held_out, data.tokenizer).items():
        documents = task.test_docs()
        if "bad" in documents[0]:
            pairs = [{"good": d["target"], "bad": d["bad"]} for d in documents]
            kind, rows = PAIR, [p for p in pairs if max(map(len, data.tokenizer.encode_all(list(p.values())))) <= most]
        elif "bytes" in documents[0]:
            kind, rows = TEXT, [{"text": d["target"]} for d in documents]
        else:
            kind, rows = PROBLEM, [{"prompt": d["prompt"], "answer": d["target"].rstrip("\n")} for d in documents]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        source = (
            f"dataset_path: json\ndataset_kwargs: {{data_files: {{test: {folder / name}.jsonl}}}}\ntest_split: test\n"
        )
        (folder / f"{name}.yaml").write_text(f"task: {name}\n{kind}{source}")
        names.append(name)
    return names


def ours(runs: list[RunDir], tasks: Path) -> Values:
    for run in runs:
        (run.path / "scores.json").unlink(missing_ok=True)
        shutil.rmtree(run.path / "samples", ignore_errors=True)
    suite = from_mapping(registry().get("suite", "lm_eval"), {"include": str(tasks)})
    rows = score_runs(runs, suite, [], quiet=True)
    return {(row["run"], row["task"], row["metric"]): row["value"] for row in rows}


def theirs(runs: list[RunDir], names: list[str], manager: TaskManager) -> Values:
    found: Values = {}
    for run in runs:
        torch.set_num_threads(1)
        model, config, tokenizer = load_model(run)
        wrapped = LanguageModel(model, Encoder(tokenizer), config.data.sequence_length)
        with quiet():
            scored: Any = simple_evaluate(
                wrapped, tasks=list(names), task_manager=manager, bootstrap_iters=BOOTSTRAPS, num_fewshot=0
            )
        for task, row in scored["results"].items():
            for key, value in row.items():
                metric, _, of_filter = key.partition(",")
                if of_filter == "none" and not metric.endswith("_stderr"):
                    found[run.id, task, metric] = value
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HF_DATASETS_CACHE"] = f"{folder}/datasets"
        tasks = Path(folder) / "tasks"
        tasks.mkdir()
        runs, names = make_runs(Path(folder) / "runs"), make_tasks(tasks)
        manager = TaskManager(include_path=str(tasks), include_defaults=False)
        ways = {"ours": lambda: ours(runs, tasks), "theirs": lambda: theirs(runs, names, manager)}
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(rounds + 1):
            values = {}
            for way in sorted(ways, reverse=bool(turn % 2)):
                start = time.perf_counter()
                values[way] = ways[way]()
                seconds[way].append(time.perf_counter() - start)
            shared = {key: values["ours"].get(key) for key in values["theirs"]}
            assert shared == values["theirs"], "the values are not equal"
    medians = {way: statistics.median(taken[1:]) for way, taken in seconds.items()}  # the first warms both up
    ratio = medians["theirs"] / medians["ours"]
    print(
        f"scoring: {len(runs)} checkpoints, {len(names)} tasks, {len(shared)} equal values: {medians['ours']:.2f} s in "
        f"one go, {medians['theirs']:.2f} s by {len(runs)} warm calls of simple_evaluate: {ratio:.2f} times "
        f"(at least {LEAST:g})"
    )
    if ratio < LEAST:
        sys.exit(1)


if __name__ == "__main__":
    main()
