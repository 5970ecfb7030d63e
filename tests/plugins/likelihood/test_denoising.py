"""Likelihoods in the forms in which `bart` and `ul2` train, token by token."""

from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance

from harness.config import plugin_config
from harness.registry import registry
from harness.scoring.encoder import Encoder
from harness.scoring.model import LanguageModel

END, MASK, MODE, SENTINEL, LENGTH = 256, 257, 258, 259, 24
EXTRA = {"[MASK]": MASK, "[S2S]": MODE, "<extra_id_0>": SENTINEL}
QUESTIONS = [("one two", " three four"), ("one", " two"), ("", "words that are many"), ("long " * 9 + "long", " end")]
CASES = [("encoder_decoder", "denoising"), ("encoder_decoder", "sequential"), ("transformer", "sequential")]


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def case(request: pytest.FixtureRequest) -> tuple[Any, str, bool]:
    """(model, likelihood, whether it encodes)"""
    name, kind = request.param
    torch.manual_seed(0)
    values = {"name": name, "width": 16, "layers": 2, "init_std": 0.4}
    model = plugin_config("architecture", values, "architecture").build(260).double().eval()
    return model, kind, name == "encoder_decoder"


def ask(model: Any, kind: str) -> LanguageModel:
    tokenizer = registry().get("tokenizer", "bytes")().train([])
    likelihood = registry().get("likelihood", kind)(name=kind)
    return LanguageModel(model, Encoder(tokenizer), LENGTH, 3, likelihood=likelihood, extra=EXTRA)


def instances(kind: str, *questions: tuple[Any, ...]) -> list[Instance]:
    return [Instance(kind, {}, arguments, 0, ("task", 0, 1)) for arguments in questions]  # type: ignore[arg-type]


def logits(model: Any, kind: str, encodes: bool, context: list[int], written: list[int], asked: int) -> torch.Tensor:
    """Before the next token. asked: tokens of the whole continuation, for which a row has place."""
    if kind == "denoising":
        context = context[-(LENGTH - asked) :]
        decoder, encoder = [END, *context, *written], [*context, MASK]
    elif encodes:
        decoder, encoder = [END, SENTINEL, *written], [MODE, *context[-(LENGTH - 2) :], SENTINEL]
    else:
        context = context[-(LENGTH - asked - 3) :]
        return model.logits(torch.tensor([[MODE, *context, SENTINEL, END, SENTINEL, *written]]))[0, -1].detach()
    assert max(len(decoder), len(encoder)) <= LENGTH
    return model.logits(torch.tensor([decoder]), source_BS=torch.tensor([encoder]))[0, -1].detach()


def test_it_is_the_sum_over_tokens_of_what_each_has_behind_those_before(case: tuple[Any, str, bool]):
    model, kind, encodes = case
    found = ask(model, kind).loglikelihood(instances("loglikelihood", *QUESTIONS))
    for (value, likeliest), (text, continuation) in zip(found, QUESTIONS, strict=True):
        context, tokens = list(text.encode()) or [END], list(continuation.encode())
        total, greedy = 0.0, True
        for at, token in enumerate(tokens):
            logits_V = logits(model, kind, encodes, context, tokens[:at], len(tokens))
            total += float(logits_V.log_softmax(-1)[token])
            greedy &= int(logits_V.argmax()) == token
        assert value == pytest.approx(total, rel=1e-6)
        assert likeliest == greedy


def test_what_it_writes_is_what_is_likeliest_token_by_token(case: tuple[Any, str, bool]):
    model, kind, encodes = case
    asked, prompts = ask(model, kind), ["one two", "x"]
    settings = {"until": [], "max_gen_toks": 5}
    found = asked.generate_until(instances("generate_until", *((prompt, settings) for prompt in prompts)))
    for text, prompt in zip(found, prompts, strict=True):
        context, written = list(prompt.encode()), []
        for _ in range(5):
            logits_V = logits(model, kind, encodes, context, written, asked=5)
            written.append(int(logits_V[: asked.encoder.tokenizer.size].argmax()))
            if written[-1] == END:
                break
        assert text == asked.encoder.decode([token for token in written if token != END])


def test_the_longest_continuation_leaves_room_for_a_context(case: tuple[Any, str, bool]):
    model, kind, encodes = case
    asked = ask(model, kind)
    tokens = list(b"abcdefghijklmnopqrstuvwxyz")[: asked.likelihood.room]
    (row,) = asked.likelihood.rows(list(b"xyz"), tokens)
    assert max(len(row.inputs), len(row.source or ())) <= LENGTH
    assert ord("z") in (row.source or row.inputs)
    ((value, _),) = asked._loglikelihood_tokens([(None, list(b"xyz"), tokens)])
    total = sum(
        float(logits(model, kind, encodes, list(b"xyz"), tokens[:at], len(tokens)).log_softmax(-1)[token])
        for at, token in enumerate(tokens)
    )
    assert value == pytest.approx(total, rel=1e-6)
