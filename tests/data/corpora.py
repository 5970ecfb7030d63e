"""Corpora and tokenizers for tests."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.config import option, plugin_config
from harness.data.cache import digest
from harness.interfaces.corpus import CONVERSATIONS, PREFERENCES, CorpusConfig, Document, Turn, example
from harness.schema import DataConfig, RunConfig


class Bytes:
    """A tokenizer in three lines; `size` is what it claims."""

    def __init__(self, size: int = 257) -> None:
        self.size, self.end = size, size - 1

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        return [list(text.encode()) for text in texts]


@dataclass(kw_only=True)
class Given(CorpusConfig):
    """Documents as they are. trouble: what happens when the last is read; seconds: how long each one takes."""

    texts: list[str] = option([])
    trouble: str = option("")
    seconds: float = option(0.0)

    def fingerprint(self) -> str:
        if self.trouble == "changes":
            return str(time.monotonic_ns())
        return digest(self.texts)

    def build(self) -> Given:
        return self

    def __len__(self) -> int:
        return len(self.texts)

    def read(self, start: int, stop: int) -> Iterator[Document]:
        for index in range(start, stop):
            time.sleep(self.seconds)
            if self.trouble == "killed" and index == len(self.texts) - 1:
                os.kill(os.getpid(), signal.SIGKILL)
            yield Document(self.texts[index], f"given:{index}")


@dataclass(kw_only=True)
class Asked(CorpusConfig):
    """Conversations of a prompt and an answer, or preferences of a prompt and two. made_from: what each comes from."""

    prompts: list[str] = option([])
    answers: list[list[str]] = option([])
    made_from: list[str] = option([])

    def form(self) -> str:
        return PREFERENCES if self.answers and len(self.answers[0]) == 2 else CONVERSATIONS

    def fingerprint(self) -> str:
        return digest([self.prompts, self.answers, self.made_from])

    def build(self) -> Asked:
        return self

    def __len__(self) -> int:
        return len(self.prompts)

    def read(self, start: int, stop: int) -> Iterator[Document]:
        for index in range(start, stop):
            turns, answers = [Turn("user", self.prompts[index])], self.answers[index]
            if self.form() == CONVERSATIONS:
                turns, answers = [*turns, Turn("assistant", answers[0])], []
            yield example(f"asked:{index}", turns, answers, made_from=self.made_from[index] if self.made_from else "")


def some_examples(count: int = 60, answers: int = 1) -> Asked:
    """Examples of different lengths."""
    prompts = [f"{i}? " + "p" * (i * 5 % 13) for i in range(count)]
    said = [[f"{'ab'[n]}{i} " + "x" * ((i + n) * 7 % 17) for n in range(answers)] for i in range(count)]
    return Asked(name="asked", prompts=prompts, answers=said)


def some_texts(count: int = 100) -> list[str]:
    """Documents of different lengths, one of them empty, two of them equal."""
    texts = [f"document {i} " * (i * 7 % 23) + str(i) for i in range(count)]
    return [*texts[:-2], texts[0], ""]


def run_config(corpus: object, tokenizer: object = "bytes", **data: object) -> RunConfig:
    """A RunConfig as far as the data goes."""
    named = corpus if isinstance(corpus, CorpusConfig) else plugin_config("corpus", corpus, "corpus")
    return RunConfig(
        corpus=named,
        tokenizer=plugin_config("tokenizer", tokenizer, "tokenizer"),
        method=plugin_config("method", "clm", "method"),
        data=DataConfig(**data),  # type: ignore[arg-type]
    )


def rows_file(path: Path, texts: Sequence[str]) -> dict[str, str]:
    """A JSONL file of these documents, and the corpus that reads it."""
    import json

    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return {"name": "text", "path": str(path)}
