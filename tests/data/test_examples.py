"""Examples to tokens: what each template writes, and which tokens are whose."""

import itertools

import numpy as np
import pytest

from harness.data.examples import Renderer, ends, longest
from harness.errors import UserError
from harness.interfaces.batch import ANSWER, CONTEXT
from harness.interfaces.corpus import Example, Turn, example
from tests.data.corpora import Bytes

TALK = example("x", [Turn("system", "s"), Turn("user", "u"), Turn("assistant", "A"), Turn("user", "v"), Turn("assistant", "B")])  # fmt: skip
PAIR = example("x", [Turn("user", "u")], ["good", "bad!!"])
END = "#"


def written(template: str, told: Example, tokenizer: Bytes | None = None) -> list[tuple[str, int]]:
    """The runs of tokens of one part, as text, with # for the end token."""
    ((tokens, parts),) = Renderer(tokenizer or Bytes(), template)([told])
    cuts = [0, *(np.flatnonzero(np.diff(parts)) + 1).tolist(), len(parts)]
    named = {256: END, 300: "^"}
    texts = ["".join(named.get(t, chr(t)) for t in tokens[a:b].tolist()) for a, b in itertools.pairwise(cuts)]
    return list(zip(texts, parts[cuts[:-1]].tolist(), strict=True))


def test_plain_is_the_texts_one_after_the_other_each_answer_with_its_end() -> None:
    assert written("plain", TALK) == [("su", CONTEXT), ("A#", ANSWER), ("v", CONTEXT), ("B#", ANSWER)]
    assert written("plain", PAIR) == [("u", CONTEXT), ("good#", ANSWER), ("bad!!#", ANSWER + 1)]


def test_chat_says_who_speaks_and_learns_only_what_the_assistant_says() -> None:
    assert written("chat", TALK) == [
        ("System: s\n\nUser: u\n\nAssistant: ", CONTEXT),
        ("A#", ANSWER),
        ("\n\nUser: v\n\nAssistant: ", CONTEXT),
        ("B#", ANSWER),
    ]
    assert written("chat", PAIR) == [
        ("User: u\n\nAssistant: ", CONTEXT),
        ("good#", ANSWER),
        ("bad!!#", ANSWER + 1),
    ]


class Chatty(Bytes):
    """A tokenizer with a template of its own, which ends the assistant's turns by a mark and a new line."""

    mark = "~"

    def chat(self, turns, asks):
        said = "".join(
            f"[{t.speaker[0]}]{t.text}" + (f"{self.mark}\n" if t.speaker == "assistant" else "") for t in turns
        )
        return said + "[a]" * asks


def test_the_tokenizer_s_template_is_taken_as_it_is() -> None:
    assert written("tokenizer", TALK, Chatty()) == [
        ("[s]s[u]u[a]", CONTEXT),
        ("A~\n", ANSWER),
        ("[u]v[a]", CONTEXT),
        ("B~\n", ANSWER),
    ]
    assert written("tokenizer", PAIR, Chatty()) == [
        ("[u]u[a]", CONTEXT),
        ("good~\n", ANSWER),
        ("bad!!~\n", ANSWER + 1),
    ]


def test_what_opens_a_text_stands_once_before_an_example_and_is_the_template_s_own_affair() -> None:
    opened, chatty = Bytes(), Chatty()
    opened.opening = chatty.opening = [300]
    assert written("plain", PAIR, opened)[0] == ("^u", CONTEXT)
    assert written("tokenizer", PAIR, chatty)[0] == ("[u]u[a]", CONTEXT)


@pytest.mark.parametrize("template", ["plain", "chat", "tokenizer"])
def test_a_prompt_alone_has_the_tokens_that_stand_before_an_answer(template: str) -> None:
    renderer = Renderer(Chatty(), template)
    for turns, told in [(TALK.turns[:4], TALK), (PAIR.turns, PAIR)]:
        ((tokens, parts),) = renderer([told])
        prompt = renderer.prompt(turns)
        assert tokens[: len(prompt)].tolist() == prompt
        assert parts[len(prompt)] == ANSWER
        assert parts[len(prompt) - 1] == CONTEXT


def test_many_are_written_as_each_alone() -> None:
    renderer = Renderer(Bytes(), "chat")
    for (tokens, parts), told in zip(renderer([TALK, PAIR, TALK]), [TALK, PAIR, TALK], strict=True):
        ((alone, its_parts),) = renderer([told])
        assert tokens.tolist() == alone.tolist()
        assert parts.tolist() == its_parts.tolist()


def test_a_preference_is_as_long_as_its_prompt_with_the_longer_answer() -> None:
    lengths = [longest(parts) for _, parts in Renderer(Bytes(), "plain")([PAIR, TALK])]
    assert lengths == [len("u") + len("bad!!#"), len("suA#vB#")]


def test_an_answer_ends_at_the_end_token_and_at_the_mark_of_the_template_that_wrote_it() -> None:
    assert ends(Chatty(), "plain") == ends(Chatty(), "chat") == {256}
    assert ends(Chatty(), "tokenizer") == {256, ord("~")}


@pytest.mark.parametrize("mark", ["...", ""])
def test_a_template_whose_mark_is_no_token_is_refused(mark: str) -> None:
    class Dotty(Chatty):
        pass

    Dotty.mark = mark
    with pytest.raises(
        UserError, match=rf"behind an answer .* writes '{mark}\\n', which is no single token.*template=chat"
    ):
        Renderer(Dotty(), "tokenizer")


def test_a_tokenizer_without_a_chat_template_is_told() -> None:
    with pytest.raises(UserError, match=r"data.template=tokenizer needs a tokenizer that has a chat template"):
        Renderer(Bytes(), "tokenizer")([TALK])
