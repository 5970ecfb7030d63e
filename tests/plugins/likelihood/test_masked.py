"""The pseudo-likelihood of a masked language model, against a loop over bytes."""

import re
from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance

from harness.config import plugin_config
from harness.errors import UserError
from harness.interfaces.likelihood import Asked
from harness.interfaces.visibility import Full
from harness.registry import registry
from harness.scoring.encoder import Compared, Encoder, Written
from harness.scoring.model import LanguageModel
from harness_plugins.likelihood.masked.masked import STEP

END, MASK, LENGTH = 256, 257, 24
QUESTIONS = [
    ("one two", " three four"),
    ("one", " two"),
    ("", "words that are many"),
    ("long " * 9 + "long", " end of it"),
]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return registry().get("tokenizer", "bytes")().train([])


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    config = plugin_config("architecture", {"name": "transformer", "width": 16, "layers": 2, "init_std": 0.4}, "")
    return config.build(258).double().eval()


def ask(model: Any, tokenizer: Any, batch_size: int = 4) -> LanguageModel:
    kind = registry().get("likelihood", "masked")(name="masked")
    return LanguageModel(model, Encoder(tokenizer), LENGTH, batch_size, likelihood=kind, extra={"[MASK]": MASK})


def instances(kind: str, *questions: tuple[Any, ...]) -> list[Instance]:
    return [Instance(kind, {}, arguments, 0, ("task", 0, 1)) for arguments in questions]  # type: ignore[arg-type]


def slow(model: Any, context: str, continuation: str) -> tuple[float, bool]:
    """Each byte with what follows of its word hidden, where a space is a word; everything else is seen."""
    words = [number for number, word in enumerate(re.findall(" |[^ ]+", context + continuation)) for _ in word]
    text, asked = list((context + continuation).encode()), range(len(context), len(context + continuation))
    total, likeliest = 0.0, True
    for place in asked:
        hidden = [MASK if at >= place and words[at] == words[place] else byte for at, byte in enumerate(text)]
        shown = (hidden if context else [END, *hidden])[-LENGTH:]
        logits_V = model.logits(torch.tensor([shown]), visibility=Full())[0, place - len(text)].detach()
        total += float(logits_V.log_softmax(-1)[text[place]])
        likeliest &= int(logits_V.argmax()) == text[place]
    return total, likeliest


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_it_is_the_sum_over_the_tokens_each_hidden_with_the_rest_of_its_word(model, tokenizer, batch_size: int):
    found = ask(model, tokenizer, batch_size).loglikelihood(instances("loglikelihood", *QUESTIONS))
    for (value, likeliest), question in zip(found, QUESTIONS, strict=True):
        expected, expected_likeliest = slow(model, *question)
        assert value == pytest.approx(expected, rel=1e-6)
        assert likeliest == expected_likeliest


def test_a_text_is_asked_in_windows_that_overlap_in_nothing(model, tokenizer):
    """Each window fills what the model can see, and the last one reaches back over tokens that are not asked again. A
    text that is compared with another is asked for every token."""
    text = Compared("a text that is longer than what the model can see at once")
    (found,) = ask(model, tokenizer).loglikelihood_rolling(instances("loglikelihood_rolling", (text,)))
    starts = range(0, len(text), LENGTH)
    expected = sum(slow(model, text[:start], text[start : start + LENGTH])[0] for start in starts)
    assert found == pytest.approx(expected, rel=1e-6)


def masked(tokenizer: Any) -> Any:
    asked = Asked(tokenizer=tokenizer, length=LENGTH, extra={"[MASK]": MASK})
    return registry().get("likelihood", "masked")().build(asked)


@pytest.mark.parametrize("text", ["a few words and more", "two words", "just 24 places long now."])
def test_the_samples_of_a_long_text_have_the_exact_sum_as_their_mean(model, tokenizer, text: str):
    """Over all first tokens; each of them asks for every eighth token, and all together for each token once."""
    likelihood, tokens = masked(tokenizer), tokenizer.encode(text)
    samples = [likelihood.sample([END], tokens, first) for first in range(STEP)]
    places = sorted(place for rows in samples for row in rows for place in row.places)
    assert places == [row.places[0] for row in likelihood.rows([END], tokens)]
    scorer = ask(model, tokenizer)
    sums = [sum(row.weight * scorer._score([row])[0][0] for row in rows) for rows in samples]
    assert sum(sums) / STEP == pytest.approx(slow(model, "", text)[0], rel=1e-6)


def test_a_held_out_text_is_judged_by_every_eighth_token_of_each_window(model, tokenizer):
    """The same ones for every model; a window of less than eight is asked whole."""
    text = "twenty-four tokens, then" + " more"
    (found,) = ask(model, tokenizer).loglikelihood_rolling(instances("loglikelihood_rolling", (text,)))
    tokens, likelihood = tokenizer.encode(text), masked(tokenizer)
    windows = ([END], tokens[:LENGTH]), (tokens[:LENGTH], tokens[LENGTH:])
    rows = [likelihood.rolling(*window) for window in windows]
    assert [len(of_window) for of_window in rows] == [LENGTH // STEP, len(" more")]
    expected = sum(row.weight * ask(model, tokenizer)._score([row])[0][0] for of_window in rows for row in of_window)
    assert found == pytest.approx(expected, rel=1e-6)


def test_the_answer_is_not_shown(model, tokenizer):
    """What is asked for stands in the inputs nowhere, nor does what follows in its word."""
    rows = masked(tokenizer).rows(tokenizer.encode("ab"), tokenizer.encode("cd ef"))
    shown = ["".join("_" if token == MASK else chr(token) for token in row.inputs) for row in rows]
    assert shown == ["ab__ ef", "abc_ ef", "abcd_ef", "abcd __", "abcd e_"]
    assert [tokenizer.decode(row.targets) for row in rows] == list("cd ef")


def test_an_example_is_asked_whole_or_not_at_all(model: Any, tokenizer: Any):
    asked = ask(model, tokenizer)
    fits, longer = (
        (Written.of(list(b"x" * count), tokenizer), Written.of(list(b" yes"), tokenizer))
        for count in (LENGTH - 4, LENGTH - 3)
    )
    assert len(asked.loglikelihood(instances("loglikelihood", fits))) == 1
    with pytest.raises(UserError, match=f"An example of {LENGTH + 1} tokens cannot be asked.*suite.tokens={LENGTH}"):
        asked.loglikelihood(instances("loglikelihood", longer))
