"""`harness plugins new` writes, for every kind, a distribution that works as it stands."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cli import main
from harness.help import group_of
from harness.hookspecs import KINDS
from harness.registry import is_name
from harness.scaffold import HERE, USES, Distribution, write
from harness.verbs.completion import candidates

PYTEST = [sys.executable, "-m", "pytest", "-m", "not slow", "-p", "no:cacheprovider", "--import-mode=importlib", "-v"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def begun(folder: Path, *kinds: str) -> dict[str, str]:
    """A distribution of each kind in a folder, and the environment in which they are found without being installed."""
    made = {kind: Distribution(kind, f"my_{kind}") for kind in kinds}
    for kind, one in made.items():
        write(one, folder / kind)
    return {
        **os.environ,
        "HARNESS_PLUGINS": ",".join(one.package for one in made.values()),
        "PYTHONPATH": os.pathsep.join(str(folder / kind / "src") for kind in kinds),
    }


def test_there_is_one_for_every_kind():
    assert {path.parent.name for path in HERE.glob("*/test_mine.py")} == set(KINDS)


def test_its_tests_pass_as_written(tmp_path):
    env = begun(tmp_path, "schedule")
    done = subprocess.run(PYTEST, cwd=tmp_path / "schedule", env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "test_its_presets_compose PASSED" in done.stdout


@pytest.mark.slow
def test_the_tests_of_every_kind_pass_as_written(tmp_path):
    env = begun(tmp_path, *KINDS)
    done = subprocess.run(PYTEST, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    for kind in KINDS:
        for test in ("test_plugin", "test_found"):
            assert re.search(rf"^{kind}/tests/{test}\.py.* PASSED", done.stdout, re.M)


#: Kinds that stand in one run together.
TOGETHER = [
    "attention",
    "position",
    "feedforward",
    "norm",
    "head",
    "objective",
    "optimizer",
    "schedule",
    "corpus",
    "tokenizer",
    "suite",
    "tracker",
]
SHORT = ["budget.tokens=null", "budget.steps=3", "data.sequence_length=64"]
PREFERENCES = [{"prompt": f"{n} and", "chosen": f" {n + 1}", "rejected": f" {n}"} for n in range(40)]
#: What starts from another run, and how.
FROM_A_RUN = {
    "adapter": ["experiment=my_adapter", "suite=null", *SHORT],
    "quantizer": ["experiment=my_quantizer", "suite=null"],
    "alignment": ["experiment=tiny", "alignment=my_alignment", "corpus=examples", "corpus.path=pairs.jsonl",
                  "suite=null", *SHORT],
    "reward": ["experiment=tiny", "alignment=grpo", "alignment/reward=my_reward", "corpus=examples",
               "corpus.path=prompts.jsonl", "suite=null", *SHORT, "method.group=2", "method.max_new_tokens=4"],
}  # fmt: skip


def typed(folder: Path, env: dict[str, str], *words: str) -> dict[str, str]:
    """The id and the config of the run that a command makes."""
    before = set(folder.glob("runs/*/manifest.json"))
    command = [sys.executable, "-m", "harness.cli", "train", *words]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (manifest,) = set(folder.glob("runs/*/manifest.json")) - before
    assert json.loads(manifest.read_text())["state"] == "finished"
    return {"id": manifest.parent.name, "config": (manifest.parent / "config.json").read_text()}


@pytest.mark.slow
def test_runs_have_them(tmp_path):
    """One run of all that can stand in one, then one of an architecture, and those that start from the first."""
    env = begun(tmp_path, *TOGETHER, "architecture", *FROM_A_RUN)
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in PREFERENCES))
    prompts = [{"prompt": row["prompt"]} for row in PREFERENCES]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in prompts))
    chosen = [f"{group_of(kind)}=my_{kind}" for kind in TOGETHER]
    made = typed(tmp_path, env, "experiment=tiny", *chosen, *SHORT, "suite.items=4", "optimizer.lr=0.1")
    for kind in TOGETHER:
        assert f'"my_{kind}"' in made["config"]
    typed(tmp_path, env, "experiment=my_architecture", "suite=null", *SHORT)
    parent = typed(tmp_path, env, "experiment=tiny", "suite=null", *SHORT)
    for kind, words in FROM_A_RUN.items():
        assert f'"my_{kind}"' in typed(tmp_path, env, *words, f"parents.init={parent['id']}")["config"]


@pytest.mark.slow
def test_installed_it_is_found_by_its_entry_point(tmp_path):
    write(Distribution("norm", "own"), tmp_path / "new")
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--quiet"]
    subprocess.run([*install, f"--target={site}", "."], cwd=tmp_path / "new", check=True, capture_output=True)
    env = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-m", "harness.cli", "plugins", "--json"]
    listed = json.loads(subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout)
    (own,) = [row for row in listed if row["name"] == "own"]
    assert own == {"kind": "norm", "name": "own", "version": "0.1.0", "from": "harness-norm-own", "health": "healthy"}
    done = subprocess.run(PYTEST, cwd=tmp_path / "new", env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_it_tells_what_it_has_written_and_what_is_next(here, capsys):
    assert main(["plugins", "new", "norm", "my-own", "to=somewhere"]) == 0
    told = capsys.readouterr().out
    written = {str(path.relative_to(here / "somewhere")) for path in here.rglob("*") if path.is_file()}
    assert written == {line.strip() for line in told.splitlines() if line.startswith("  ") and "." in line} & written
    assert "src/harness_norm_my_own/conf/experiment/my-own.yaml" in written
    assert "harness train experiment=my-own" in told
    assert (here / "somewhere").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["atention", "own"], "Did you mean attention?"),
        (["norm", "null"], "null is no name"),
        (["norm", "a.b"], "a.b is no name"),
        (["norm", "rmsnorm"], "norm=rmsnorm is owned by harness-lm already"),
        (["objective", "dpo"], "alignment=dpo is owned by harness-lm already"),
        (["norm", "tiny"], "experiment=tiny is a preset already"),
        (["norm"], "a kind and a name, two words; found norm"),
        (["norm", "own", "more"], "a kind and a name, two words"),
        (["norm", "own", "--force"], "--force is not a flag"),
        (["norm", "own", "to=there"], "there is there already, and nothing is overwritten"),
        (["norm", "own", "to=no/where"], "no is no folder"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_left(words, told, here, capsys):
    (here / "there").mkdir()
    assert main(["plugins", "new", *words]) == 2
    assert told in " ".join(capsys.readouterr().err.split())
    assert [path.name for path in here.iterdir()] == ["there"]


def test_a_disk_that_is_full_leaves_nothing_half_made(here, monkeypatch):
    monkeypatch.setattr(Path, "write_text", lambda *arguments, **options: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        write(Distribution("norm", "own"), here / "new")
    assert list(here.iterdir()) == []


@given(st.text("abcMKwn019_-", min_size=1, max_size=12).filter(is_name), st.sampled_from(KINDS))
def test_whatever_the_name_what_is_written_is_python_and_packaged_by_its_name(name, kind):
    one = Distribution(kind, name)
    files = one.files()
    project = tomllib.loads(files["pyproject.toml"])
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", project["project"]["name"])
    assert f"src/{project['project']['entry-points']['harness.plugins'][one.package]}/__init__.py" in files
    for path, text in files.items():
        assert not re.search(r"KIND|PACKAGE|DISTRIBUTION|ABOUT|scaffold|Mine", text.replace(name, "")), path
        if path.endswith(".py"):
            ast.parse(text)
    assert f'return {{"{name}":' in files[f"src/{one.package}/__init__.py"]


def test_commands_name_kinds_that_there_are():
    assert set(USES) <= set(KINDS)


def test_tab_knows_it():
    assert "new" in candidates("harness plugins n")
    assert candidates("harness plugins new lik") == ["likelihood"]
