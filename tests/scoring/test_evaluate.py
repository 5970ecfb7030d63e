"""Our evaluation of lm-eval's tasks against lm-eval's own."""

from __future__ import annotations

import hashlib
import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lm_eval.api.instance import Instance
from lm_eval.api.metrics import bits_per_byte, mean, weighted_perplexity
from lm_eval.api.model import LM

from harness.config import from_mapping
from harness.registry import registry
from harness.scoring.evaluate import Prepared
from harness.scoring.metrics import METRICS, edit_distance
from harness.scoring.statistics import nats_per, standard_error

CHOICES = ["no", "eleven", "b", "three hundred"]

TASKS = {
    "choice": """
task: choice
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_target: answer
doc_to_choice: choices
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
  - {metric: acc_norm, aggregation: mean, higher_is_better: true}
  - {metric: mcc, aggregation: matthews_corrcoef, higher_is_better: true}
""",
    "choice_too": """
task: choice_too
output_type: multiple_choice
doc_to_text: "Q: {{question}}"
doc_to_target: "{{choices[answer]}}"
doc_to_choice: choices
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
""",
    "said": """
task: said
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{choices[answer]}}"
generation_kwargs: {until: ["\\n"], max_gen_toks: 4}
repeats: 2
filter_list:
  - {name: whole, filter: [{function: take_first}]}
  - {name: digit, filter: [{function: regex, regex_pattern: "([a-z])"}, {function: take_first}]}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
""",
    "text": """
task: text
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: question
metric_list:
  - {metric: word_perplexity, aggregation: weighted_perplexity, higher_is_better: false}
  - {metric: bits_per_byte, aggregation: bits_per_byte, higher_is_better: false}
""",
    "last": """
task: last
output_type: loglikelihood
doc_to_text: "{{question}}"
doc_to_target: "{{choices[0]}}"
metric_list:
  - {metric: perplexity, aggregation: perplexity, higher_is_better: false}
  - {metric: acc, aggregation: mean, higher_is_better: true}
""",
}
GROUP = "group: both\ntask: [choice, choice_too]\naggregate_metric_list: [{metric: acc, weight_by_size: true}]\n"


class Oracle(LM):
    """Answers from a hash of the question: any two evaluations of one task must agree on it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def _draw(self, *words: Any) -> random.Random:
        self.asked += 1
        return random.Random(hashlib.blake2b(json.dumps(words).encode()).digest())

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        draws = [self._draw(*request.args) for request in requests]
        return [(-draw.expovariate(0.3), draw.random() < 0.5) for draw in draws]

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        return [-self._draw(*request.args).expovariate(0.05) for request in requests]

    def generate_until(self, requests: list[Instance]) -> list[str]:
        return [self._draw(request.args[0]).choice(CHOICES) for request in requests]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    rng = random.Random(0)
    rows = [{"question": f"which {i} is ß", "choices": CHOICES, "answer": rng.randrange(4)} for i in range(23)]
    (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = f"dataset_path: json\ndataset_kwargs: {{data_files: {{test: {folder / 'data.jsonl'}}}}}\ntest_split: test\n"
    for name, text in TASKS.items():
        (folder / f"{name}.yaml").write_text(text + data)
    (folder / "both.yaml").write_text(GROUP)
    return folder


@pytest.fixture(scope="module")
def items(folder: Path) -> dict[str, Any]:
    names = ["both", "said", "text", "last"]
    suite = from_mapping(registry().get("suite", "lm_eval"), {"include": str(folder), "tasks": names})
    return suite.build([], None)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return registry().get("tokenizer", "bytes")().train([])


@pytest.mark.parametrize("limit", [None, 7])
def test_the_same_scores_as_lm_evals_own_evaluation(
    items: dict[str, Any], folder: Path, tokenizer: Any, limit: int | None
) -> None:
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(folder), include_defaults=False)
    theirs = simple_evaluate(
        Oracle(), tasks=["both", "said", "text", "last"], task_manager=manager, limit=limit, bootstrap_iters=2
    )
    expected = {
        (task, key.removesuffix(",none")): value
        for task, row in theirs["results"].items()
        for key, value in row.items()
        if "," in key and "_stderr" not in key
    }
    ours = Prepared(items, tokenizer, limit).evaluate(Oracle()).values
    found = {(v.task, v.metric): v.value for v in ours}
    twins = {key for key in found if key[1] in ("probability", "margin")}
    assert {key: found[key] for key in found if key not in twins} == pytest.approx(expected)
    assert len(expected) == 3 + 1 + 2 + 2 + 2 + 1
    for value in ours:
        theirs_error = theirs["results"][value.task].get(_error_key(value.metric), "N/A")
        if theirs_error != "N/A" and value.metric.partition(",")[0] in ("acc", "acc_norm", "exact_match"):
            assert value.stderr == pytest.approx(theirs_error)


def _error_key(metric: str) -> str:
    name, _, filter_name = metric.partition(",")
    return f"{name}_stderr,{filter_name or 'none'}"


def test_a_second_model_finds_the_requests_made(items: dict[str, Any], tokenizer: Any) -> None:
    prepared = Prepared(items, tokenizer)
    before = list(prepared.instances())
    first, second = Oracle(), Oracle()
    assert prepared.evaluate(first).values == prepared.evaluate(second).values
    assert all(a is b for a, b in zip(before, prepared.instances(), strict=True))
    assert first.asked == second.asked == prepared.requests()


def test_templates_are_rendered_once_for_all_models(
    items: dict[str, Any], tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared, rendered = Prepared(items, tokenizer), []
    first = prepared.evaluate(Oracle())
    monkeypatch.setattr("lm_eval.api.task.utils.apply_template", lambda *words: rendered.append(words))
    second = prepared.evaluate(Oracle())
    assert (second.values, rendered) == (first.values, [])


def test_choices_have_continuous_twins(items: dict[str, Any], tokenizer: Any) -> None:
    """Recomputed from the samples: the right choice's share of the probability, and its lead."""
    scored = Prepared({"choice": items["choice"]}, tokenizer).evaluate(Oracle())
    for sample in scored.samples["choice"]:
        lls, right = sample["log_likelihoods"], int(sample["target"])
        others = [ll for i, ll in enumerate(lls) if i != right]
        assert sample["metric.probability"] == pytest.approx(math.exp(lls[right]) / sum(map(math.exp, lls)))
        assert sample["metric.margin"] == pytest.approx(lls[right] - max(others))
        assert (sample["metric.margin"] > 0) == bool(sample["metric.acc"])
    named = {v.metric: v for v in scored.values}
    assert named["probability"].n == named["acc"].n == 23


def test_samples_hold_what_was_asked_and_answered(items: dict[str, Any], tokenizer: Any) -> None:
    sample = Prepared({"said": items["said"]}, tokenizer, 1).evaluate(Oracle()).samples["said"][0]
    assert sample["prompt"] == "which 0 is ß"
    assert sample["filter"] == "whole"
    assert len(sample["responses"]) == 1
    assert sample["metric.exact_match"] in (0.0, 1.0)


# ----------------------------------------------------------------------------------------- statistics


def bootstrapped(aggregate: Any, items: list[Any], times: int = 4000) -> float:
    """The slow and obvious standard error."""
    rng = random.Random(1)
    return float(np.std([aggregate(rng.choices(items, k=len(items))) for _ in range(times)], ddof=1))


@pytest.mark.parametrize("aggregate", [bits_per_byte, nats_per, weighted_perplexity])
def test_errors_of_ratios_agree_with_a_bootstrap(aggregate: Any) -> None:
    rng = random.Random(0)
    weights = [rng.randint(20, 200) for _ in range(150)]
    items = [(-w * rng.gauss(0.5, 0.1), w) for w in weights]
    assert standard_error(aggregate, items) == pytest.approx(bootstrapped(aggregate, items), rel=0.08)


def test_the_error_of_a_mean() -> None:
    assert standard_error(mean, [0.0, 1.0, 1.0, 0.0]) == pytest.approx(math.sqrt(1 / 3) / 2)
    assert standard_error(mean, [1.0]) is None


def test_other_aggregates_are_bootstrapped_the_same_way_each_time() -> None:
    rng = random.Random(0)
    items = [rng.gauss(0, 1) for _ in range(100)]
    first = standard_error(np.median, items)
    assert first == standard_error(np.median, items)
    assert first == pytest.approx(bootstrapped(np.median, items), rel=0.2)


# -------------------------------------------------------------------------------------------- metrics


def reference_distance(a: str, b: str) -> int:
    """Levenshtein by its definition."""
    if not a or not b:
        return len(a) + len(b)
    return min(
        reference_distance(a[1:], b) + 1,
        reference_distance(a, b[1:]) + 1,
        reference_distance(a[1:], b[1:]) + (a[0] != b[0]),
    )


def test_edit_distance_is_levenshteins() -> None:
    rng = random.Random(0)
    for _ in range(60):
        a, b = ("".join(rng.choices("ab1", k=rng.randint(0, 5))) for _ in range(2))
        assert edit_distance(a, b) == pytest.approx(reference_distance(a, b) / max(len(a), len(b), 1))


def test_every_discrete_metric_names_its_twins() -> None:
    for metric in METRICS.values():
        assert bool(metric.twins) == metric.discrete
        assert all(not METRICS[twin].discrete for twin in metric.twins)
