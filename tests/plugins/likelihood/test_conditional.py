"""Likelihoods of a continuation behind a context that is a prefix, or that is read by an encoder, token by token."""

from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance

from harness.config import plugin_config
from harness.interfaces.visibility import Causal, Prefix
from harness.registry import registry
from harness.scoring.encoder import Encoder
from harness.scoring.model import LanguageModel

END, SENTINEL, LENGTH = 256, 257, 24
QUESTIONS = [("one two", " three four"), ("one", " two"), ("", "words that are many"), ("long " * 9 + "long", " end")]
CASES = [(name, kind) for name in ("transformer", "encoder_decoder") for kind in ("prefix", "infilling")]


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def case(request: pytest.FixtureRequest) -> tuple[Any, str, bool]:
    """(model, likelihood, whether it encodes)"""
    name, kind = request.param
    torch.manual_seed(0)
    values = {"name": name, "width": 16, "layers": 2, "init_std": 0.4}
    model = plugin_config("architecture", values, "architecture").build(260).double().eval()
    return model, kind, name == "encoder_decoder"


def ask(model: Any, kind: str, batch_size: int = 3) -> LanguageModel:
    tokenizer = registry().get("tokenizer", "bytes")().train([])
    likelihood = registry().get("likelihood", kind)(name=kind)
    extra = {"<extra_id_0>": SENTINEL}
    return LanguageModel(model, Encoder(tokenizer), LENGTH, batch_size, likelihood=likelihood, extra=extra)


def instances(kind: str, *questions: tuple[Any, ...]) -> list[Instance]:
    return [Instance(kind, {}, arguments, 0, ("task", 0, 1)) for arguments in questions]  # type: ignore[arg-type]


def shown(context: list[int], written: list[int], kind: str, encodes: bool) -> tuple[list[int], list[int] | None]:
    """What a decoder and what an encoder is shown, before the next token."""
    if kind == "infilling" and encodes:
        return [END, SENTINEL, *written], [*context[-(LENGTH - 1) :], SENTINEL]
    if kind == "infilling":
        return [*context, SENTINEL, END, SENTINEL, *written], None
    return ([END, *written], context[-LENGTH:]) if encodes else ([*context, *written], None)


def logits(model: Any, kind: str, decoder: list[int], encoder: list[int] | None, prefix: int) -> torch.Tensor:
    if encoder is not None:
        return model.logits(torch.tensor([decoder]), source_BS=torch.tensor([encoder]))[0, -1].detach()
    sees = Prefix(torch.tensor([prefix])) if kind == "prefix" else Causal()
    return model.logits(torch.tensor([decoder]), visibility=sees)[0, -1].detach()


def test_it_is_the_sum_over_tokens_of_what_each_has_behind_those_before(case: tuple[Any, str, bool]):
    model, kind, encodes = case
    found = ask(model, kind).loglikelihood(instances("loglikelihood", *QUESTIONS))
    for (value, likeliest), (text, continuation) in zip(found, QUESTIONS, strict=True):
        context, tokens = list(text.encode()) or [END], list(continuation.encode())
        if not encodes:  # the row holds all but the last token
            room = LENGTH + 1 - len(tokens) - (3 if kind == "infilling" else 0)
            context = context[-room:]
        total, greedy = 0.0, True
        for at, token in enumerate(tokens):
            logits_V = logits(model, kind, *shown(context, tokens[:at], kind, encodes), prefix=len(context))
            total += float(logits_V.log_softmax(-1)[token])
            greedy &= int(logits_V.argmax()) == token
        assert value == pytest.approx(total, rel=1e-6)
        assert likeliest == greedy


def test_what_it_writes_is_what_is_likeliest_token_by_token(case: tuple[Any, str, bool]):
    model, kind, encodes = case
    prompts = ["one two", "x"]
    settings = {"until": [], "max_gen_toks": 5}
    asked = ask(model, kind)
    found = asked.generate_until(instances("generate_until", *((prompt, settings) for prompt in prompts)))
    for text, prompt in zip(found, prompts, strict=True):
        context, written = list(prompt.encode()), []
        for _ in range(5):
            logits_V = logits(model, kind, *shown(context, written, kind, encodes), prefix=len(context))
            written.append(int(logits_V[: asked.encoder.tokenizer.size].argmax()))
            if written[-1] == END:
                break
        assert text == asked.encoder.decode([token for token in written if token != END])


def test_a_text_is_asked_in_windows(case: tuple[Any, str, bool]):
    model, kind, _ = case
    asked = ask(model, kind)
    text = "a text that is longer than what the model can see at once"
    (whole,) = asked.loglikelihood_rolling(instances("loglikelihood_rolling", (text,)))
    room, tokens = asked.likelihood.room, list(text.encode())
    total = 0.0
    for start in range(0, len(tokens), room):
        window = tokens[start : start + room]
        before = [END] if start == 0 else tokens[max(0, start - 1 - (room - len(window))) : start]
        ((value, _),) = asked._loglikelihood_tokens([(None, before, window)])
        total += value
    assert whole == pytest.approx(total, rel=1e-6)
