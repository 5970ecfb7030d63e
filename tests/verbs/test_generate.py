"""harness generate: text as it comes, whole letters only, the same for the same seed."""

import io
import os
import sys
from pathlib import Path

import pytest

from harness.cli import main
from harness.config import plugin_config
from harness.verbs.generate import Shown


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with one tiny run of bytes, which knows little: its text has control characters and broken UTF-8."""
    folder, before = tmp_path_factory.mktemp("generate"), Path.cwd()
    os.chdir(folder)
    words = ["experiment=tiny", "budget.tokens=4096", "suite=null", "tokenizer=bytes", "trainer.checkpoints=2"]
    words += [
        "optimizer.lr=0.1",
        "corpus=synthetic",
        "corpus.documents=100",
    ]  # so that two checkpoints have different things to say
    assert main(["train", *words]) == 0
    yield folder
    os.chdir(before)


def run_of(folder):
    return next((folder / "runs").glob("*/manifest.json")).parent


def said(capsys, *words):
    capsys.readouterr()
    assert main(["generate", f"run={run_of(Path.cwd()).name}", *words]) == 0
    return capsys.readouterr().out


def test_the_same_seed_gives_the_same_text_and_another_another(folder, capsys):
    texts = [said(capsys, "prompt=def f", f"seed={seed}", "tokens=40") for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    assert 20 < len(texts[0]) <= 41


def test_the_sampler_and_its_options_count(folder, capsys):
    greedy = said(capsys, "prompt=a", "sampler=greedy", "tokens=16")
    assert said(capsys, "prompt=a", "sampler=categorical", "sampler.top_k=1", "tokens=16", "seed=9") == greedy
    assert said(capsys, "prompt=a", "sampler.temperature=5", "tokens=16") != greedy


def test_a_prompt_is_text_as_it_stands(folder, capsys, monkeypatch):
    """Hydra's grammar has a meaning for brackets, commas, dollars and quotes; a prompt has none of it."""
    prompt = "f(a, b) = {x: '${y}', \"z\": [1e5]}\\\n"
    by_word = said(capsys, f"prompt={prompt}", "tokens=16")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(prompt.encode())))
    assert said(capsys, "prompt=-", "tokens=16") == by_word
    assert said(capsys, "tokens=16") != by_word  # a document's beginning


@pytest.mark.parametrize("prompt", ["-", os.fsdecode(b"ab\xff")], ids=["stdin", "argument"])
def test_a_prompt_that_is_no_text_is_refused(prompt, folder, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"ab\xff")))
    assert main(["generate", f"run={run_of(folder)}", f"prompt={prompt}"]) == 2
    assert "The prompt is not UTF-8 text (at 2)" in capsys.readouterr().err


def test_any_checkpoint_that_is_there(folder, capsys):
    assert (
        said(capsys, "checkpoint=2", "tokens=8") != said(capsys, "checkpoint=4", "tokens=8") == said(capsys, "tokens=8")
    )
    assert main(["generate", f"run={run_of(folder).name}", "checkpoint=3"]) == 2
    assert "no whole checkpoint at step 3. Whole are: 2, 4." in " ".join(capsys.readouterr().err.split())


# ------------------------------------------------------------------------------------ what is shown


class Stream(io.StringIO):
    """Remembers what came in each piece."""

    def __init__(self, terminal: bool = False) -> None:
        super().__init__()
        self.pieces, self.terminal = [], terminal

    def write(self, text):
        self.pieces.append(text)
        return super().write(text)

    def isatty(self):
        return self.terminal


def shown(monkeypatch, tokens, before=(), terminal=False):
    stream, bytes_ = Stream(terminal), plugin_config("tokenizer", "bytes", "tokenizer").train(())
    monkeypatch.setattr(sys, "stdout", stream)
    one = Shown(lambda new: bytes_.decode([*before, *new]), {bytes_.end})
    ended = [one(list(tokens[: n + 1])) for n in range(len(tokens))]
    one.finish()
    return stream.pieces, ended


def test_letters_of_several_bytes_come_whole(monkeypatch):
    pieces, _ = shown(monkeypatch, "aé€😀b".encode())
    assert pieces == ["a", "é", "€", "😀", "b", "\n"]


def test_bytes_that_are_no_letter_are_shown_once_that_is_known(monkeypatch):
    pieces, _ = shown(monkeypatch, b"a\xffb\xf0\x9f")
    assert pieces == ["a", "\ufffdb", "\ufffd", "\n"]


def test_the_prompt_is_not_said_again(monkeypatch):
    assert shown(monkeypatch, b"bc", before=b"a")[0] == ["b", "c", "\n"]
    assert "".join(shown(monkeypatch, "é".encode()[1:] + b"x", before="aé".encode()[:2])[0]).endswith("x\n")


def test_it_stops_at_the_end_token(monkeypatch):
    assert shown(monkeypatch, [97, 256]) == (["a", "\n"], [False, True])


def test_a_terminal_is_not_commanded_by_a_model(monkeypatch):
    assert shown(monkeypatch, b"\x1b[2J\n\ta\x07", terminal=True)[0] == list("\ufffd[2J\n\ta\ufffd\n")
    assert "".join(shown(monkeypatch, b"\x1b[2J")[0]) == "\x1b[2J\n"
