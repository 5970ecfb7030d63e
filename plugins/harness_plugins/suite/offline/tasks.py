"""The three kinds of task of the default suite."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from lm_eval.api.metrics import bits_per_byte, mean

from harness.data.synthetic import Problem, render
from harness.scoring.encoder import Compared
from harness.scoring.metrics import edit_distance
from harness.scoring.statistics import nats_per
from harness.scoring.task import ListTask, Requests
from harness_plugins.suite.offline.minimal_pairs import Pair

Encode = Callable[[str], Sequence[int]]


class HeldOutText(ListTask):
    """How well text that nobody trained on is predicted."""

    aggregations = {"bits_per_byte": bits_per_byte, "nats_per_token": nats_per}

    def __init__(self, name: str, excerpts: Sequence[tuple[str, str]], encode: Encode) -> None:
        """excerpts: pairs of the document's name and the text."""
        super().__init__(
            name,
            [
                {"prompt": source, "target": text, "bytes": len(text.encode()), "tokens": len(encode(text))}
                for source, text in excerpts
            ],
        )

    def requests(self, doc: dict[str, Any]) -> Requests:
        yield "loglikelihood_rolling", (doc["target"],)

    def process_results(self, doc: dict[str, Any], results: list[float]) -> dict[str, Any]:
        return {"bits_per_byte": (results[0], doc["bytes"]), "nats_per_token": (results[0], doc["tokens"])}


class MinimalPairs(ListTask):
    """Which of two texts is the more probable as a whole, as in BLiMP (Warstadt et al. 2020)."""

    aggregations = {"accuracy": mean, "probability": mean, "margin": mean}

    def __init__(self, name: str, pairs: Sequence[Pair]) -> None:
        super().__init__(name, [{"prompt": pair.document, "target": pair.good, "bad": pair.bad} for pair in pairs])

    def requests(self, doc: dict[str, Any]) -> Requests:
        yield "loglikelihood_rolling", (Compared(doc["target"]),)
        yield "loglikelihood_rolling", (Compared(doc["bad"]),)

    def process_results(self, doc: dict[str, Any], results: list[float]) -> dict[str, Any]:
        """margin: log p(good) − log p(bad) in nats. probability: of the good one, given that it is one of the two."""
        margin = results[0] - results[1]
        return {"accuracy": float(margin > 0), "probability": 0.5 * (1 + math.tanh(margin / 2)), "margin": margin}


class Problems(ListTask):
    """Synthetic problems, asked in the form that was trained on; the answer ends with its line."""

    aggregations = {
        "exact_match": mean,
        "token_accuracy": mean,
        "edit_distance": mean,
        "log_likelihood": mean,
        "log_likelihood_per_token": mean,
    }

    def __init__(self, name: str, problems: Sequence[Problem], encode: Encode) -> None:
        self._encode = encode
        self._most_tokens = max(len(encode(f" {problem.answer}\n")) for problem in problems) + 1
        super().__init__(name, [self._document(problem) for problem in problems])

    def _document(self, problem: Problem) -> dict[str, Any]:
        whole, prompt = render(problem), problem.prompt
        tokens = len(self._encode(whole)) - len(self._encode(prompt))
        return {"prompt": prompt, "target": whole.removeprefix(prompt), "tokens": tokens}

    def requests(self, doc: dict[str, Any]) -> Requests:
        yield "loglikelihood", (doc["prompt"], doc["target"])
        yield "generate_until", (doc["prompt"], {"until": ["\n"], "max_gen_toks": self._most_tokens})

    def process_results(self, doc: dict[str, Any], results: list[Any]) -> dict[str, Any]:
        """token_accuracy: the share of the answer's tokens that the response has at the same place.
        log_likelihood: of the whole answer and the end of its line, which is what exact_match asks for."""
        (log_likelihood, _), response = results
        answer = doc["target"].rstrip("\n")
        tokens, given = self._encode(answer), self._encode(response)
        return {
            "exact_match": float(response == answer),
            "token_accuracy": sum(a == b for a, b in zip(tokens, given, strict=False)) / len(tokens),
            "edit_distance": edit_distance(response, answer),
            "log_likelihood": log_likelihood,
            "log_likelihood_per_token": log_likelihood / doc["tokens"],
        }
