"""The demo's study, trained for real: what it promises holds. Prints its figures (`pytest -s`)."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The folder of a finished quickstart study."""
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "harness.cli", "study", "quickstart"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    print("\n" + done.stdout)
    return folder


@pytest.fixture(scope="module")
def findings(demo):
    return {f["analysis"]: f for f in json.loads((demo / "studies/quickstart/findings.json").read_text())}


def rows(demo, sql):
    command = [sys.executable, "-m", "harness.cli", "results", "--json", "--sql", sql]
    return json.loads(subprocess.run(command, cwd=demo, capture_output=True, text=True, check=True).stdout)


GRID = "select non_embedding n, tokens d, avg(held_out_loss) loss from runs group by 1, 2"


def test_loss_falls_with_size_and_with_data_everywhere(demo):
    grid = {(r["n"], r["d"]): r["loss"] for r in rows(demo, GRID)}
    sizes, budgets = sorted({n for n, _ in grid}), sorted({d for _, d in grid})
    assert len(sizes) >= 4
    assert len(budgets) >= 3
    assert len({round(d / n, 3) for n, d in grid}) == len(grid) == len(sizes) * len(budgets)
    for d in budgets:
        losses = [grid[n, d] for n in sizes]
        assert losses == sorted(losses, reverse=True)
    for n in sizes:
        losses = [grid[n, d] for d in budgets]
        assert losses == sorted(losses, reverse=True)


def test_the_best_rung_beats_the_counting_baselines(demo):
    query = "select value from scores where task = 'held_out_python_stdlib' and metric = 'bits_per_byte' order by value"
    best = rows(demo, query)[0]["value"]
    found = {r["name"]: r for r in json.loads((demo / "studies/quickstart/baselines.json").read_text())["rows"]}
    print({"best rung": best, **{name: row["bits_per_byte"] for name, row in found.items()}})
    assert best < found["token bigram"]["bits_per_byte"]
    assert best < found["byte trigram"]["bits_per_byte"]
    assert "token trigram" in found  # beside them, win or lose
    assert all(row["low"] > 0 for name, row in found.items() if name != "token trigram")


def test_the_largest_rung_lies_inside_its_foretold_interval(findings):
    left_out = findings["power_law"]["values"]["left_out"]
    print(left_out)
    assert left_out["inside"] == left_out["of"] == 3
    assert left_out["half_width"] <= 0.15


def test_the_joint_law_says_whether_it_fits_and_shows_its_residuals(findings):
    law = findings["chinchilla"]
    assert isinstance(law["values"]["fits"], bool)
    assert law["values"]["fits"] or "does not fit" in law["sentences"][0]
    assert len(law["tables"]["residuals"]) == 12
    assert law["values"]["seed_noise"] > 0


def test_every_run_in_the_report_resolves(demo):
    page = demo / "studies/quickstart/report.html"
    linked = set(re.findall(r'href="([^"#]*runs/[0-9a-f]{12})/?"', page.read_text()))
    assert len(linked) == 16
    assert all((page.parent / path / "manifest.json").is_file() for path in linked)


def test_the_same_command_again_trains_nothing(demo):
    before = {p: p.stat().st_mtime_ns for p in Path(demo / "runs").glob("*/metrics.jsonl")}
    command = [sys.executable, "-m", "harness.cli", "study", "quickstart"]
    done = subprocess.run(command, cwd=demo, capture_output=True, text=True, check=True)
    assert "16 to reuse" in done.stderr
    assert {p: p.stat().st_mtime_ns for p in before} == before
