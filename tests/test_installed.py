"""From wheels, in an environment of their own and an empty folder: the same as in the checkout, by one code path."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GADGETS = ROOT / "tests/third_party/harness_gadgets"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def wheels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheels")
    for source in (ROOT, GADGETS):
        # Without --wheel: an sdist is made, and the wheel from that, so both have all that is needed.
        command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, source]
        subprocess.run(command, check=True, capture_output=True)
    return {path.name.split("-")[0]: path for path in folder.glob("*.whl")}


@pytest.fixture(scope="session")
def environment(tmp_path_factory, wheels):
    """A new environment that sees this one's dependencies but not its harness, and has both wheels installed."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin/python"
    packages = next((folder / "lib").glob("python*")) / "site-packages"
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")  # its own .pth files are not read
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--no-deps",
        "--no-index",
        "--ignore-installed",
        "--quiet",
    ]
    subprocess.run([*install, *wheels.values()], check=True)
    return folder


@pytest.fixture
def harness(environment, tmp_path):
    """Runs the installed command in an empty folder with an empty home."""
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()

    def run(*words, **variables):
        env = {"PATH": os.environ["PATH"], "HOME": str(home), "OMP_NUM_THREADS": "1", **variables}
        return subprocess.run([environment / "bin/harness", *words], cwd=work, env=env, capture_output=True, text=True)

    run.work = work
    return run


def test_it_is_the_wheel_that_runs(environment):
    code = "import harness, harness.plugins; print(harness.__file__, harness.plugins.config_folder())"
    out = subprocess.run(
        [environment / "bin/python", "-c", code], capture_output=True, text=True, check=True, cwd="/"
    ).stdout
    assert all(path.startswith(str(environment)) for path in out.split())


def test_a_default_run_trains_and_is_released_code(harness):
    done = harness("train", "experiment=tiny", "budget.tokens=4096", "suite=null")
    assert done.returncode == 0, done.stderr
    (manifest,) = [json.loads(path.read_text()) for path in (harness.work / "runs").glob("*/manifest.json")]
    assert manifest["state"] == "finished"
    assert manifest["code"]["released"]
    assert sorted(path.name for path in harness.work.iterdir()) == ["runs"]


def test_the_presets_and_sweeps_are_in_the_wheel(harness):
    planned = harness("plan", "quickstart", "--json")
    assert planned.returncode == 0, planned.stderr
    assert len(json.loads(planned.stdout)["runs"]) == 16


def test_what_new_plugins_are_written_from_is_in_the_wheel(harness):
    written = harness("plugins", "new", "tracker", "own")
    assert written.returncode == 0, written.stderr
    source = harness.work / "harness-tracker-own/src"
    listed = json.loads(
        harness("plugins", "--json", HARNESS_PLUGINS="harness_tracker_own", PYTHONPATH=str(source)).stdout
    )
    assert [row["health"] for row in listed if row["name"] == "own"] == ["healthy"]
    assert (source / "harness_tracker_own/conf/experiment/own.yaml").is_file()


def test_without_plugins_help_works_and_train_says_what_is_missing(harness):
    assert harness("--help", HARNESS_PLUGINS="none").returncode == 0
    assert harness("train", "--help", HARNESS_PLUGINS="none").returncode == 0
    listed = harness("plugins", HARNESS_PLUGINS="none")
    assert (listed.returncode, "No plugin is loaded" in listed.stdout) == (0, True)
    done = harness("train", HARNESS_PLUGINS="none")
    assert done.returncode == 2
    assert "No plugin is loaded" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(harness.work.iterdir()) == []


def test_a_strangers_plugins_are_used_by_name_and_overridden(harness):
    listed = {(row["kind"], row["name"]): row for row in json.loads(harness("plugins", "--json").stdout)}
    for key in [("attention", "mean"), ("objective", "skip"), ("suite", "counting")]:
        assert listed[key]["from"] == "harness-gadgets"
        assert listed[key]["version"] == "1.2.3"
        assert listed[key]["health"] == "healthy"
    help_text = harness("train", "--help").stdout
    assert "A stranger's preset: the transformer with a mean for attention." in help_text

    done = harness(
        "train", "experiment=gadgets", "architecture.attention.gain=0.5", "objective.distance=3", "suite.items=3"
    )
    assert done.returncode == 2
    assert (
        "method.distance" in done.stderr or "objective" in done.stderr
    )  # the field is `method`, and the message says so

    done = harness(
        "train", "experiment=gadgets", "architecture.attention.gain=0.5", "method.distance=3", "suite.items=3"
    )
    assert done.returncode == 0, done.stderr
    run = next((harness.work / "runs").glob("*/manifest.json")).parent
    config = json.loads((run / "config.json").read_text())
    assert config["architecture"]["attention"] == {"name": "mean", "heads": 1, "gain": 0.5}
    assert config["method"] == {"name": "skip", "distance": 3, "logits_chunk": None}
    scores = json.loads((run / "scores.json").read_text())
    assert {(s["suite"], s["task"], s["metric"], s["n"]) for s in scores} == {("counting", "counting", "accuracy", 3)}


def test_the_harness_knows_none_of_their_names():
    source = "\n".join(path.read_text() for path in (ROOT / "harness").rglob("*.py"))
    assert "gadget" not in source
    assert "meany" not in source
