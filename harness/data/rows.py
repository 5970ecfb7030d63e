"""Rows of the usual formats to examples. What is wrong with one is told with its place and what would be right."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import UserError
from harness.interfaces.corpus import CONVERSATIONS, PREFERENCES, PROMPTS, Example, Turn, example

Row = Mapping[str, Any]

#: Who says a turn, by the names that are used for it.
SPEAKERS = {"system": "system", "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant"}
#: Where the turns of an HH-RLHF transcript begin.
HH_TURN = re.compile(r"(?:^|\n\n)(Human|Assistant):")


class Malformed(Exception):
    """What is wrong with a row, as a sentence without its end."""


@dataclass(frozen=True)
class Format:
    """form: of the examples. shape: what a row has, for messages. fields: those by which it is known."""

    form: str
    shape: str
    fields: tuple[str, ...]
    parse: Callable[[Row], dict[str, Any]]


def parse(row: Row, format: str, where: str, name: str) -> Example:
    """The example of a row. where: its place, for messages; name: the example's. Fields that are null count as
    missing. Raises UserError where the row does not have the shape of its format."""
    chosen = FORMATS[format]
    try:
        return example(name, **chosen.parse({key: value for key, value in row.items() if value is not None}))
    except Malformed as error:
        raise UserError(f"{where}: {error}. A row of corpus.format={format} has {chosen.shape}.") from None


def detect(row: Row, where: str) -> str:
    """The format of which a row has the fields. Raises UserError where it has those of none, or of several forms."""
    is_hh = _is_transcript(row.get("chosen")) and row.get("prompt") is None
    left_out = "preference" if is_hh else "hh"  # which have the same fields
    has_all = [name for name, format in FORMATS.items() if all(row.get(field) is not None for field in format.fields)]
    found = [name for name in has_all if name != left_out]
    if len({FORMATS[name].form for name in found} - {PROMPTS}) > 1:
        raise UserError(f"{where}: its fields are those of {' and of '.join(found)}. Say corpus.format=<one of them>.")
    if found:
        return found[0]
    known = "; ".join(f"{name}: {format.shape}" for name, format in FORMATS.items())
    has = ", ".join(row) or "none"
    raise UserError(f"{where}: its fields ({has}) are those of no format that is known. Known are {known}.")


# ------------------------------------------------------------------------------------------ formats


def _messages(row: Row) -> dict[str, Any]:
    return {"turns": _conversation(_turns(row, "messages"))}


def _sharegpt(row: Row) -> dict[str, Any]:
    return {"turns": _conversation([*_system(row), *_turns(row, "conversations")])}


def _alpaca(row: Row) -> dict[str, Any]:
    instruction, given = _said(row, "instruction"), _text(row.get("input", ""), "input")
    asked = f"{instruction}\n\n{given}" if given.strip() else instruction
    return {"turns": [*_system(row), Turn("user", asked), Turn("assistant", _said(row, "output"))]}


def _completion(row: Row) -> dict[str, Any]:
    return {"turns": [*_prompt(row), _answer(row, "completion")]}


def _preference(row: Row) -> dict[str, Any]:
    listed = [isinstance(row.get(field), list) for field in ("chosen", "rejected")]
    if all(listed):
        chosen, rejected = _turns(row, "chosen"), _turns(row, "rejected")
        if chosen[0].speaker != "assistant":  # they hold the prompt, too
            return _apart(chosen, rejected)
    answers = [_answer(row, field).text for field in ("chosen", "rejected")]
    return {"turns": _prompt(row), "answers": _different(answers)}


def _hh(row: Row) -> dict[str, Any]:
    return _apart(_transcript(row, "chosen"), _transcript(row, "rejected"))


def _prompts(row: Row) -> dict[str, Any]:
    fields = {key: value for key, value in row.items() if key not in ("prompt", "system")}
    return {"turns": _prompt(row), "fields": fields}


_LIST = "a list of {role: system, user or assistant, content: text}"
#: By name. The first whose fields a row has is taken for its format.
FORMATS = {
    "messages": Format(CONVERSATIONS, f"messages: {_LIST}, the last one the assistant's", ("messages",), _messages),
    "sharegpt": Format(
        CONVERSATIONS,
        "conversations: a list of {from: system, human or gpt, value: text}, the last one gpt's",
        ("conversations",),
        _sharegpt,
    ),
    "alpaca": Format(
        CONVERSATIONS, "instruction and output, and perhaps input, each text", ("instruction", "output"), _alpaca
    ),
    "preference": Format(
        PREFERENCES,
        f"prompt, chosen and rejected, each text or {_LIST}, where chosen and rejected may hold the prompt",
        ("chosen", "rejected"),
        _preference,
    ),
    "hh": Format(
        PREFERENCES,
        "chosen and rejected, the same transcript (\\n\\nHuman: …\\n\\nAssistant: …) but for the last answer",
        ("chosen", "rejected"),
        _hh,
    ),
    "completion": Format(
        CONVERSATIONS, f"prompt and completion, each text or {_LIST}", ("prompt", "completion"), _completion
    ),
    "prompts": Format(
        PROMPTS, f"prompt: text, or {_LIST}, the last one not the assistant's; all else is the reward's",
        ("prompt",), _prompts,
    ),
}  # fmt: skip


# -------------------------------------------------------------------------------------------- parts


def _conversation(turns: Sequence[Turn]) -> Sequence[Turn]:
    if turns[-1].speaker != "assistant":
        raise Malformed(f"the last turn is the {turns[-1].speaker}'s, so that there is nothing to learn behind it")
    return turns


def _prompt(row: Row) -> list[Turn]:
    """The field prompt, as turns that ask for an answer."""
    if not isinstance(row.get("prompt"), list):
        return [*_system(row), Turn("user", _said(row, "prompt"))]
    turns = [*_system(row), *_turns(row, "prompt")]
    if turns[-1].speaker == "assistant":
        raise Malformed("prompt ends with the assistant's turn, so that nothing asks for an answer")
    return turns


def _answer(row: Row, field: str) -> Turn:
    if not isinstance(row.get(field), list):
        return Turn("assistant", _said(row, field))
    turns = _turns(row, field)
    if [turn.speaker for turn in turns] != ["assistant"]:
        raise Malformed(f"{field} is not one turn of the assistant's")
    return turns[0]


def _apart(chosen: Sequence[Turn], rejected: Sequence[Turn]) -> dict[str, Any]:
    """Two whole conversations as their common beginning and the answers in which they end."""
    same = 0
    while same < min(len(chosen), len(rejected)) and chosen[same] == rejected[same]:
        same += 1
    if same == len(chosen) == len(rejected):
        raise Malformed("chosen and rejected are equal")
    ends = [chosen[same:], rejected[same:]]
    if any([turn.speaker for turn in end] != ["assistant"] for end in ends):
        raise Malformed("chosen and rejected differ in more than the last answer")
    if not same or chosen[same - 1].speaker == "assistant":
        raise Malformed("nothing asks for the answers in which chosen and rejected differ")
    return {"turns": chosen[:same], "answers": _different([end[0].text for end in ends])}


def _different(answers: Sequence[str]) -> Sequence[str]:
    if answers[0] == answers[1]:
        raise Malformed("chosen and rejected are equal")
    return answers


def _transcript(row: Row, field: str) -> list[Turn]:
    text = _said(row, field)
    before, *pieces = HH_TURN.split(text)
    if not pieces or before.strip():
        raise Malformed(f"{field} does not begin with \\n\\nHuman:")
    turns = [Turn(SPEAKERS[who.lower()], said.strip()) for who, said in zip(pieces[::2], pieces[1::2], strict=True)]
    if not turns[-1].text:
        raise Malformed(f"{field} ends with an empty answer")
    return turns


def _is_transcript(value: Any) -> bool:
    return isinstance(value, str) and HH_TURN.match(value) is not None


def _turns(row: Row, field: str) -> list[Turn]:
    """A list of messages; empty ones of the system are passed over."""
    value = _has(row, field)
    if not isinstance(value, list):
        raise Malformed(f"{field} is {_kind(value)} where a list should be")
    turns = [_turn(message, f"{field}[{number}]") for number, message in enumerate(value)]
    turns = [turn for turn in turns if turn.text.strip() or turn.speaker != "system"]
    if not turns:
        raise Malformed(f"{field} is empty")
    for number, turn in enumerate(turns):
        if not turn.text.strip():
            raise Malformed(f"{field}: turn {number}, the {turn.speaker}'s, is empty")
    return turns


def _turn(message: Any, where: str) -> Turn:
    if not isinstance(message, dict):
        raise Malformed(f"{where} is {_kind(message)} where an object should be")
    role, content = ("from", "value") if message.get("from") is not None else ("role", "content")
    for key in (role, content):
        if message.get(key) is None:
            raise Malformed(f"{where} has no {key}")
    speaker = _text(message[role], f"{where}.{role}")
    if speaker not in SPEAKERS:
        raise Malformed(f"{where}.{role}={speaker!r} is nobody who is known here")
    return Turn(SPEAKERS[speaker], _text(message[content], f"{where}.{content}"))


def _system(row: Row) -> list[Turn]:
    """What a field of its own says before all turns."""
    said = _text(row.get("system", ""), "system")
    return [Turn("system", said)] if said.strip() else []


def _said(row: Row, field: str) -> str:
    text = _text(_has(row, field), field)
    if not text.strip():
        raise Malformed(f"{field} is empty")
    return text


def _has(row: Row, field: str) -> Any:
    if field not in row:
        raise Malformed(f"no field {field} beside {', '.join(row)}" if row else f"no field {field}")
    return row[field]


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise Malformed(f"{where} is {_kind(value)} where text should be")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise Malformed(f"{where} is no valid Unicode ({error.reason} at {error.start})") from None
    return value


def _kind(value: Any) -> str:
    return {"dict": "an object", "NoneType": "null", "str": "text"}.get(type(value).__name__, type(value).__name__)
