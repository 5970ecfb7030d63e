"""A suite's tasks asked of one model after another.

lm-eval's `evaluate` builds every request anew for each model; here tasks are built and requests tokenised once, and
each model costs its forward passes only. What happens to the answers is lm-eval's: filters, `process_results`,
aggregation, groups. Standard errors have closed forms, or a short bootstrap.
"""

from __future__ import annotations

import contextlib
import io
import logging
import numbers
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from lm_eval.api.instance import Instance
from lm_eval.api.metrics import mean

from harness.errors import UserError
from harness.scoring.encoder import Encoder, Written
from harness.scoring.statistics import RATIOS, standard_error

log = logging.getLogger(__name__)

#: The seed with which lm-eval draws few-shot examples.
FEWSHOT_SEED = 1234

#: The methods by which a task makes text of a document.
RENDERED = ("doc_to_text", "doc_to_target", "doc_to_choice")


@dataclass(frozen=True)
class Value:
    """One aggregated metric of one task. n: samples."""

    task: str
    metric: str
    value: float
    stderr: float | None
    n: int


@dataclass(frozen=True)
class Scored:
    """What one model made of a suite: its metrics, and task → one dict for each sample."""

    values: list[Value]
    samples: dict[str, list[dict[str, Any]]]


class Prepared:
    """A suite made ready for all models that share a tokenizer. items: its tasks and groups, by name."""

    def __init__(self, items: dict[str, Any], tokenizer: Any, limit: int | None = None) -> None:
        self.encoder = Encoder(tokenizer)
        self.tasks = {name: item for name, item in items.items() if hasattr(item, "build_all_requests")}
        self.groups = {name: item for name, item in items.items() if name not in self.tasks}
        with quiet():
            for task in self.tasks.values():
                if task.config.num_fewshot is None:
                    task.set_config("num_fewshot", 0)
                task.set_fewshot_seed(FEWSHOT_SEED)
                for name in RENDERED:
                    if hasattr(task, name):
                        setattr(task, name, _Rendered(getattr(task, name)))
                task.build_all_requests(limit=limit, rank=0, world_size=1)
        self.encoder.encode_ahead(_texts(self.instances()))

    def instances(self) -> Iterator[Instance]:
        for task in self.tasks.values():
            yield from task.instances

    def requests(self) -> int:
        """How many requests one model answers; long texts take more than one."""
        return sum(instance.repeats for instance in self.instances())

    def evaluate(self, model: Any) -> Scored:
        """Asks one model. model: a `harness.scoring.model.LanguageModel`, or any of lm-eval's. Tasks that ask a model
        to write which writes no text are left out, with the groups that they are in, and a warning says so; raises
        UserError where no task is left."""
        tasks, groups = self._answerable(model)
        self._ask(model, tasks)
        scored = Scored([], {})
        with quiet():
            for name, task in tasks.items():
                try:
                    values, samples = _of_task(name, task)
                except Exception as error:  # whatever a task file's metrics can cause
                    raise UserError(f"Task {name} cannot be scored: {type(error).__name__}: {error}.") from error
                scored.values.extend(values)
                scored.samples[name] = samples
            for group in groups:
                scored.values.extend(_of_group(group, scored.values))
        return scored

    def _answerable(self, model: Any) -> tuple[dict[str, Any], list[Any]]:
        """The tasks and groups that the model can be asked."""
        written = [name for name, task in self.tasks.items() if not getattr(model, "writes", True) and _writes(task)]
        if not written:
            return self.tasks, list(self.groups.values())
        told = f"model of {model.kind.name} likelihood, which sees what comes after a token, too: it writes no text"
        if len(written) == len(self.tasks):
            raise UserError(f"No task is left to ask a {told}, as {', '.join(written[:3])} want it to.")
        log.warning("%s cannot be asked of a %s; left out.", ", ".join(written), told)
        tasks = {name: task for name, task in self.tasks.items() if name not in written}
        groups = [group for group in self.groups.values() if not any(map(_writes, group.get_all_tasks()))]
        return tasks, groups

    def _ask(self, model: Any, tasks: dict[str, Any]) -> None:
        by_kind: dict[str, list[Instance]] = defaultdict(list)
        for instance in [instance for task in tasks.values() for instance in task.instances]:
            instance.resps, instance.filtered_resps = [], {}
            by_kind[instance.request_type] += [instance] * instance.repeats
        for kind, instances in by_kind.items():
            for instance, answer in zip(instances, getattr(model, kind)(instances), strict=True):
                instance.resps.append(answer)


def _writes(task: Any) -> bool:
    return any(instance.request_type == "generate_until" for instance in task.instances)


class _Rendered:
    """What a task makes of a document, made once: a template takes lm-eval longer than a small model its answer."""

    def __init__(self, render: Callable[..., Any]) -> None:
        self.render = render
        self._known: dict[int, tuple[Any, Any]] = {}  # the document is kept, so that no other takes its id

    def __call__(self, doc: Any, *options: Any, **more: Any) -> Any:
        if options or more:
            return self.render(doc, *options, **more)
        if id(doc) not in self._known:
            self._known[id(doc)] = doc, self.render(doc)
        return self._known[id(doc)][1]


def _texts(instances: Iterable[Instance]) -> Iterator[str]:
    """Every text that a model will want as tokens (see `TemplateLM._encode_pair`)."""
    for instance in instances:
        context, *rest = instance.args
        if isinstance(context, Written):
            continue
        if instance.request_type == "loglikelihood" and context:
            yield context + rest[0]
            yield context.rstrip()
        else:
            yield rest[0] if instance.request_type == "loglikelihood" else context


def _of_task(name: str, task: Any) -> tuple[list[Value], list[dict[str, Any]]]:
    task.apply_filters()
    by_document: dict[int, list[Instance]] = defaultdict(list)
    for instance in task.instances:
        by_document[instance.doc_id].append(instance)
    columns: dict[str, list[Any]] = defaultdict(list)
    samples = []
    for filter_name in task.instances[0].filtered_resps:
        suffix = "" if filter_name == "none" else f",{filter_name}"
        for document, instances in by_document.items():
            instances.sort(key=lambda instance: instance.idx)
            answers = [instance.filtered_resps[filter_name] for instance in instances]
            metrics = dict(task.process_results(instances[0].doc, answers))
            metrics |= _twins(task, instances[0].doc, answers) if "acc" in metrics else {}
            for metric, value in metrics.items():
                columns[metric + suffix].append(value)
            samples.append(_sample(task, document, filter_name, instances, metrics))
    aggregations = task.aggregation()
    values = [_value(name, key, aggregations.get(key.partition(",")[0], mean), items) for key, items in columns.items()]
    return values, samples


def _value(task: str, metric: str, aggregate: Any, items: list[Any]) -> Value:
    return Value(task, metric, float(aggregate(items)), standard_error(aggregate, items), len(items))


def _twins(task: Any, doc: Any, answers: list[Any]) -> dict[str, float]:
    """Continuous twins of a multiple-choice accuracy: the right choice's probability among the choices, and its
    log-likelihood's lead over the best other one, in nats."""
    gold = task.doc_to_text(doc) if getattr(task, "multiple_input", 0) else task.doc_to_target(doc)
    if task.OUTPUT_TYPE != "multiple_choice" or not isinstance(gold, numbers.Integral):
        if task.OUTPUT_TYPE != "multiple_choice" or not isinstance(gold, str) or gold not in task.doc_to_choice(doc):
            return {}
        gold = task.doc_to_choice(doc).index(gold)
    lls = np.array([answer[0] for answer in answers[: len(task.doc_to_choice(doc))]], dtype=np.float64)
    if not 0 <= gold < len(lls) or len(lls) < 2:
        return {}
    probability = np.exp(lls[gold] - np.logaddexp.reduce(lls))
    return {"probability": float(probability), "margin": float(lls[gold] - np.delete(lls, gold).max())}


def _of_group(group: Any, values: list[Value]) -> list[Value]:
    """lm-eval's own aggregation over a group's tasks, with our standard errors."""
    by_task: dict[str, dict[str, Any]] = defaultdict(dict)
    for v in values:
        key, _, filter_name = v.metric.partition(",")
        filter_name = filter_name or "none"
        stderr = "N/A" if v.stderr is None else v.stderr
        by_task[v.task] |= {f"{key},{filter_name}": v.value, f"{key}_stderr,{filter_name}": stderr, "sample_len": v.n}
    found = group.aggregate(by_task)
    rows = []
    for key, n in found.get("sample_count", {}).items():
        metric, _, filter_name = key.partition(",")
        stderr = found[f"{metric}_stderr,{filter_name}"]
        name = metric if filter_name == "none" else key
        rows.append(Value(group.name, name, float(found[key]), None if stderr == "N/A" else float(stderr), n))
    return rows


def _sample(
    task: Any, document: int, filter_name: str, instances: list[Instance], metrics: dict[str, Any]
) -> dict[str, Any]:
    """One row of a task's Parquet file."""
    first = instances[0]
    likely = [i for i in instances if i.request_type != "generate_until"]
    return {
        "document": document,
        "filter": filter_name,
        "prompt": "" if first.request_type == "loglikelihood_rolling" else str(first.args[0]),
        "target": str(task.doc_to_target(first.doc)),
        "responses": [str(i.filtered_resps[filter_name]) for i in instances if i.request_type == "generate_until"],
        "choices": [str(i.args[-1]) for i in likely],
        "log_likelihoods": [_log_likelihood(i.resps[0]) for i in likely],
    } | {f"metric.{name}": _number(value, task.aggregation().get(name)) for name, value in metrics.items()}


def _log_likelihood(answer: Any) -> float:
    return float(answer[0] if isinstance(answer, tuple) else answer)


def _number(value: Any, aggregate: Any) -> float | None:
    """A sample's own value: what it adds to a mean, or a ratio of its own; None where a single sample has none."""
    if isinstance(value, (numbers.Real, np.generic)):
        return float(value)
    return float(aggregate([value])) if aggregate in RATIOS else None


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps lm-eval's own progress bars and remarks off the terminal."""
    logger = logging.getLogger("lm_eval")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
