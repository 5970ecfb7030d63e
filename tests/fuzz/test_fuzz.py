"""A small, seeded part of the fuzzer; `make fuzz` goes on for a minute with a seed of the day."""

import random

import pytest

from tests.fuzz import cases
from tests.fuzz.fuzz import broken_law, one, run
from tests.fuzz.world import half_made, inside, make


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make(tmp_path_factory.mktemp("fuzz") / "world")


@pytest.mark.parametrize("case", range(24))
def test_the_law_holds(world, case):
    assert not [str(finding) for finding in one(20, case, world)]


# ------------------------------------------------------------------------------ the fuzzer itself


@pytest.mark.parametrize(
    ("code", "err", "escaped", "said"),
    [
        (0, "", "", ""),
        (2, "harness: one paragraph.\n", "", ""),
        (0, "Run x is passed over.\nanother\n", "", ""),
        (130, "", "", "exit code 130"),
        (2, "", "", "without a paragraph"),
        (1, "harness: one.\n\nTwo.\n", "", "more than a paragraph"),
        (0, "Traceback (most recent call last):\n", "", "Traceback"),
        (None, "", "KeyError: 'x'", "KeyError"),
    ],
)
def test_what_breaks_the_law_is_found(code, err, escaped, said):
    found = broken_law(code, err, escaped)
    assert said in found
    assert bool(found) == bool(said)


def test_what_escapes_is_caught(monkeypatch):
    monkeypatch.setattr("harness.cli._dispatch", lambda words: {}["x"])
    code, _, escaped = run(["status"])
    assert code is None
    assert escaped.strip().endswith("KeyError: 'x'")


def test_what_is_half_made_is_found(world):
    assert not half_made(world)
    for name in ("runs/new/config.json", "runs/.0123-abc/x", "runs/new/.manifest.json-abc"):
        path = world / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    try:
        assert len(half_made(world)) == 3
    finally:
        cases.clean(world / "runs/new")
        cases.clean(world / "runs/.0123-abc")


def test_a_seed_and_a_case_are_the_same_words_again(world):
    with inside(world):
        lines = [[cases.words(random.Random(f"1 {case}"), world) for case in range(50)] for _ in range(2)]
    assert lines[0] == lines[1]
    assert len({line[0] for line in lines[0]}) > 8
