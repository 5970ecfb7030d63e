"""Examples made from the library of the running Python."""

import ast
from collections import Counter

import pytest

from harness.config import ConfigError, plugin_config
from harness.interfaces.corpus import Example
from harness_plugins.corpus.python_stdlib.python_stdlib import build as library
from harness_plugins.corpus.python_tasks.corruption import NAME
from harness_plugins.corpus.python_tasks.functions import of_module


def config(**options: object):
    return plugin_config("corpus", {"name": "python_tasks", **options}, "corpus")


def read(**options: object) -> list[Example]:
    corpus = config(**options).build()
    return list(corpus.read(0, len(corpus)))


def parses(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


MODULE = '''
class A:
    @property
    def size(self) -> int:
        """The size.

        In bytes.
        """
        # counted anew
        return len(
            self.parts)

    def one_line(self): return 1

    async def waits(self,
                    longer=None):

        def inner():
            return 2
        return inner

def only_described():
    """Nothing follows."""

def text():
    return """
left of the function"""
'''


def test_a_function_is_signature_docstring_and_body_at_the_left_margin() -> None:
    size, waits, inner = list(of_module(7, MODULE))[:3]
    assert (size.module, size.line) == (7, 4)
    assert size.signature == "def size(self) -> int:\n"
    assert size.docstring == '    """The size."""\n'
    assert size.body == "    # counted anew\n    return len(\n        self.parts)\n"
    assert waits.signature == "async def waits(self,\n                longer=None):\n\n"
    assert waits.body == "    def inner():\n        return 2\n    return inner\n"
    assert (inner.signature, inner.docstring, inner.body) == ("def inner():\n", "", "    return 2\n")


def test_what_cannot_be_told_apart_or_dedented_is_passed_over() -> None:
    names = {f.signature.split("(")[0] for f in of_module(0, MODULE)}
    assert names == {"def size", "async def waits", "def inner", "def text"}  # at the margin nothing lies left of it
    assert list(of_module(0, "class B:\n" + "\n".join(f"    {line}" for line in MODULE.splitlines()[25:27]))) == []
    assert list(of_module(0, "def broken(:\n")) == []


def test_conversations_are_functions_that_parse_and_docstrings_with_their_signatures() -> None:
    pairs = [tuple(turn.text for turn in example.turns) for example in read()]
    bodies = [prompt + answer for prompt, answer in pairs if "def " in prompt]
    signatures = [(prompt, answer) for prompt, answer in pairs if "def " not in prompt]
    assert min(len(bodies), len(signatures)) > 2000
    assert all(map(parses, bodies[::10]))
    assert all(prompt.startswith('"""') and "def " in answer for prompt, answer in signatures)


def test_the_better_answer_is_the_real_one_and_length_does_not_tell_which() -> None:
    examples = read(examples="preferences")
    real = {f.body for document in library().read(0, 60) for f in of_module(0, document.text)}
    halves = [(example.turns[0].text, *example.answers) for example in examples[:200]]
    assert all(any(body.endswith(better) for body in real) for _, better, _ in halves)
    assert all(better != worse and better.count("\n") == worse.count("\n") for _, better, worse in halves)
    lengths = Counter(
        (len(e.answers[1]) > len(e.answers[0])) - (len(e.answers[1]) < len(e.answers[0])) for e in examples
    )
    assert len(examples) > 5000
    assert abs(lengths[1] - lengths[-1]) < 0.05 * len(examples)


def test_prompts_are_beginnings_without_answers() -> None:
    examples = read(examples="prompts")
    assert all(len(e.turns) == 1 and not e.answers and len(e.turns[0].text) <= 150 for e in examples)
    assert all(parses(e.turns[0].text.rstrip() + "\n    pass") for e in examples[::50])


@pytest.mark.parametrize("form", ["conversations", "preferences", "prompts"])
def test_an_example_is_held_out_with_its_module(form: str) -> None:
    corpus = config(examples=form).build()
    modules = {document.name: document.text for document in library().read(0, len(library()))}
    for example in corpus.read(0, len(corpus)):
        name, line = example.name.rsplit(":", 1)
        assert example.origin == modules[name]
        assert "def " in modules[name].split("\n")[int(line) - 1]


@pytest.mark.parametrize("form", ["conversations", "preferences", "prompts"])
def test_any_part_reads_as_it_stands_in_the_whole(form: str) -> None:
    corpus, again = config(examples=form).build(), config(examples=form).build()
    assert list(corpus.read(100, 140)) == list(again.read(0, 200))[100:140]


def test_no_example_is_longer_than_asked_for() -> None:
    lengths = [len("".join(t.text for t in e.turns)) for e in read(characters=120)]
    assert max(lengths) <= 120
    assert len(lengths) < len(read())


def test_shuffled_answers_stay_in_their_module_and_not_at_their_prompt() -> None:
    own, other = read(), read(shuffled="answers")
    assert [e.turns[0] for e in own] == [e.turns[0] for e in other]
    answers = [Counter((e.name.split(":")[0], e.turns[1].text) for e in examples) for examples in (own, other)]
    assert answers[0] == answers[1]
    modules = Counter(e.name.split(":")[0] for e in own)
    stayed = [a for a, b in zip(own, other, strict=True) if a == b and modules[a.name.split(":")[0]] > 2]
    assert len(stayed) < 0.05 * len(own)  # equal answers of one module


def test_a_fair_coin_says_which_shuffled_answer_is_better() -> None:
    """Within five standard errors of a binomial."""
    own, other = read(examples="preferences"), read(examples="preferences", shuffled="answers")
    swapped = [a.answers == b.answers[::-1] for a, b in zip(own, other, strict=True)]
    assert all(a.answers == b.answers or swap for a, b, swap in zip(own, other, swapped, strict=True))
    assert abs(sum(swapped) - len(own) / 2) < 5 * (len(own) / 4) ** 0.5


def test_shuffled_characters_are_those_of_their_answer_in_another_order() -> None:
    own, other = read(), read(shuffled="characters")
    assert [e.turns[0] for e in own] == [e.turns[0] for e in other]
    pairs = [(a.turns[1].text, b.turns[1].text) for a, b in zip(own, other, strict=True)]
    assert all(sorted(answer) == sorted(shuffled) for answer, shuffled in pairs)
    assert sum(answer == shuffled for answer, shuffled in pairs) < 0.01 * len(pairs)


def test_a_worse_answer_has_the_corruption_that_was_asked_for() -> None:
    for way in ("lines", "names", "line"):
        for _, example in zip(range(50), read(examples="preferences", corruption=way), strict=False):
            better, worse = ([line.strip() for line in answer.splitlines()] for answer in example.answers)
            assert (sorted(better) == sorted(worse)) == (way == "lines")
            if way == "line":
                assert sum(one != other for one, other in zip(better, worse, strict=True)) == 1
            if way == "names":
                assert NAME.sub("", "".join(better)) == NAME.sub("", "".join(worse))


@pytest.mark.parametrize(
    "change",
    [
        {"examples": "preferences"},
        {"shuffled": "answers"},
        {"shuffled": "characters"},
        {"characters": 200},
        {"corruption": "line"},
    ],
)
def test_every_option_is_in_the_fingerprint(change: dict[str, object]) -> None:
    assert config(**change).fingerprint() != config().fingerprint() == config().fingerprint()


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"prompts have no answers"):
        config(examples="prompts", shuffled="answers")
    with pytest.raises(ConfigError, match=r"corpus.examples='pairs'.*conversations"):
        config(examples="pairs")
