"""Examples to tokens: turns written out by a template, with the part that each token has in the example."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.errors import UserError
from harness.interfaces.batch import ANSWER, CONTEXT
from harness.interfaces.corpus import Example, Turn
from harness.interfaces.tokenizer import Tokenizer

#: What `data.template` may be. plain: the texts one after the other, as they are. chat: each begun with who speaks.
#: Both end an answer with the end token. tokenizer: what the tokenizer's own template makes of the turns.
TEMPLATES = ("plain", "chat", "tokenizer")

#: A piece of an example, and the part that its tokens have in it.
Piece = tuple[str, int]


class Renderer:
    """Examples to tokens_E and parts_E, int64 and uint8: the prompt's are `CONTEXT`; those that an assistant says in a
    conversation, and of a preference's first answer, `ANSWER`; of the n-th answer, `ANSWER` + n."""

    def __init__(self, tokenizer: Tokenizer, template: str) -> None:
        """Raises UserError where nothing would say that an answer ends."""
        assert template in TEMPLATES
        ends(tokenizer, template)
        self.tokenizer, self.template = tokenizer, template

    def __call__(self, examples: Sequence[Example]) -> list[tuple[np.ndarray, np.ndarray | None]]:
        pieces = [self._pieces(example) for example in examples]
        encoded = iter(self.tokenizer.encode_all([text for of_one in pieces for text, _ in of_one]))
        return [self._joined([(next(encoded), part) for _, part in of_one]) for of_one in pieces]

    def prompt(self, turns: Sequence[Turn]) -> list[int]:
        """The tokens of a prompt that asks for an answer, as training sees them."""
        tokens, _ = self([Example("", "", turns=tuple(turns))])[0]
        return [int(token) for token in tokens]

    def _joined(self, pieces: Sequence[tuple[list[int], int]]) -> tuple[np.ndarray, np.ndarray | None]:
        # A tokenizer's template writes all that stands there, what opens a text too.
        opening = [] if self.template == "tokenizer" else list(getattr(self.tokenizer, "opening", ()))
        tokens, parts = list(opening), [CONTEXT] * len(opening)
        for piece, part in pieces:
            ends = [self.tokenizer.end] if part != CONTEXT and self.template != "tokenizer" else []
            tokens += [*piece, *ends]
            parts += [part] * (len(piece) + len(ends))
        return np.array(tokens, dtype=np.int64), np.array(parts, dtype=np.uint8)

    def _pieces(self, example: Example) -> list[Piece]:
        if self.template == "tokenizer":
            return _by_tokenizer(self.tokenizer, example)
        pieces, asks = [], not example.turns or example.turns[-1].speaker != "assistant"
        for place, turn in enumerate(example.turns):
            if turn.speaker == "assistant":
                pieces += [(self._before(place, turn.speaker), CONTEXT), (turn.text, ANSWER)]
            else:
                pieces.append((self._before(place, turn.speaker) + turn.text, CONTEXT))
        if asks:
            pieces.append((self._before(len(example.turns), "assistant"), CONTEXT))
        pieces += [(answer, ANSWER + number) for number, answer in enumerate(example.answers)]
        return [(text, part) for text, part in pieces if text or part != CONTEXT]

    def _before(self, place: int, speaker: str) -> str:
        """What stands before a turn."""
        if self.template == "plain":
            return ""
        return f"{'' if place == 0 else chr(10) * 2}{speaker.capitalize()}: "


def ends(tokenizer: Any, template: str | None) -> frozenset[int]:
    """The tokens that end an answer: the end token, and the mark of the tokenizer's own template where that is asked
    for (ChatML's ``<|im_end|>``). Raises UserError where that has none of one token, which could be waited for."""
    if template != "tokenizer":
        return frozenset({tokenizer.end})
    written = behind(tokenizer)
    tokens, mark = tokenizer.encode_all([f"An answer.{written}", written.strip()])
    if tokenizer.end in tokens:
        return frozenset({tokenizer.end})
    if len(mark) != 1 or mark[0] not in tokens[1:]:
        raise UserError(
            f"data.template=tokenizer: behind an answer the tokenizer's chat template writes {written!r}, which is no "
            "single token: nothing that is generated could be seen to end. Say data.template=chat, or plain, which end "
            "an answer with the end token."
        )
    return frozenset({tokenizer.end, mark[0]})


def behind(tokenizer: Any) -> str:
    """What the tokenizer's own template writes behind an answer. Raises UserError where it has no template."""
    if not hasattr(tokenizer, "chat"):
        raise UserError(
            "data.template=tokenizer needs a tokenizer that has a chat template, such as that of a chat model's "
            "folder. Say data.template=chat, or plain."
        )
    written: str = tokenizer.chat([Turn("user", "A question?"), Turn("assistant", "An answer.")], asks=False)
    return written.rpartition("An answer.")[2]


def longest(parts_E: np.ndarray) -> int:
    """Tokens of an example's prompt and its longest answer."""
    counts = np.bincount(parts_E, minlength=3)
    is_preference = counts[ANSWER + 1 :].any()
    return int(counts[CONTEXT] + counts[ANSWER:].max()) if is_preference else len(parts_E)


def _by_tokenizer(tokenizer: Any, example: Example) -> list[Piece]:
    """The turns as the tokenizer's own template writes them. What it adds behind an answer is the answer's."""
    pieces, turns, written = [], example.turns, ""
    for place, turn in enumerate(turns):
        if turn.speaker == "assistant":
            asked = tokenizer.chat(turns[:place], asks=True)
            pieces.append((_after(written, asked, example), CONTEXT))
            written = tokenizer.chat(turns[: place + 1], asks=False)
            pieces.append((_after(asked, written, example), ANSWER))
    if not turns or turns[-1].speaker != "assistant":
        asked = tokenizer.chat(turns, asks=True)
        pieces.append((_after(written, asked, example), CONTEXT))
        for number, answer in enumerate(example.answers):
            whole = tokenizer.chat([*turns, Turn("assistant", answer)], asks=False)
            pieces.append((_after(asked, whole, example), ANSWER + number))
    return pieces


def _after(before: str, text: str, example: Example) -> str:
    if not text.startswith(before):
        raise UserError(
            f"{example.name}: the tokenizer's chat template changes what it wrote of earlier turns when another "
            "follows, so that what is learned cannot be told from what is not. Say data.template=chat, or plain."
        )
    return text[len(before) :]
