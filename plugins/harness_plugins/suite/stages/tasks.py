"""The tasks over examples. Requests are tokens, as training wrote them, not texts to tokenise."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from lm_eval.api.metrics import bits_per_byte, mean

from harness.interfaces.batch import ANSWER, CONTEXT
from harness.interfaces.corpus import Example
from harness.interfaces.reward import Reward
from harness.scoring.encoder import Written
from harness.scoring.statistics import nats_per
from harness.scoring.task import ListTask, Requests


@dataclass(frozen=True)
class Rendered:
    """An example as the model meets it: tokens_E and parts_E of a `harness.data.examples.Renderer`."""

    example: Example
    tokens_E: np.ndarray
    parts_E: np.ndarray

    def prompt(self) -> list[int]:
        return [int(token) for token in self.tokens_E[self.parts_E == CONTEXT]]

    def answer(self, number: int) -> list[int]:
        """The tokens of a preference's n-th answer, its end among them."""
        return [int(token) for token in self.tokens_E[self.parts_E == ANSWER + number]]

    def turns(self) -> Iterator[tuple[list[int], list[int]]]:
        """Of a conversation, each answer after all that stands before it."""
        is_answer = np.concatenate([[False], self.parts_E == ANSWER, [False]])
        edges = np.flatnonzero(is_answer[1:] != is_answer[:-1])
        for start, end in zip(edges[::2], edges[1::2], strict=True):
            yield self.tokens_E[:start].tolist(), self.tokens_E[start:end].tolist()


class _OfExamples(ListTask):
    def __init__(self, name: str, examples: Sequence[Rendered], tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        super().__init__(name, [{"prompt": e.example.name, **self.document(e)} for e in examples])

    def document(self, example: Rendered) -> dict[str, Any]:
        raise NotImplementedError

    def text(self, tokens: Sequence[int]) -> Written:
        return Written.of(tokens, self._tokenizer)


class Answers(_OfExamples):
    """How well the answers of conversations are predicted, each with its end, from what stands before it. The end
    counts as a byte."""

    aggregations = {"bits_per_byte": bits_per_byte, "nats_per_token": nats_per}

    def document(self, example: Rendered) -> dict[str, Any]:
        turns = list(example.turns())
        texts = [turn.text for turn in example.example.turns if turn.speaker == "assistant"]
        return {
            "target": "\n".join(texts),
            "turns": [(self.text(context), self.text(answer)) for context, answer in turns],
            "bytes": sum(len(text.encode()) + 1 for text in texts),
            "tokens": sum(len(answer) for _, answer in turns),
        }

    def requests(self, doc: dict[str, Any]) -> Requests:
        yield from (("loglikelihood", turn) for turn in doc["turns"])

    def process_results(self, doc: dict[str, Any], results: list[Any]) -> dict[str, Any]:
        nats = sum(log_likelihood for log_likelihood, _ in results)
        return {"bits_per_byte": (nats, doc["bytes"]), "nats_per_token": (nats, doc["tokens"])}


class Preferences(_OfExamples):
    """Which of two answers is the likelier one, each with its end, given the prompt."""

    aggregations = {"accuracy": mean, "probability": mean, "margin": mean}

    def document(self, example: Rendered) -> dict[str, Any]:
        better, worse = (self.text(example.answer(number)) for number in (0, 1))
        return {"target": str(better), "context": self.text(example.prompt()), "better": better, "worse": worse}

    def requests(self, doc: dict[str, Any]) -> Requests:
        yield "loglikelihood", (doc["context"], doc["better"])
        yield "loglikelihood", (doc["context"], doc["worse"])

    def process_results(self, doc: dict[str, Any], results: list[Any]) -> dict[str, Any]:
        """margin: log p(better) − log p(worse) in nats; a tie is half right. probability: of the better one, given that
        it is one of the two."""
        margin = results[0][0] - results[1][0]
        right = float(margin > 0) + 0.5 * float(margin == 0)
        return {"accuracy": right, "probability": 0.5 * (1 + math.tanh(margin / 2)), "margin": margin}


class Generated(_OfExamples):
    """What a program thinks of what the model writes after a prompt."""

    aggregations = {"reward": mean}

    def __init__(
        self, name: str, examples: Sequence[Rendered], tokenizer: Any, reward: Reward, settings: Mapping[str, Any]
    ) -> None:
        """settings: of the generation, as lm-eval names them."""
        self._reward, self._settings = reward, dict(settings)
        super().__init__(name, examples, tokenizer)

    def document(self, example: Rendered) -> dict[str, Any]:
        whole = example.example
        return {"target": "", "context": self.text(example.prompt()), "asked": whole.asked, "fields": whole.fields}

    def requests(self, doc: dict[str, Any]) -> Requests:
        yield "generate_until", (doc["context"], dict(self._settings))

    def process_results(self, doc: dict[str, Any], results: list[str]) -> dict[str, Any]:
        return {"reward": self._reward(doc["asked"], results[0], doc["fields"])}
