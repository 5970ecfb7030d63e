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


#: What makes the runs of some kinds shorter, beside what holds for all.
SHORTER = {"suite": ["suite.items=4"], "alignment": ["data.sequence_length=256"], "reward": ["method.answers=2"]}
TRAINED = [kind for kind in KINDS if (HERE / kind / "conf").is_dir()]


@pytest.mark.slow
@pytest.mark.parametrize("kind", TRAINED)
def test_what_its_readme_types_works(kind, tmp_path):
    """A kind that starts from another run is given one."""
    env = begun(tmp_path, kind)
    program = "import sys; from harness.cli import main; sys.exit(main(sys.argv[1:]))"
    short = ["budget.tokens=null", "budget.steps=3", "suite=null"]

    def typed(*words: str) -> None:
        command = [sys.executable, "-c", program, *words]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    words = Distribution(kind, f"my_{kind}").use.split()[1:]
    if "parents.init=<run>" in words:
        typed("train", "experiment=tiny", *short)
        (parent,) = (path.parent.name for path in tmp_path.glob("runs/*/manifest.json"))
        words = [*words[:-1], f"parents.init={parent}"]
    if kind == "suite":
        short = short[:-1]
    typed(*words, *(short if kind != "quantizer" else short[-1:]), *SHORTER.get(kind, []))
    manifests = [json.loads(path.read_text()) for path in tmp_path.glob("runs/*/manifest.json")]
    assert {manifest["state"] for manifest in manifests} == {"finished"}
    configs = [path.read_text() for path in tmp_path.glob("runs/*/config.json")]
    assert any(f'"my_{kind}"' in config for config in configs)


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
