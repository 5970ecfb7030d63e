"""Tab: verbs, groups, names, keys, values and ids, in a real shell."""

import os
import pty
import resource
import select
import shutil
import subprocess
import sys
import time

import pytest

from harness.cli import VERBS, main
from harness.verbs.completion import SHELLS, candidates


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with two runs, a study and a sweep, as far as names go; and the command on the path."""
    monkeypatch.chdir(tmp_path)
    for path in ("runs/0123456789ab/manifest.json", "runs/ba9876543210/manifest.json", "studies/mine/study.json"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text("{}")
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "own.yaml").write_text("")
    command = tmp_path / "bin" / "harness"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m harness.cli "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")
    return tmp_path


LINES = {
    "harness tra": ["train"],
    "harness train architecture/pos": ["architecture/position="],
    "harness train architecture=llama2_1": ["architecture=llama2_13b"],
    "harness train architecture/position=l": ["architecture/position=learned"],
    "harness train data.batch": ["data.batch_size="],
    "harness train architecture/position=learned architecture.position.len": ["architecture.position.length="],
    "harness train architecture=gpt2_124m architecture.lay": ["architecture.layers="],
    "harness train trainer.precision=bf16-": ["trainer.precision=bf16-true"],
    "harness train alignment=grpo method.norm": ["method.normalize="],
    "harness train alignment=grpo alignment/reward=b": ["alignment/reward=brackets"],
    "harness train alignment=grpo method.reward.": ["method.reward.least="],
    "harness train trainer.compile=": ["trainer.compile=false", "trainer.compile=true"],
    "harness train -m optimizer=adamw,ada": ["optimizer=adamw,adamw"],
    "harness train parents.init=01": ["parents.init=0123456789ab"],
    "harness score run=": ["run=0123456789ab", "run=ba9876543210"],
    "harness score runs=elsewhere run=": [],
    "harness generate sampler.temp": ["sampler.temperature="],
    "harness diff b": ["ba9876543210"],
    "harness export b": ["ba9876543210"],
    "harness train parents.": ["parents.continue=", "parents.init=", "parents.reference=", "parents.teacher="],
    "harness study quick": ["quickstart"],
    "harness study ow": ["own"],
    "harness report m": ["mine"],
    "harness results --j": ["--json"],
    "harness completion z": ["zsh"],
    "harness nothing ": [],
    "harness train nothing=": [],
}


@pytest.mark.parametrize("line", LINES)
def test_the_words_that_the_last_one_may_become(line, here):
    assert candidates(line) == LINES[line]


def test_nothing_typed_yet_gives_every_verb(here):
    assert candidates("harness ") == sorted(VERBS)


# -------------------------------------------------------------------------------------- in the shell


def in_bash(line, words, breaks=None):
    """COMPREPLY after Tab at the end of a line. words: as bash splits it, of which the last is replaced."""
    script = f"""
    eval "$(harness completion bash)"
    {f"COMP_WORDBREAKS='{breaks}'" if breaks else ""}
    COMP_LINE={line!r} COMP_POINT={len(line)} COMP_WORDS=({" ".join(map(repr, words))}) COMP_CWORD={len(words) - 1}
    $(complete -p harness | sed 's/.*-F \\([^ ]*\\).*/\\1/')
    printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_bash_replaces_what_stands_behind_the_equals_sign(here):
    assert in_bash("harness tra", ["harness", "tra"]) == ["train"]
    assert in_bash("harness train architecture=llama2_1", ["harness", "train", "architecture", "=", "llama2_1"]) == [
        "llama2_13b"
    ]
    assert in_bash("harness score run=", ["harness", "score", "run", "="]) == ["0123456789ab", "ba9876543210"]
    whole = in_bash("harness score run=b", ["harness", "score", "run=b"], breaks=" ")
    assert whole == ["run=ba9876543210"]


def typed(keys, expected, seconds=60):
    """Whether a terminal with bash shows a text after some keys were hit."""
    child, terminal = pty.fork()
    if child == 0:
        os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
    seen = ""
    try:
        os.write(terminal, b"PS1=; bind 'set bell-style none'; eval \"$(harness completion bash)\"; echo re''ady\n")
        for text, wait in (("", "ready\r\n"), (keys, expected)):
            os.write(terminal, text.encode())
            end = time.monotonic() + seconds
            while wait not in seen and time.monotonic() < end:
                if select.select([terminal], [], [], 0.2)[0]:
                    seen += os.read(terminal, 4096).decode(errors="replace")
            if wait not in seen:
                return seen
        return expected
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(terminal)


def test_a_person_hits_tab(here):
    """A verb is finished by a space, a key by its equals sign alone, a value behind it."""
    keys = "harness scor\trun=b\tcheckp\t"
    assert typed(keys, "score run=ba9876543210 checkpoint=") == "score run=ba9876543210 checkpoint="


@pytest.mark.skipif(not shutil.which("fish"), reason="there is no fish here")
def test_fish(here):
    script = 'harness completion fish | source; complete -C "harness train architecture=llama2_1"'
    done = subprocess.run(["fish", "--no-config", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["architecture=llama2_13b"]


@pytest.mark.parametrize("shell", [shell for shell in SHELLS if shutil.which(shell)])
def test_the_scripts_are_understood(shell, here, capsys):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert subprocess.run([shell, "-n"], input=script, text=True, check=False).returncode == 0


# -------------------------------------------------------------------------------------------- quick


def test_an_answer_comes_within_a_second_and_without_torch(here):
    """In seconds of the processor, the least of three."""
    code = (
        "import sys; from harness.cli import main; main(['completion', '--line', 'harness train arch']);"
        "assert not {'torch', 'hydra', 'omegaconf', 'numpy'} & set(sys.modules), 'something heavy was imported'"
    )
    taken = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    print(f"{min(taken):.2f} s")
    assert min(taken) < 0.5


@pytest.mark.parametrize(
    ("words", "said"), [([], "needs a shell"), (["tcsh"], "Known are bash"), (["bash", "x"], "found")]
)
def test_other_shells_are_refused(words, said, capsys):
    assert main(["completion", *words]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_only_runs_are_offered_as_runs(here):
    shutil.copytree(here / "runs" / "0123456789ab", here / "runs" / ".aside-1")
    (here / "runs" / "notes").mkdir()
    assert candidates("harness score run=") == ["run=0123456789ab", "run=ba9876543210"]


def test_a_slot_that_no_group_fills_is_completed_where_it_stands():
    assert "suite.preferences=" in candidates("harness train suite=stages suite.pre")
    assert "suite.reward=parses" in candidates("harness train suite=stages suite.reward=")
    assert not [word for word in candidates("harness train suite=stages suite.text.") if word]
