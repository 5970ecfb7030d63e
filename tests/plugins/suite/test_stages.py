"""suite=stages: the questions are its own and held out by training's hash, and examples are asked as training writes
them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.config import ConfigError, option, plugin_config
from harness.data.cache import digest
from harness.data.examples import Renderer
from harness.data.split import is_held_out
from harness.errors import UserError
from harness.files import write_json
from harness.interfaces.corpus import (
    CONVERSATIONS,
    DOCUMENTS,
    PREFERENCES,
    PROMPTS,
    CorpusConfig,
    Document,
    Turn,
    example,
)
from harness.interfaces.reward import RewardConfig
from harness.models.model import Model
from harness.registry import registry
from harness.rundir import RunDir
from harness.scoring.evaluate import Prepared
from harness.scoring.model import LanguageModel
from harness.scoring.score import _refuse_what_was_trained_on
from harness_plugins.suite.stages.suite import held_out

Stages = registry().get("suite", "stages")
SHARE = 0.3


@dataclass(kw_only=True)
class Sums(CorpusConfig):
    """Sums in any form; some conversations have two answers."""

    holds: str = option(DOCUMENTS)
    count: int = option(100)
    place: str = option("here")

    def form(self) -> str:
        return self.holds

    def fingerprint(self) -> str:
        return digest([self.holds, self.count])

    def build(self) -> Sums:
        return self

    def __len__(self) -> int:
        return self.count

    def read(self, start: int, stop: int) -> Iterator[Document]:
        for i in range(start, stop):
            ask, say = Turn("user", f"{i}+{i}="), Turn("assistant", f"{2 * i}")
            again = [Turn("user", " once more: "), say] if i % 3 == 0 else []
            made = {
                DOCUMENTS: lambda i=i: Document(f"{i}+{i}={2 * i}. " * 3, f"sum:{i}"),
                CONVERSATIONS: lambda i=i, turns=(ask, say, *again): example(f"sum:{i}", turns),
                PREFERENCES: lambda i=i, ask=ask: example(f"sum:{i}", [ask], [str(2 * i), "nothing at all"]),
                PROMPTS: lambda i=i, ask=ask: example(f"sum:{i}", [ask], fields={"sum": 2 * i}),
            }
            yield made[self.holds]()


@dataclass(kw_only=True)
class Length(RewardConfig):
    """How long a completion is, in characters."""

    def build(self, tokenizer: Any) -> Any:
        return lambda prompt, completion, fields: float(len(completion))


@dataclass(kw_only=True)
class Asked(RewardConfig):
    """Whether prompt and fields are of one example."""

    def build(self, tokenizer: Any) -> Any:
        return lambda prompt, completion, fields: float(int(prompt.split("+")[0]) * 2 == fields["sum"])


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return plugin_config("tokenizer", "bytes", "").train(())


@pytest.fixture(scope="module")
def model(transformer: Any) -> Model:
    torch.manual_seed(0)
    return transformer().build(257).eval()


def of(**slots: Any) -> Any:
    return Stages(**{"name": "stages", "documents": 4, "pairs": 0, "problems": 0, "held_out": SHARE, **slots})


def scores(suite: Any, model: Model, tokenizer: Any) -> tuple[dict[tuple[str, str], float], dict[str, Any]]:
    prepared = Prepared(suite.build([], tokenizer), tokenizer)
    scored = prepared.evaluate(LanguageModel(model, prepared.encoder, 128))
    return {(v.task, v.metric): v.value for v in scored.values}, scored.samples


def log_likelihood(model: Model, tokens: Sequence[int], which: Sequence[bool]) -> float:
    """Slow and obvious: Σ log p(token | those before it) over some tokens of one row, in nats."""
    with torch.no_grad():
        found = model.logits(torch.tensor([list(tokens)]))[0].double().log_softmax(-1)
    return float(sum(found[t - 1, token] for t, token in enumerate(tokens) if which[t]))


@pytest.mark.parametrize("holds", [DOCUMENTS, CONVERSATIONS, PREFERENCES, PROMPTS])
def test_what_is_asked_is_what_training_at_that_share_holds_out(holds: str):
    corpus = Sums(name="sums", holds=holds)
    asked = {document.name for document in held_out(corpus, SHARE)[0].documents}
    assert asked == {document.name for document in corpus.read(0, 100) if is_held_out(document.origin, SHARE)}
    assert 0 < len(asked) < 60
    fewer = {document.name for document in held_out(corpus, SHARE / 2)[0].documents}
    assert fewer < asked, "less is part of more, so that a run may hold out more than is asked"


def test_answers_are_asked_from_all_that_stands_before_them(model: Model, tokenizer: Any):
    """Against each example's own forward pass: nats of the answers and their ends, per byte, an end being one."""
    corpus = Sums(name="sums", holds=CONVERSATIONS)
    found, samples = scores(of(answers=corpus), model, tokenizer)
    renderer, nats, count = Renderer(tokenizer, "plain"), 0.0, 0
    for document in held_out(corpus, SHARE)[0].documents:
        ((tokens_E, parts_E),) = renderer([document])
        nats -= log_likelihood(model, tokens_E.tolist(), (parts_E == 1).tolist())
        count += sum(len(turn.text) + 1 for turn in document.turns if turn.speaker == "assistant")
    assert found["answers", "bits_per_byte"] == pytest.approx(nats / count / math.log(2), rel=1e-5)
    assert found["answers", "nats_per_token"] == pytest.approx(nats / count, rel=1e-5), "a byte is a token here"
    assert {len(sample["log_likelihoods"]) for sample in samples["answers"]} == {1, 2}


@pytest.mark.parametrize("template", ["plain", "chat"])
def test_preferences_are_asked_as_the_template_writes_them(model: Model, tokenizer: Any, template: str):
    corpus = Sums(name="sums", holds=PREFERENCES)
    found, samples = scores(of(preferences=corpus, template=template), model, tokenizer)
    renderer, margins = Renderer(tokenizer, template), []
    for document in held_out(corpus, SHARE)[0].documents:
        prompt = renderer.prompt(document.turns)
        of_each = [[*answer.encode(), tokenizer.end] for answer in document.answers]
        better, worse = (
            log_likelihood(model, prompt + answer, [False] * len(prompt) + [True] * len(answer)) for answer in of_each
        )
        margins.append(better - worse)
    assert found["preferences", "margin"] == pytest.approx(sum(margins) / len(margins), rel=1e-4)
    assert found["preferences", "accuracy"] == sum(margin > 0 for margin in margins) / len(margins)
    assert [sample["metric.margin"] for sample in samples["preferences"]] == pytest.approx(margins, rel=1e-3)
    assert {len(set(sample["choices"])) for sample in samples["preferences"]} == {2}


def test_what_is_generated_is_rewarded_with_its_own_prompt_and_the_same_each_time(model: Model, tokenizer: Any):
    prompts = Sums(name="sums", holds=PROMPTS)
    own, _ = scores(of(prompts=prompts, reward=Asked(name="asked"), new_tokens=4), model, tokenizer)
    assert own["reward", "reward"] == 1
    suite = of(prompts=prompts, reward=Length(name="length"), new_tokens=9)
    (once, samples), (again, others) = (scores(suite, model, tokenizer) for _ in range(2))
    assert once == again
    assert [sample["responses"] for sample in samples["reward"]] == [sample["responses"] for sample in others["reward"]]
    assert once["reward", "reward"] <= 9
    greedy, _ = scores(of(prompts=prompts, reward=Length(name="length"), temperature=0.0), model, tokenizer)
    assert greedy != once


def test_what_is_generated_ends_at_the_mark_of_the_template(model: Model, tokenizer: Any):
    class Chatty(type(tokenizer)):
        def chat(self, turns: Any, asks: bool) -> str:
            return "".join(f"{turn.text}e\n" for turn in turns)

    suite = of(prompts=Sums(name="sums", holds=PROMPTS), reward=Length(name="length"), template="tokenizer")
    _, samples = scores(suite, model, Chatty())
    said = [sample["responses"][0] for sample in samples["reward"]]
    assert not any("e" in text for text in said)
    _, samples = scores(of(prompts=suite.prompts, reward=suite.reward), model, tokenizer)
    assert any("e" in sample["responses"][0] for sample in samples["reward"])


def test_documents_are_asked_about_as_suite_offline_does(model: Model, tokenizer: Any):
    found, samples = scores(of(text=Sums(name="sums"), problems=2), model, tokenizer)
    assert {task for task, _ in found} == {"held_out_sums", "copy", "induction", "addition"}
    assert len(samples["held_out_sums"]) == 4
    without, _ = scores(of(problems=2), model, tokenizer)
    assert {task for task, _ in without} == {"copy", "induction", "addition"}


def test_examples_are_spread_and_those_too_long_left_out(tokenizer: Any, caplog: pytest.LogCaptureFixture):
    corpus = Sums(name="sums", holds=PREFERENCES)
    assert len(of(preferences=corpus, examples=7).build([], tokenizer)["preferences"].test_docs()) == 7
    short = of(preferences=corpus, tokens=8).build([], tokenizer)
    assert "preferences" not in short
    assert "suite.preferences is left out: its corpus holds no example out that fits into suite.tokens=8" in caplog.text


def test_an_example_that_a_model_cannot_see_whole_is_refused(model: Model, tokenizer: Any):
    prepared = Prepared(of(preferences=Sums(name="sums", holds=PREFERENCES)).build([], tokenizer), tokenizer)
    with pytest.raises(UserError, match=r"cannot be asked of a model that sees 16. Say suite.tokens=16"):
        prepared.evaluate(LanguageModel(model, prepared.encoder, 16))


def test_the_settings_are_the_options_and_what_the_corpora_hold():
    before = of(preferences=Sums(name="sums", holds=PREFERENCES)).fingerprint()
    assert of(preferences=Sums(name="sums", holds=PREFERENCES, place="elsewhere")).fingerprint() == before
    assert of(preferences=Sums(name="sums", holds=PREFERENCES, count=99)).fingerprint() != before
    assert of(preferences=Sums(name="sums", holds=PREFERENCES), examples=3).fingerprint() != before
    assert json.loads(before)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"text": Sums(name="sums", holds=PROMPTS)}, "text takes documents, and sums holds prompts"),
        ({"prompts": Sums(name="sums", holds=PROMPTS)}, "prompts is given without reward"),
        ({"reward": Length(name="length")}, "reward is given without prompts"),
        (
            {"prompts": Sums(name="sums", holds=PROMPTS), "reward": Length(name="length"), "new_tokens": 128},
            "new_tokens=128 leaves nothing of tokens=128 for a prompt",
        ),
    ],
)
def test_what_cannot_be_asked_is_refused_in_a_sentence(options: dict[str, Any], said: str):
    with pytest.raises(ConfigError, match=said):
        of(**options).check()


def test_a_run_that_holds_less_out_than_is_asked_is_refused():
    from harness.composition import run_config

    words = ["experiment=tiny", "suite=stages", "suite.text=python_stdlib"]
    assert run_config(words).suite.text.name == "python_stdlib"
    with pytest.raises(ConfigError, match=r"suite=stages asks what a share of 0\.05 holds out, and the run holds out"):
        run_config([*words, "data.held_out=0.01"])
    run_config([*words, "data.held_out=0.01", "suite.held_out=0.01"])


def test_a_run_whose_parent_held_less_out_is_not_asked(tmp_path: Path):
    """Unless the parent is imported: what that was trained on nobody knows."""
    first, last = RunDir(tmp_path / "first"), RunDir(tmp_path / "last")
    for run, share, parents in ((first, 0.1, {}), (last, SHARE, {"init": "first@7"})):
        run.path.mkdir()
        write_json(run.path / "config.json", {"data": {"held_out": share}})
        run.update_manifest(identity={"parents": parents})
    suite = of(text=Sums(name="sums"))
    with pytest.raises(UserError, match=r"run first was trained with data.held_out=0.1: it may have learned"):
        _refuse_what_was_trained_on(last, suite)
    _refuse_what_was_trained_on(last, of(text=Sums(name="sums"), held_out=0.1))
    first.update_manifest(imported={"folder": "somewhere"})
    _refuse_what_was_trained_on(last, suite)
