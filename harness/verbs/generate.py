"""harness generate: a trained run goes on from a prompt."""

from __future__ import annotations

import dataclasses
import io
import re
import sys
from collections.abc import Callable, Collection, Sequence

from harness.cli import Verb
from harness.errors import UserError
from harness.help import verb_help
from harness.schema import GenerateConfig
from harness.verbs.arguments import asks_help, settings
from harness.verbs.under_hydra import Task, carry_out


def generate(words: list[str], verb: Verb) -> int:
    if asks_help(words):
        print(verb_help(verb.usage, verb.summary, GenerateConfig, only=("sampler",), words=words))
        return 0
    # The prompt is text as it stands: Hydra would read commas and brackets in it.
    own, words = settings(words, {"prompt": ""})
    return carry_out(words, Task("generate", lambda config: go_on(dataclasses.replace(config, prompt=own["prompt"]))))


def go_on(config: GenerateConfig) -> None:
    """Prints what the model makes of the prompt, token by token. The same seed gives the same text."""
    import torch

    from harness.data.examples import ends
    from harness.decoding.generate import generate as decode
    from harness.rundir import open_run
    from harness.stored import opening, writes
    from harness.training.train import load_model

    prompt = _text(config.prompt)
    run = open_run(config.run, config.runs)
    model, made_by, tokenizer = load_model(run, run.result_step() if config.checkpoint is None else config.checkpoint)
    if "language_model" not in model.heads:
        raise UserError(f"The model of run {run.id} has no head that says what comes next: it writes no text.")
    if not writes(run):
        raise UserError(f"The model of run {run.id} sees what comes after a token, too: it writes no text.")
    device = "cuda" if made_by.trainer.accelerator != "cpu" and torch.cuda.is_available() else "cpu"
    torch.set_num_threads(made_by.trainer.threads)
    # As in scoring: what the tokenizer opens every text with, and before nothing the token that begins a document.
    before = [*getattr(tokenizer, "opening", ()), *tokenizer.encode(prompt)]
    before = before or [getattr(tokenizer, "start", tokenizer.end)]
    shown = Shown(lambda tokens: tokenizer.decode([*before, *tokens]), ends(tokenizer, made_by.data.template))
    decode(
        model.to(device),
        [before],
        sampler=config.sampler.build(),
        max_new_tokens=config.tokens,
        opening=opening(run, model, tokenizer, made_by),
        stop=shown,
        generator=torch.Generator(device).manual_seed(config.seed),
        text=tokenizer.size,
    )
    shown.finish()


def _text(prompt: str) -> str:
    """The prompt's own text, or that of stdin; bytes of a command line that are no UTF-8 come as lone surrogates."""
    try:
        given = sys.stdin.buffer.read() if prompt == "-" else prompt.encode(errors="surrogateescape")
        return given.decode()
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        raise UserError(f"The prompt is not UTF-8 text (at {error.start}).") from None


class Shown:
    """Prints new text as tokens come, never half a letter; says when an end has come.

    decode: new tokens to the whole text, the prompt's included. ends: the tokens that end it.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], ends: Collection[int]) -> None:
        self.decode, self.ends = decode, ends
        self.text = self.printed = decode([])
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # a terminal may know fewer letters than the model

    def __call__(self, tokens: list[int]) -> bool:
        if tokens[-1] in self.ends:
            return True
        self.text = self.decode(tokens)
        # The bytes of a letter may come in several tokens; until they are whole they decode to U+FFFD.
        self._print(self.text.rstrip("\N{REPLACEMENT CHARACTER}"))
        return False

    def finish(self) -> None:
        self._print(self.text)
        print()

    def _print(self, text: str) -> None:
        if new := text[len(self.printed) :]:
            sys.stdout.write(_harmless(new) if sys.stdout.isatty() else new)
            sys.stdout.flush()
            self.printed = text


def _harmless(text: str) -> str:
    """Without control characters, by which a model that knows nothing yet could command the terminal."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "\N{REPLACEMENT CHARACTER}", text)
