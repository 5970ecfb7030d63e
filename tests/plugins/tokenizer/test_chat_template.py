"""Chat templates of a Hugging Face folder: rendered as `transformers` does, in a sandbox, and kept with the run."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from harness.config import plugin_config
from harness.data.examples import Renderer, ends
from harness.errors import UserError
from harness.interfaces.batch import ANSWER
from harness.interfaces.corpus import Turn, example

CHATML = """{{ bos_token }}{% for message in messages %}
    {{- '<|' + message.role + '|>' + message['content'] + eos_token + '\\n' -}}
{% endfor %}
{% if add_generation_prompt %}
    {{- '<|assistant|>' -}}
{% endif %}
"""
GENERATION = CHATML.replace("{{-", "{% generation %}{{-").replace("-}}", "-}}{% endgeneration %}")
TURNS = [Turn("system", "é"), Turn("user", 'a <b> "c"'), Turn("assistant", "d"), Turn("user", "e")]


def folder(path: Path, template: object = CHATML, file: str | None = None, marks: Sequence[str] = ()) -> Path:
    """A tokenizer of bytes with <s>, </s> and other marks, with a template in its settings or in a file of its own."""
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, merges=[]))  # fmt: skip
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(mark) for mark in ("<s>", "</s>", *marks)])
    path.mkdir()
    tokenizer.save(str(path / "tokenizer.json"))
    settings = {"bos_token": "<s>", "eos_token": "</s>", "tokenizer_class": "PreTrainedTokenizerFast"}
    if template is not None:
        settings["chat_template"] = template
    (path / "tokenizer_config.json").write_text(json.dumps(settings))
    if file is not None:
        (path / "chat_template.jinja").write_text(file)
    return path


def load(path: Path):
    return plugin_config("tokenizer", {"name": "huggingface", "folder": str(path)}, "tokenizer").train(())


@pytest.mark.parametrize(
    "template",
    [CHATML, GENERATION, "{% for m in messages %}{% if loop.index > 2 %}{% break %}{% endif %}{{ m | tojson }}{% endfor %}"],
    ids=["chatml", "generation", "loop control and JSON"],
)  # fmt: skip
@pytest.mark.parametrize("asks", [False, True])
def test_conversations_are_written_as_transformers_writes_them(tmp_path: Path, template: str, asks: bool) -> None:
    from transformers import AutoTokenizer

    here = folder(tmp_path / "t", template)
    messages = [{"role": turn.speaker, "content": turn.text} for turn in TURNS]
    theirs = AutoTokenizer.from_pretrained(here).apply_chat_template(
        messages, tokenize=False, add_generation_prompt=asks
    )
    assert load(here).chat(TURNS, asks) == theirs


def test_where_the_template_comes_from(tmp_path: Path) -> None:
    several = [{"name": "tools", "template": "x"}, {"name": "default", "template": "y"}]
    cases = [("a", None, "a"), ("a", "b", "b"), (None, "c", "c"), (several, None, "y")]
    for number, (settings, file, written) in enumerate(cases):
        assert load(folder(tmp_path / str(number), settings, file)).chat(TURNS, asks=False) == written
    assert not hasattr(load(folder(tmp_path / "none", None)), "chat")


@pytest.mark.parametrize(("settings", "file"), [(CHATML, None), (None, CHATML)])
def test_a_run_keeps_the_template(tmp_path: Path, settings: str | None, file: str | None) -> None:
    tokenizer = load(folder(tmp_path / "t", settings, file))
    (tmp_path / "copy").mkdir()
    tokenizer.save(tmp_path / "copy")
    assert load(tmp_path / "copy").chat(TURNS, asks=True) == tokenizer.chat(TURNS, asks=True)
    assert load(tmp_path / "copy").fingerprint() == tokenizer.fingerprint()


def test_another_template_is_another_tokenizer(tmp_path: Path) -> None:
    assert load(folder(tmp_path / "a")).fingerprint() != load(folder(tmp_path / "b", "other")).fingerprint()


def test_what_is_learned_of_a_conversation_is_what_the_assistant_says_and_its_end(tmp_path: Path) -> None:
    tokenizer = load(folder(tmp_path / "t"))
    told = example("x", [Turn("user", "a"), Turn("assistant", "b"), Turn("user", "c"), Turn("assistant", "d")])
    ((tokens, parts),) = Renderer(tokenizer, "tokenizer")([told])
    assert tokenizer._tokenizer.decode(tokens, skip_special_tokens=False) == tokenizer.chat(told.turns, asks=False)
    assert tokens[0] == tokenizer.start  # once, by the template
    learned = tokenizer._tokenizer.decode(
        [t for t, p in zip(tokens, parts, strict=True) if p], skip_special_tokens=False
    )
    assert learned == "b</s>\nd</s>\n"


CHAT_ML = """{% for message in messages %}
    {{- '<|im_start|>' + message.role + '\n' + message['content'] + '<|im_end|>\n' -}}
{% endfor %}
{% if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' -}}
{% endif %}
"""


def test_a_mark_that_is_not_the_end_token_ends_answers_too(tmp_path: Path) -> None:
    """As with Qwen, whose base models end documents by another token."""
    here = folder(tmp_path / "t", CHAT_ML, marks=("<|im_start|>", "<|im_end|>"))
    tokenizer = load(here)
    (mark,) = tokenizer.encode("<|im_end|>")
    assert ends(tokenizer, "tokenizer") == {tokenizer.end, mark}
    told = example("x", [Turn("user", "a"), Turn("assistant", "b")])
    ((tokens, parts),) = Renderer(tokenizer, "tokenizer")([told])
    assert mark in tokens[parts == ANSWER], "it is learned"
    with pytest.raises(UserError, match=r"writes '<\|im_end\|>\\n', which is no single token"):
        Renderer(load(folder(tmp_path / "without", CHAT_ML)), "tokenizer")


def test_a_template_s_own_end_token_is_the_end(tmp_path: Path) -> None:
    tokenizer = load(folder(tmp_path / "t"))
    assert ends(tokenizer, "tokenizer") == {tokenizer.end}


def test_both_answers_of_a_preference_follow_the_same_prompt(tmp_path: Path) -> None:
    tokenizer = load(folder(tmp_path / "t"))
    pair = example("x", [Turn("user", "a")], ["good", "bad"])
    renderer = Renderer(tokenizer, "tokenizer")
    ((tokens, parts),) = renderer([pair])
    said = [tokenizer._tokenizer.decode(tokens[parts == part], skip_special_tokens=False) for part in range(3)]
    assert said == ["<s><|user|>a</s>\n<|assistant|>", "good</s>\n", "bad</s>\n"]
    assert renderer.prompt(pair.turns) == tokens[parts == 0].tolist()


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ raise_exception('no system here') }}", "of user: no system here"),
        ("{% for %}", "Expected an expression"),
        ("{{ messages[0].content.__class__.__mro__ }}", "unsafe"),
        ("{{ messages.append(1) }}", "unsafe"),
        ("{{ strftime_now('%d') }}", "strftime_now"),
    ],
)
def test_a_template_that_cannot_or_may_not_is_told(tmp_path: Path, template: str, message: str) -> None:
    tokenizer = load(folder(tmp_path / "t", template))
    with pytest.raises(
        UserError, match=rf"chat template of .*t cannot write a conversation .*{message}.*template=chat"
    ):
        tokenizer.chat([Turn("user", "a")], asks=True)


def test_a_template_that_rewrites_earlier_turns_is_refused(tmp_path: Path) -> None:
    tokenizer = load(folder(tmp_path / "t", "{{ messages | length }}" + CHATML))
    with pytest.raises(UserError, match="changes what it wrote of earlier turns"):
        Renderer(tokenizer, "tokenizer")([example("x", [Turn("user", "a"), Turn("assistant", "b")])])
