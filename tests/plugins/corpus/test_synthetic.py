"""The corpus of synthetic problems."""

import pytest

from harness.config import ConfigError, plugin_config
from harness.data import synthetic


def config(**options: object):
    return plugin_config("corpus", {"name": "synthetic", **options}, "corpus")


def test_documents_are_those_of_the_data_room() -> None:
    corpus = config(documents=10, problems=3, seed=4, tasks=["addition", "copy"], addition=[3, 3], copy=[2, 2]).build()
    assert len(corpus) == 10
    tasks = {"addition": [3, 3], "copy": [2, 2]}
    expected = [synthetic.document(4, index, tasks, 3) for index in range(2, 10)]
    assert [document.text for document in corpus.read(2, 10)] == expected
    assert {line.split()[0] for text in expected for line in text.splitlines()} == {"addition:", "copy:"}


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"documents": 5}, {"problems": 2}, {"tasks": ["copy"]}, {"addition": [1, 3]}, {"brackets": [2, 6]}],
)
def test_every_option_is_in_the_fingerprint(change: dict[str, object]) -> None:
    assert config(**change).fingerprint() != config().fingerprint() == config().fingerprint()


def test_options_of_tasks_that_are_not_asked_are_not_in_the_fingerprint() -> None:
    assert config(tasks=["copy"], addition=[1, 5]).fingerprint() == config(tasks=["copy"]).fingerprint()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": []}, r"corpus: tasks is empty"),
        ({"tasks": ["adition"]}, r"corpus: tasks: there is no kind of problem adition. Did you mean addition"),
        ({"addition": [2, 1]}, r"corpus: addition=\[2, 1\] is not \[fewest, most\] within 1 … 32"),
        ({"induction": [1, 5]}, r"corpus: induction=\[1, 5\] .* within 2 … 26"),
        ({"copy": [2]}, r"corpus: copy=\[2\] is not \[fewest, most\]"),
        ({"copy": ["a", "b"]}, r"corpus.copy\[0\]='a' is not a whole number"),
        ({"documents": 0}, r"corpus.documents=0 is too small"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(**options)
