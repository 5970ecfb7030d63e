"""Synthetic problems: each answer is checked by a rule that does not look at how the problem was made."""

import random

import pytest

from harness.data import synthetic
from harness.data.synthetic import DIFFICULTIES, KINDS, Problem, document, make, render

EVERY = [(kind, level) for kind, (low, high) in DIFFICULTIES.items() for level in (low, low + 1, 7, high)]


def right_answer(prompt: str) -> str:
    kind, _, question = prompt.partition(": ")
    if kind == "copy":
        return question.removesuffix(" =")
    if kind == "addition":
        return str(sum(int(number) for number in question.removesuffix(" =").split(" + ")))
    if kind == "induction":
        *shown, again = question.split()
        return shown[shown.index(again) + 1]
    rest = question.removesuffix("=").replace(" ", "")
    while any(pair in rest for pair in ("()", "[]", "{}")):
        rest = rest.replace("()", "").replace("[]", "").replace("{}", "")
    return " ".join({"(": ")", "[": "]", "{": "}"}[bracket] for bracket in reversed(rest))


@pytest.mark.parametrize(("kind", "level"), EVERY)
def test_the_answer_is_right(kind: str, level: int) -> None:
    for seed in range(50):
        problem = make(kind, random.Random(seed), level)
        assert problem.answer == right_answer(problem.prompt)
        assert (problem.kind, problem.difficulty) == (kind, level)


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        ("copy", lambda p: len(p.answer.split())),
        ("induction", lambda p: len(p.prompt.split()) - 2),
        ("addition", lambda p: len(p.prompt.split()[1])),
        ("brackets", lambda p: len(p.answer.split())),
    ],
)
def test_difficulty_is_what_it_says(kind: str, size) -> None:
    assert [size(make(kind, random.Random(level), level)) for level in range(2, 9)] == list(range(2, 9))


def test_a_document_is_its_problems_in_the_form_of_the_examination() -> None:
    text = document(seed=3, index=5, difficulty=dict.fromkeys(KINDS, (2, 6)), problems=40)
    lines = text.splitlines(keepends=True)
    assert len(lines) == 40
    assert {line.partition(":")[0] for line in lines} == set(KINDS)
    for line in lines:
        kind = line.partition(":")[0]
        answer = (
            right_answer(line.rpartition(" ")[0]) if kind == "induction" else right_answer(line.partition("=")[0] + "=")
        )
        assert line.endswith(f" {answer}\n")


def test_render_puts_one_space_between() -> None:
    assert render(Problem("addition: 1 + 2 =", "3", "addition", 1)) == "addition: 1 + 2 = 3\n"


def test_documents_depend_on_seed_and_index_alone() -> None:
    tasks = {"copy": (2, 8)}
    texts = {(seed, index): document(seed, index, tasks, 4) for seed in range(3) for index in range(20)}
    assert len(set(texts.values())) == len(texts)
    assert texts[1, 7] == synthetic.document(1, 7, tasks, 4)
