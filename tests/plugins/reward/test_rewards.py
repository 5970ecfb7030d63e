"""Rewards by a program: what earns one, what earns none, and that nothing a model writes can hurt."""

import ast
import time
import tokenize
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.config import plugin_config
from harness_plugins.reward.brackets.brackets import balanced


class Letters:
    """A token for each character."""

    def encode(self, text: str) -> list[int]:
        return [ord(character) for character in text]


def reward(name: str, least: int = 1):
    built = plugin_config("reward", {"name": name, "least": least}, "reward").build(Letters())
    return lambda prompt, completion: built(prompt, completion, {})


PARSES, COMPILES, BRACKETS = (reward(name) for name in ("parses", "compiles", "brackets"))
ALL = (PARSES, COMPILES, BRACKETS)
PROMPT = 'def double(x):\n    """Twice."""\n'

#: Pieces that code and its mistakes are made of.
CODE = st.lists(
    st.sampled_from(["x", "1", " ", "\n", "    ", "(", ")", "[", "]", "'", '"', "#", ":", "if ", "return ", "=", "\\", "é", "\0"]),
    max_size=30,
).map("".join)  # fmt: skip


@pytest.mark.parametrize("name", ["parses", "compiles", "brackets"])
@pytest.mark.parametrize("nothing", ["", " ", "\n", "\n\n    \n", "\t\n"])
def test_emptiness_earns_nothing(name, nothing):
    assert reward(name)(PROMPT, nothing) == 0.0


@pytest.mark.parametrize("comments", ["# only\n", "    # a\n\n    # b\n"])
def test_comments_are_no_code(comments):
    assert (PARSES(PROMPT, comments), COMPILES(PROMPT, comments)) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("completion", "parses"),
    [
        ("    return 2 * x\n", 1.0),
        ("    return 2 * x", 1.0),
        ("    y = 2 * x\n    return (y", 1.0),  # the cut line is left out
        ("    return (2 *\n", 0.0),
        ("    return 2 x\n", 0.0),
        ("    return (2 *", 0.0),  # no whole line is left
        ("return 2\n  x\n", 0.0),
    ],
)
def test_whole_lines_must_parse_behind_their_prompt(completion, parses):
    assert PARSES(PROMPT, completion) == parses


def test_what_is_cut_does_not_count_towards_the_least():
    completion = "    return x\n    and more of it that does not parse("
    assert len("    return x") == 12
    assert reward("parses", least=12)(PROMPT, completion) == 1.0
    assert reward("parses", least=13)(PROMPT, completion) == 0.0


def test_compiling_takes_the_whole_and_more_than_parsing():
    assert COMPILES(PROMPT, "    return 2 * x\n") == 1.0
    assert COMPILES(PROMPT, "    y = 2 * x\n    return (y") == 0.0
    assert (PARSES("x = 1\n", "return x\n"), COMPILES("x = 1\n", "return x\n")) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("f(a[0], {'b': \")\"})", 1.0),
        ("(]", 0.0),
        (")(", 0.0),
        ("'it", 0.0),
        ("it's, don't: f(x)", 1.0),  # apostrophes
        (r"'a\'b'", 1.0),
        (r"'a\\'b'", 0.0),
        ('"""it is (here"""', 1.0),
        ("plain words", 1.0),
    ],
)
def test_brackets_and_quotes_match(text, matches):
    assert BRACKETS("", text) == matches


def test_the_prompts_brackets_are_closed_by_the_completion():
    assert (BRACKETS("f(", "x)"), BRACKETS("f(", "x"), BRACKETS("f", "x)")) == (1.0, 0.0, 0.0)


@given(CODE, CODE)
def test_they_say_the_same_of_the_same_and_nothing_but_0_and_1(prompt, completion):
    for one in ALL:
        assert one(prompt, completion) == one(prompt, completion)
        assert one(prompt, completion) in (0.0, 1.0)


@given(CODE, CODE)
def test_what_compiles_parses(prompt, completion):
    assert COMPILES(prompt, completion) <= PARSES(prompt, completion)


@given(CODE, CODE, st.integers(1, 20))
def test_asking_for_more_never_earns_more(prompt, completion, least):
    for name in ("parses", "compiles", "brackets"):
        assert reward(name, least + 1)(prompt, completion) <= reward(name, least)(prompt, completion)


@given(CODE, CODE)
def test_parsing_is_what_the_definition_says(prompt, completion):
    """Slowly: of the two texts that are tried, one parses and has a line of code."""

    def is_code(text: str) -> bool:
        try:
            ast.parse(prompt + text)
        except (SyntaxError, ValueError):
            return False
        lines = [line.strip() for line in text.split("\n")]
        return any(line and line[0] != "#" for line in lines)

    whole_lines = "".join(line + "\n" for line in completion.split("\n")[:-1])
    assert PARSES(prompt, completion) == float(is_code(completion) or is_code(whole_lines))


@given(CODE)
def test_python_without_strings_has_its_brackets_matched(text):
    """Python's own tokenizer is the judge, where there are neither quotes, comments nor backslashes to read differently."""
    text = "".join(character for character in text if character not in "'\"#\\\0")
    opened, closes = [], {")": "(", "]": "["}
    for character in text:
        if character in "([":
            opened.append(character)
        elif character in closes and (not opened or opened.pop() != closes[character]):
            opened.append("never closed")
            break
    assert balanced(text) == (not opened)
    if balanced(text):
        try:
            list(tokenize.generate_tokens(StringIO(f"({text})").readline))
        except tokenize.TokenError as error:
            pytest.fail(f"Python finds a bracket open: {error}")


DEEP = 40_000
STRANGE = {
    "nested": "(" * DEEP + ")" * DEEP,
    "signs": "-" * DEEP + "1",
    "attributes": "a" + ".b" * DEEP,
    "calls": "a" + "()" * DEEP,
    "sums": "a" + "+a" * DEEP,
    "power": "x = 9 ** 9 ** 9 ** 9",
    "digits": "x = " + "9" * 50_000,
    "long": "x = 1\n" * 1_000_000,
    "null": "x = '\0'",
    "surrogate": "x = '\ud800'",
    "escape": "x = '\\d'\nassert (x, 1)\n1 is 1",
    "exit": "raise SystemExit\n__import__('os').abort()",
}


@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.filterwarnings("error")
def test_strange_texts_take_a_short_time_and_run_nothing(name):
    begun = time.perf_counter()
    for one in ALL:
        assert one("", STRANGE[name]) in (0.0, 1.0)
    assert time.perf_counter() - begun < 5.0
