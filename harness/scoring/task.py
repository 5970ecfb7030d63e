"""The base of tasks whose documents are made here, not loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

from lm_eval.api.instance import Instance
from lm_eval.api.task import Task, TaskConfig
from lm_eval.filters import build_filter_ensemble

from harness.scoring.metrics import METRICS

Requests = Iterator[tuple[str, tuple[Any, ...]]]


class ListTask(Task):
    """An lm-eval task over a list of dicts. A subclass gives `requests` and `process_results`, and `aggregations`.

    The requests of a document may be of several kinds; `process_results` gets their answers in the same order.
    """

    VERSION = 1
    #: Metric → how the values of its samples become one number.
    aggregations: ClassVar[dict[str, Callable]] = {}

    def __init__(self, name: str, documents: Sequence[dict[str, Any]]) -> None:
        self._config = TaskConfig(task=name, num_fewshot=0, output_type="loglikelihood")
        self._filters = [build_filter_ensemble("none", [("take_first", None)])]
        self._documents = list(documents)
        self._instances = None

    def requests(self, doc: dict[str, Any]) -> Requests:
        """Pairs of (loglikelihood | loglikelihood_rolling | generate_until, its arguments)."""
        raise NotImplementedError

    def aggregation(self) -> dict[str, Callable]:
        return dict(self.aggregations)

    def higher_is_better(self) -> dict[str, bool]:
        return {name: METRICS[name].higher_is_better for name in self.aggregations}

    def doc_to_text(self, doc: dict[str, Any]) -> str:
        return doc.get("prompt", "")

    def doc_to_target(self, doc: dict[str, Any]) -> str:
        return doc["target"]

    def construct_requests(self, doc: dict[str, Any], ctx: str, **kwargs: Any) -> list[Instance]:
        metadata = kwargs["metadata"]
        return [Instance(kind, doc, arguments, i, metadata) for i, (kind, arguments) in enumerate(self.requests(doc))]

    def fewshot_context(self, doc: dict[str, Any], *args: Any, **kwargs: Any) -> str:
        return self.doc_to_text(doc)

    def has_training_docs(self) -> bool:
        return False

    def has_validation_docs(self) -> bool:
        return False

    def has_test_docs(self) -> bool:
        return True

    def test_docs(self) -> list[dict[str, Any]]:
        return self._documents
