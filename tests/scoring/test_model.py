"""Our in-memory scores against lm-eval's own `HFLM` on the same weights."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance

from harness.errors import UserError
from harness.models.huggingface import config_from_transformers, state_from_transformers
from harness.registry import registry
from harness.scoring.encoder import Encoder
from harness.scoring.model import LanguageModel

VOCABULARY, LENGTH = 300, 32
WORDS = [
    "the",
    "and",
    "def",
    "return",
    "self",
    "import",
    "x",
    "class",
    "not",
    "None",
    "value",
    "12",
    "305",
    "(",
    ")",
    ":",
]


def words(n: int, seed: int) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=n))


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """A BPE whose vocabulary is full, so that its end token is the next one that `transformers` would add."""
    made = registry().get("tokenizer", "bpe")(size=VOCABULARY).train([words(300, i) for i in range(20)])
    assert made.library.get_vocab_size() == VOCABULARY - 1
    return made


def their_tokenizer(tokenizer: Any, folder: Path) -> Any:
    from transformers import PreTrainedTokenizerFast

    tokenizer.save(folder)
    file = str(folder / "tokenizer.json")
    theirs = PreTrainedTokenizerFast(tokenizer_file=file, eos_token="<|end|>", pad_token="<|end|>")
    assert theirs.eos_token_id == tokenizer.end
    return theirs


def their_model(kind: str) -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    if kind == "gpt2":
        model: Any = GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, n_positions=64, n_embd=32, n_layer=2, n_head=4))
    else:
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                num_key_value_heads=2, intermediate_size=48, max_position_embeddings=64,
            )
        )  # fmt: skip
    with torch.no_grad():  # far from uniform, so that errors show
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.15)
    model.generation_config.eos_token_id = model.generation_config.bos_token_id = None
    return model.eval()


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def both(request: pytest.FixtureRequest, tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """(lm-eval's HFLM, our live module with the same weights)"""
    from lm_eval.models.huggingface import HFLM

    model = their_model(request.param)
    wrapped = their_tokenizer(tokenizer, tmp_path_factory.mktemp("tokenizer"))
    theirs = HFLM(pretrained=model, tokenizer=wrapped, backend="causal", max_length=LENGTH, batch_size=1, device="cpu")
    config = config_from_transformers(model.config.to_dict())
    ours = config.build(VOCABULARY)
    ours.load_state_dict(state_from_transformers(model.state_dict(), config))
    return theirs, ours


def requests(kind: str, *arguments: tuple[Any, ...]) -> list[Instance]:
    return [Instance(kind, {}, a, i, ("task", i, 1)) for i, a in enumerate(arguments)]  # type: ignore[arg-type]


PAIRS = [
    ("", "return self"),  # empty context
    ("def x", " ( ) :"),
    ("def x ", "( ) :"),  # a space at the context's end moves to the continuation
    ("import val", "ue and"),  # the boundary lies inside what would be one token
    (words(60, 1), " return value"),  # longer than the model can see: cut from the left
    (words(20, 2), " " + words(9, 3)),
    ("x", " y"),
    ("for x in", " not None"),
    ("for x in", " self"),  # multiple choice: one context, several continuations
    ("ß€😀", " ∑ok"),  # several tokens for one character
]


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_log_likelihoods_equal_lm_evals(both: tuple[Any, Any], tokenizer: Any, batch_size: int) -> None:
    theirs, model = both
    asked = requests("loglikelihood", *PAIRS)
    expected = theirs.loglikelihood(asked, disable_tqdm=True)
    found = LanguageModel(model, Encoder(tokenizer), LENGTH, batch_size).loglikelihood(asked)
    assert [greedy for _, greedy in found] == [greedy for _, greedy in expected]
    assert [value for value, _ in found] == pytest.approx([value for value, _ in expected], abs=1e-4)


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_a_greedy_continuation_is_known_as_such(both: tuple[Any, Any], tokenizer: Any, batch_size: int) -> None:
    """What the model itself would say: `is_greedy` is true for it on both sides, and false for random text."""
    theirs, model = both
    ours = LanguageModel(model, Encoder(tokenizer), LENGTH, batch_size)
    token = int(model.logits(torch.tensor([tokenizer.encode("def x")]))[0, -1].argmax())
    tokens = [(None, tokenizer.encode("def x"), [token]), (None, tokenizer.encode("def x"), [(token + 1) % VOCABULARY])]
    assert [greedy for _, greedy in ours._loglikelihood_tokens(tokens)] == [True, False]
    assert [greedy for _, greedy in theirs._loglikelihood_tokens(tokens, disable_tqdm=True)] == [True, False]


def test_of_equal_logits_the_first_is_the_greedy_one(both: tuple[Any, Any], tokenizer: Any) -> None:
    """As in lm-eval, which takes the place of the largest; in bfloat16 two are often equal."""
    model = copy.deepcopy(both[1])
    for parameter in model.parameters():
        parameter.detach().zero_()
    ours = LanguageModel(model, Encoder(tokenizer), LENGTH)
    found = ours._loglikelihood_tokens([(None, [5], [token]) for token in (0, 1, VOCABULARY - 1)])
    assert [greedy for _, greedy in found] == [True, False, False]


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_rolling_log_likelihoods_equal_lm_evals(both: tuple[Any, Any], tokenizer: Any, batch_size: int) -> None:
    """Texts of one window, exactly one, a little more than one, and many."""
    theirs, model = both
    tokens = tokenizer.encode(words(400, 5))
    exact = [tokenizer.decode(tokens[:n]) for n in (1, LENGTH, LENGTH + 1, 5 * LENGTH - 3)]
    asked = requests("loglikelihood_rolling", *((text,) for text in [*exact, words(3, 6)]))
    expected = theirs.loglikelihood_rolling(asked, disable_tqdm=True)
    found = LanguageModel(model, Encoder(tokenizer), LENGTH, batch_size).loglikelihood_rolling(asked)
    assert found == pytest.approx(expected, abs=1e-3, rel=1e-5)  # sums over hundreds of tokens
    per_token = [abs(a - b) / len(tokenizer.encode(r.args[0])) for a, b, r in zip(found, expected, asked, strict=True)]
    assert max(per_token) <= 1e-4


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_generation_equals_lm_evals(both: tuple[Any, Any], tokenizer: Any, batch_size: int) -> None:
    """Greedy, with stop texts of one and of several tokens, prompts of unequal and of too great length."""
    theirs, model = both
    settings: list[dict[str, Any]] = [
        {"until": [" "], "max_gen_toks": 12},
        {"until": ["self", "e"], "max_gen_toks": 12, "do_sample": False},
        {"until": [], "max_gen_toks": 8, "temperature": 0.0},
    ]
    prompts = ["def x", words(5, 7), words(70, 8), "12"]
    asked = requests("generate_until", *((prompt, dict(s)) for s in settings for prompt in prompts))
    expected = theirs.generate_until(asked, disable_tqdm=True)
    found = LanguageModel(model, Encoder(tokenizer), LENGTH, batch_size).generate_until(asked)
    assert found == expected
    assert len(set(found)) > 3  # the model says different things, or nothing was shown


def test_sampling_comes_from_its_seed(both: tuple[Any, Any], tokenizer: Any) -> None:
    settings = {"until": ["\n"], "max_gen_toks": 10, "do_sample": True, "temperature": 1.0, "top_k": 50, "top_p": 0.9}
    asked = requests("generate_until", ("def x", settings), ("import", settings))
    encoder = Encoder(tokenizer)
    first, again, other = (LanguageModel(both[1], encoder, LENGTH, seed=s).generate_until(asked) for s in (1, 1, 2))
    assert first == again != other


def test_an_empty_text_is_certain(both: tuple[Any, Any], tokenizer: Any) -> None:
    asked = requests("loglikelihood_rolling", ("",))
    assert LanguageModel(both[1], Encoder(tokenizer), LENGTH).loglikelihood_rolling(asked) == [0.0]


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        ("loglikelihood", ("x", words(90, 1)), "sees 32"),
        ("loglikelihood", ("x", ""), "is empty"),
        ("loglikelihood", ("", ""), "is empty"),
        ("generate_until", ("x", {"until": [], "max_gen_toks": 32}), "32 new tokens"),
        ("generate_until", ("x", {"until": [], "repetition_penalty": 2.0}), "repetition_penalty"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(
    both: tuple[Any, Any], tokenizer: Any, kind: str, arguments: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        getattr(LanguageModel(both[1], Encoder(tokenizer), LENGTH), kind)(requests(kind, arguments))


@pytest.fixture(scope="module")
def opening(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """(theirs, ours) of a tokenizer that opens every text with <s>, as LLaMA's does, and ends it with another."""
    from tokenizers import Tokenizer, processors
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("opening")
    registry().get("tokenizer", "bpe")(size=VOCABULARY - 1).train([words(300, i) for i in range(20)]).export(folder)
    made = Tokenizer.from_file(str(folder / "tokenizer.json"))
    made.add_special_tokens(["<s>"])
    made.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", VOCABULARY - 1)])
    made.save(str(folder / "tokenizer.json"))
    settings = {"eos_token": "<|end|>", "bos_token": "<s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    ours = registry().get("tokenizer", "huggingface")(folder=str(folder)).train(())
    assert (ours.start, ours.end) == (VOCABULARY - 1, VOCABULARY - 2)
    return AutoTokenizer.from_pretrained(folder), ours


def test_texts_are_opened_as_lm_eval_opens_them(opening: tuple[Any, Any]) -> None:
    from lm_eval.models.huggingface import HFLM

    model = their_model("llama")
    theirs = HFLM(pretrained=model, tokenizer=opening[0], backend="causal", max_length=LENGTH, device="cpu")
    config = config_from_transformers(model.config.to_dict())
    live = config.build(VOCABULARY)
    live.load_state_dict(state_from_transformers(model.state_dict(), config))
    ours = LanguageModel(live, Encoder(opening[1]), LENGTH)
    asked = requests("loglikelihood", *PAIRS, ("<s>def x", " ( ) :"))
    expected = [value for value, _ in theirs.loglikelihood(asked, disable_tqdm=True)]
    assert [value for value, _ in ours.loglikelihood(asked)] == pytest.approx(expected, abs=1e-4)
    asked = requests("generate_until", *((p, {"until": [" "], "max_gen_toks": 12}) for p in ("def x", words(70, 8))))
    assert ours.generate_until(asked) == theirs.generate_until(asked, disable_tqdm=True)


def test_a_stop_text_that_is_a_special_token_stops(opening: tuple[Any, Any]) -> None:
    """It decodes to nothing, so that no text would show it."""
    live, steps = config_from_transformers(their_model("llama").config.to_dict()).build(VOCABULARY), []
    only = torch.nn.functional.one_hot(torch.tensor(opening[1].start), VOCABULARY) * 1e9

    def always(head: Any, inputs: Any, logits: torch.Tensor) -> torch.Tensor:
        steps.append(logits)
        return logits + only

    live.heads["language_model"].register_forward_hook(always)
    for until, expected in (["<s>"], 1), ([], 1 + 5):
        asked = requests("generate_until", ("def x", {"until": until, "max_gen_toks": 5}))
        assert LanguageModel(live, Encoder(opening[1]), LENGTH).generate_until(asked) == [""]
        assert len(steps) == expected


def test_a_whole_text_is_opened_once(opening: tuple[Any, Any]) -> None:
    """Unlike lm-eval, which has the model foretell a second <s> after the first."""
    model = their_model("llama")
    config = config_from_transformers(model.config.to_dict())
    live = config.build(VOCABULARY)
    live.load_state_dict(state_from_transformers(model.state_dict(), config))
    text = words(5, 9)
    (found,) = LanguageModel(live, Encoder(opening[1]), LENGTH).loglikelihood_rolling(
        requests("loglikelihood_rolling", (text,))
    )
    tokens = torch.tensor([opening[0](text)["input_ids"]])
    with torch.no_grad():
        expected = -model(tokens, labels=tokens).loss * (tokens.shape[1] - 1)
    assert found == pytest.approx(float(expected), abs=1e-3)


def test_each_text_is_tokenised_once(tokenizer: Any) -> None:
    calls: list[str] = []

    class Counting:
        end = tokenizer.end

        def encode(self, text: str) -> list[int]:
            calls.append(text)
            return tokenizer.encode(text)

        def encode_all(self, texts: list[str]) -> list[list[int]]:
            return [self.encode(text) for text in texts]

    encoder = Encoder(Counting())
    encoder.encode_ahead(["a b", "c", "a b"])
    assert [encoder.encode(text) for text in ("c", "a b")] == [tokenizer.encode("c"), tokenizer.encode("a b")]
    assert calls == ["a b", "c"]
