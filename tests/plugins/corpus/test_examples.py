"""Examples in the formats that people have, and what is told of rows that have none of them."""

import gzip
import json
from pathlib import Path

import datasets
import pytest

from harness.config import ConfigError, plugin_config
from harness.data.rows import FORMATS
from harness.errors import UserError
from harness.interfaces.corpus import Example, Turn

SYSTEM, ASKS, SAYS = Turn("system", "Be brief."), Turn("user", "1 + 1?"), Turn("assistant", "2")
MESSAGES = [{"role": turn.speaker, "content": turn.text} for turn in (SYSTEM, ASKS, SAYS)]
HH = "\n\nHuman: 1 + 1?\n\nAssistant:"

ROWS = {
    "messages": {"messages": MESSAGES},
    "sharegpt": {
        "id": "7",
        "system": "Be brief.",
        "conversations": [{"from": "human", "value": "1 + 1?"}, {"from": "gpt", "value": "2"}],
    },
    "alpaca": {"instruction": "1 + 1?", "input": "", "output": "2"},
    "completion": {"prompt": "1 + 1?", "completion": "2"},
    "preference": {"prompt": "1 + 1?", "chosen": "2", "rejected": "3", "score": 1.5},
    "hh": {"chosen": f"{HH} 2", "rejected": f"{HH} 3"},
    "prompts": {"prompt": "1 + 1?", "answer": 2},
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def config(path: object, **options: object):
    return plugin_config("corpus", {"name": "examples", "path": str(path), **options}, "corpus")


def written(path: Path, *rows: object) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def one(path: Path, row: object, **options: object) -> Example:
    return next(config(written(path / "rows.jsonl", row), **options).build().read(0, 1))


# ------------------------------------------------------------------------------------------ formats


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_is_known_by_its_first_row_and_means_what_it_says(tmp_path: Path, format: str) -> None:
    example = one(tmp_path, ROWS[format])
    assert example == one(tmp_path, ROWS[format], format=format)
    asked = (SYSTEM, ASKS) if format in ("messages", "sharegpt") else (ASKS,)
    answers = ("2", "3") if format in ("preference", "hh") else ()
    assert example.answers == answers
    assert example.turns == (asked if answers or format == "prompts" else (*asked, SAYS))
    assert example.fields == ({"answer": 2} if format == "prompts" else {})
    found = config(tmp_path / "rows.jsonl")
    assert found.form() == FORMATS[format].form
    assert found.fingerprint() == config(tmp_path / "rows.jsonl", format=format).fingerprint()


def test_an_input_stands_below_its_instruction(tmp_path: Path) -> None:
    example = one(tmp_path, {"instruction": "Add.", "input": "1 and 1", "output": "2"})
    assert example.turns[0].text == "Add.\n\n1 and 1"


def test_several_turns_stay_in_order(tmp_path: Path) -> None:
    turns = [*MESSAGES, {"role": "user", "content": "Sure?"}, {"role": "assistant", "content": "Yes."}]
    assert [t.text for t in one(tmp_path, {"messages": turns}).turns] == ["Be brief.", "1 + 1?", "2", "Sure?", "Yes."]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": MESSAGES[:2], "chosen": MESSAGES[2:], "rejected": [{"role": "assistant", "content": "3"}]},
        {"chosen": MESSAGES, "rejected": [*MESSAGES[:2], {"role": "assistant", "content": "3"}]},
        {"prompt": "1 + 1?", "chosen": MESSAGES, "rejected": [*MESSAGES[:2], {"role": "assistant", "content": "3"}]},
        {"prompt": MESSAGES[:2], "chosen": "2", "rejected": "3"},
    ],
    ids=["answers alone", "whole conversations", "a prompt that both repeat", "texts behind messages"],
)
def test_preferences_as_messages(tmp_path: Path, row: dict) -> None:
    example = one(tmp_path, row)
    assert (example.turns, example.answers) == ((SYSTEM, ASKS), ("2", "3"))


def test_transcripts_are_split_where_they_differ_for_the_last_time(tmp_path: Path) -> None:
    """Equal beginnings of the answers stay with the answers; Human: within a line begins no turn."""
    before = "\n\nHuman: Hi\n\nAssistant: Hello. Human: that you are.\n\nHuman: Why?\n\nAssistant:"
    example = one(tmp_path, {"chosen": f"{before} I see it.", "rejected": f"{before} I know."})
    assert [t.text for t in example.turns] == ["Hi", "Hello. Human: that you are.", "Why?"]
    assert example.answers == ("I see it.", "I know.")


def test_empty_words_of_the_system_and_fields_that_are_null_are_passed_over(tmp_path: Path) -> None:
    row = {"messages": [{"role": "system", "content": ""}, *MESSAGES[1:]], "prompt": None}
    assert one(tmp_path, row).turns == (ASKS, SAYS)


def test_examples_of_one_prompt_are_held_out_together(tmp_path: Path) -> None:
    rows = [ROWS["alpaca"], {**ROWS["alpaca"], "output": "two"}]
    first, second = config(written(tmp_path / "rows.jsonl", *rows)).build().read(0, 2)
    assert first.origin == second.origin


# -------------------------------------------------------------------------------------------- files


def test_files_folders_globs_and_compressed_ones_have_the_same_examples(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    rows = [{**ROWS["alpaca"], "output": str(n)} for n in range(5)]
    plain = written(tmp_path / "rows.jsonl", *rows)
    written(tmp_path / "data" / "a.jsonl", *rows[:2])
    (tmp_path / "data" / "b.jsonl.gz").write_bytes(
        gzip.compress("\n\n".join(json.dumps(row) for row in rows[2:]).encode())
    )
    for path in (plain, tmp_path / "data", tmp_path / "data" / "*"):
        corpus = config(path).build()
        assert [e.turns[1].text for e in corpus.read(0, len(corpus))] == list("01234")
        assert [e.turns[1].text for e in corpus.read(1, 4)] == list("123")
    assert config(plain).fingerprint() != config(tmp_path / "data" / "a.jsonl").fingerprint()


def test_moving_and_compressing_changes_no_fingerprint(tmp_path: Path) -> None:
    plain = written(tmp_path / "rows.jsonl", ROWS["hh"])
    (tmp_path / "other.jsonl.gz").write_bytes(gzip.compress(plain.read_bytes()))
    assert config(plain).fingerprint() == config(tmp_path / "other.jsonl.gz").fingerprint()


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("kind", ["save_to_disk", "parquet"])
def test_data_sets_have_the_same_formats(tmp_path: Path, format: str, kind: str) -> None:
    rows = datasets.Dataset.from_list([ROWS[format]] * 2)
    (tmp_path / "data").mkdir()
    rows.save_to_disk(tmp_path / "data") if kind == "save_to_disk" else rows.to_parquet(tmp_path / "data/a.parquet")
    made = {"name": "hf", "path": str(tmp_path / "data")}
    for asked in ("auto", format):
        found = plugin_config("corpus", {**made, "format": asked}, "corpus")
        examples = list(found.build().read(0, 2))
        wanted = one(tmp_path, ROWS[format])
        assert [(e.turns, e.answers, e.fields) for e in examples] == [(wanted.turns, wanted.answers, wanted.fields)] * 2
        assert found.form() == FORMATS[format].form
    assert plugin_config("corpus", made, "corpus").form() == "documents"


def test_a_bad_row_of_a_data_set_is_named_by_its_number(tmp_path: Path) -> None:
    rows = datasets.Dataset.from_list([ROWS["preference"], {**ROWS["preference"], "rejected": "2"}])
    rows.to_parquet(tmp_path / "a.parquet")
    found = plugin_config("corpus", {"name": "hf", "path": str(tmp_path / "a.parquet"), "format": "auto"}, "corpus")
    with pytest.raises(UserError, match=r"a.parquet, row 1 of train: chosen and rejected are equal\."):
        found.build()


# ------------------------------------------------------------------------------------------- errors


def messages(*pairs: tuple) -> dict:
    return {"messages": [{"role": role, "content": content} for role, content in pairs]}


MALFORMED = {
    "messages": [
        ({"mesages": []}, "no field messages beside mesages"),
        ({"messages": "hello"}, "messages is text where a list should be"),
        ({"messages": []}, "messages is empty"),
        ({"messages": ["hello"]}, r"messages\[0\] is text where an object should be"),
        ({"messages": [{"role": "user"}]}, r"messages\[0\] has no content"),
        (messages(("user", "a"), ("tool", "b")), r"messages\[1\].role='tool' is nobody who is known here"),
        (messages(("user", "a"), (["user"], "b")), r"messages\[1\].role is list where text should be"),
        (messages(("user", [{"type": "text"}])), r"messages\[0\].content is list where text should be"),
        (messages(("user", "a"), ("assistant", " ")), "turn 1, the assistant's, is empty"),
        (messages(("user", "a"), ("assistant", "b"), ("user", "c")), "the last turn is the user's"),
        (messages(("user", "\ud800"), ("assistant", "b")), "no valid Unicode"),
    ],
    "sharegpt": [
        ({"conversations": [{"from": "human", "value": "a"}]}, "the last turn is the user's"),
        ({"conversations": [{"from": "bing", "value": "a"}]}, r"conversations\[0\].from='bing'"),
    ],
    "alpaca": [
        ({"instruction": "a", "input": ""}, "no field output beside instruction, input"),
        ({"instruction": "a", "output": ""}, "output is empty"),
        ({"instruction": "a", "input": 3, "output": "b"}, "input is int where text should be"),
    ],
    "completion": [({"prompt": "a", "completion": []}, "completion is empty")],
    "preference": [
        ({"prompt": "a", "chosen": "b"}, "no field rejected beside prompt, chosen"),
        ({"prompt": "a", "chosen": "b", "rejected": "b"}, "chosen and rejected are equal"),
        ({"prompt": "a", "chosen": "", "rejected": "b"}, "chosen is empty"),
        ({"chosen": MESSAGES, "rejected": MESSAGES}, "chosen and rejected are equal"),
        ({"chosen": MESSAGES, "rejected": MESSAGES[1:]}, "differ in more than the last answer"),
        ({"prompt": MESSAGES, "chosen": "b", "rejected": "c"}, "prompt ends with the assistant's turn"),
    ],
    "hh": [
        ({"chosen": "Hello", "rejected": "Hello"}, r"chosen does not begin with \\n\\nHuman:"),
        ({"chosen": f"{HH} 2", "rejected": HH}, "rejected ends with an empty answer"),
        ({"chosen": f"{HH} 2", "rejected": f"{HH} 2\n"}, "chosen and rejected are equal"),
        ({"chosen": f"{HH} 2", "rejected": f"\n\nHuman: Hm.{HH} 2"}, "differ in more than the last answer"),
        ({"chosen": "\n\nAssistant: 2", "rejected": "\n\nAssistant: 3"}, "nothing asks for the answers"),
    ],
    "prompts": [
        ({"question": "a"}, "no field prompt beside question"),
        ({"prompt": MESSAGES}, "prompt ends with the assistant's turn"),
        ({}, "no field prompt"),
    ],
}


@pytest.mark.parametrize(
    ("format", "row", "message"), [(name, row, said) for name, cases in MALFORMED.items() for row, said in cases]
)
def test_a_malformed_row_is_told_by_file_and_line_with_what_is_wrong_and_right(tmp_path, format, row, message) -> None:
    file = written(tmp_path / "rows.jsonl", ROWS[format], row)
    corpus = config(file, format=format).build()
    assert len(list(corpus.read(0, 1))) == 1
    with pytest.raises(UserError, match=rf"rows\.jsonl, line 2: .*{message}.*\. A row of corpus.format={format} has "):
        list(corpus.read(1, 2))


@pytest.mark.parametrize(("line", "message"), [("{oops", "not JSON"), ("[1]", "list where a JSON object should be")])
def test_what_is_no_object_is_told(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "rows.jsonl").write_text(f"\n{line}\n")
    for read in (config(tmp_path).form, lambda: list(config(tmp_path, format="alpaca").build().read(0, 1))):
        with pytest.raises(UserError, match=rf"rows\.jsonl, line 2: {message}"):
            read()


def test_what_cannot_be_decided_is_said(tmp_path: Path) -> None:
    written(tmp_path / "rows.jsonl", {"question": "a", "reply": "b"})
    with pytest.raises(
        UserError, match=r"line 1: its fields \(question, reply\) are those of no format.*alpaca: instr"
    ):
        config(tmp_path).form()
    both = written(tmp_path / "rows.jsonl", {**ROWS["messages"], **ROWS["preference"]})
    with pytest.raises(UserError, match=r"line 1: its fields are those of messages and of preference and of prompts\."):
        config(tmp_path).form()
    assert config(both, format="preference").form() == "preferences"
    (tmp_path / "rows.jsonl").write_text("\n")
    with pytest.raises(UserError, match=r"rows\.jsonl: no row"):
        config(tmp_path).form()
    with pytest.raises(ConfigError, match=r"corpus.format='chatml'"):
        config(tmp_path, format="chatml")
