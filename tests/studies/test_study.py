"""A study from its file to its report, trained for real: only what is missing is done, and every number resolves."""

import json
import re
import shutil

import pytest

from harness.cli import main
from harness.files import write_json
from harness.rundir import RunDir
from harness.studies.report import write_report
from harness.studies.study import points_of


def runs(folder):
    return {path.parent.name: RunDir(path.parent) for path in (folder / "runs").glob("*/manifest.json")}


def traces(folder):
    """What training leaves behind, with the times at which it was written."""
    return {
        p: p.stat().st_mtime_ns for p in (folder / "runs").glob("*/*") if p.name in ("metrics.jsonl", "checkpoints")
    }


def test_every_run_is_trained_and_scored(finished):
    found = runs(finished)
    assert len(found) == 4
    for run in found.values():
        assert run.state() == "finished"
        assert {row["task"] for row in run.scores()} >= {"held_out_text", "pairs_bracket", "copy"}


def test_every_id_in_the_report_is_a_run_that_is_there(finished):
    page = (finished / "studies/mine/report.html").read_text()
    links = set(re.findall(r'class="id" href="([^"]+)"', page))
    assert {link.rstrip("/").split("/")[-1] for link in links} == set(runs(finished))
    assert all((finished / "studies/mine" / link / "manifest.json").is_file() for link in links)
    assert not re.search(r'<span class="id">', page), "an id without its run"


def test_the_report_states_what_was_found_and_compares_like_with_like(finished):
    findings = {f["analysis"]: f for f in json.loads((finished / "studies/mine/findings.json").read_text())}
    assert findings["power_law"]["verdict"] == findings["chinchilla"]["verdict"] == "not enough data"
    assert isinstance(findings["power_law"]["values"]["falls_everywhere"], bool)
    best = min(runs(finished).values(), key=lambda run: run.manifest()["result"]["held_out_loss"])
    (score,) = [s for s in best.scores() if (s["task"], s["metric"]) == ("held_out_text", "bits_per_byte")]
    rows = findings["baselines"]["tables"]["held-out documents"]
    assert [row["name"] for row in rows] == ["token bigram", "byte trigram", "token trigram"]
    for row in rows:
        assert row["best_run"] == pytest.approx(score["value"])
        assert row["documents"] == score["n"]
        assert row["bits_per_byte"] - row["best_run"] == pytest.approx(row["best_run_lower_by"])
    page = (finished / "studies/mine/report.html").read_text()
    assert all(sentence.split(":")[0] in page for sentence in findings["baselines"]["sentences"])


def test_the_same_command_again_trains_and_scores_nothing(here, capsys):
    before = traces(here), {name: run.scores() for name, run in runs(here).items()}
    page = (here / "studies/mine/report.html").read_bytes()
    assert main(["study", "mine.yaml", "launcher.workers=2"]) == 0
    said = capsys.readouterr()
    assert "4 runs: 4 to reuse." in said.err
    assert "- power_law: Loss" in said.out
    assert (traces(here), {name: run.scores() for name, run in runs(here).items()}) == before
    assert (here / "studies/mine/report.html").read_bytes() == page


def test_a_wider_axis_trains_only_what_is_new(here, capsys):
    before, text = traces(here), (here / "mine.yaml").read_text()
    (here / "mine.yaml").write_text(text.replace("[2048, 4096]", "[2048, 4096, 1024]"))
    assert main(["study", "mine.yaml"]) == 0
    assert "6 runs: 4 to reuse, 2 to train." in capsys.readouterr().err
    after = traces(here)
    assert {path: after[path] for path in before} == before
    assert len(runs(here)) == 6


def test_an_override_takes_an_axis_place(here, capsys):
    assert main(["study", "mine.yaml", "scale.width=16"]) == 0
    assert "2 runs: 2 to reuse." in capsys.readouterr().err


def test_scores_that_the_study_did_not_ask_for_are_named_and_not_shown(here):
    run = next(iter(runs(here).values()))
    of_another = {**run.scores()[0], "suite": "other", "task": "elsewhere", "settings": "0123"}
    run.add_scores([of_another])
    path, _ = write_report("mine", "studies")
    page = path.read_text()
    assert "elsewhere" not in page
    assert "scores that this study did not ask for, of the suites other" in page


def test_a_failed_run_is_told_and_the_report_is_made_of_the_others(here, capsys):
    """At a learning rate of 1e30 the loss is not finite."""
    text = (here / "mine.yaml").read_text()
    (here / "mine.yaml").write_text(text + "zip: {optimizer.lr: [0.015, 1.0e+30], schedule.warmup: [0.02, 0.0]}\n")
    assert main(["study", "mine.yaml", "scale.width=16", "budget.tokens=2048", "suite.problems=0"]) == 1
    said = capsys.readouterr().err
    failed = [name for name, run in runs(here).items() if run.state() == "failed"]
    assert len(failed) == 1
    assert re.search(rf"run {failed[0]} failed: .*finite.*logs/{failed[0]}\.txt", said, re.S)
    assert "Traceback" not in said
    page = (here / "studies/mine/report.html").read_text()
    assert f"Without a result, and so in no fit: 1 of 2 runs, {failed[0]} (failed)" in page


def test_a_study_without_a_result_is_a_report_too(here):
    assert main(["study", "mine.yaml", "optimizer.lr=1e30", "schedule.warmup=0", "budget.tokens=2048"]) == 1
    assert "in no fit: 2 of 2 runs" in (here / "studies/mine/report.html").read_text()


def test_a_study_without_a_suite_has_no_baselines(here):
    lines = (here / "mine.yaml").read_text().splitlines()
    (here / "mine.yaml").write_text("\n".join(line for line in lines if "suite." not in line))
    assert main(["study", "mine.yaml", "suite=null", "runs=others", "budget.tokens=1024"]) == 0
    findings = json.loads((here / "studies/mine/findings.json").read_text())
    assert [f["analysis"] for f in findings] == ["power_law", "chinchilla"]


def test_the_other_verbs_know_the_study(here, capsys):
    (here / "studies/mine/report.html").unlink()
    assert main(["report", "mine"]) == 0
    assert (here / "studies/mine/report.html").is_file()
    capsys.readouterr()
    assert main(["fit", "mine", "analysis=power_law", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["values"]["points"] == 4
    assert main(["status", "mine", "--json"]) == 0
    assert {(r["id"], r["state"]) for r in json.loads(capsys.readouterr().out)} == {
        (id, "finished") for id in runs(here)
    }
    assert main(["plan", "mine.yaml", "--json"]) == 0
    assert {r["run"] for r in json.loads(capsys.readouterr().out)["runs"]} == set(runs(here))


def test_a_study_is_known_from_any_folder_and_after_a_move(here, tmp_path_factory, monkeypatch, capsys):
    moved = tmp_path_factory.mktemp("elsewhere") / "moved"
    shutil.copytree(here, moved)
    monkeypatch.chdir(moved.parent)
    assert main(["status", str(moved / "studies/mine"), "--json"]) == 0
    assert {row["state"] for row in json.loads(capsys.readouterr().out)} == {"finished"}
    assert main(["report", str(moved / "studies/mine")]) == 0


def test_what_is_no_study_is_refused_in_a_sentence(here, capsys):
    (here / "studies/mine/study.json").write_text('{"name": "mine"}')
    for verb in ("report", "fit", "status"):
        assert main([verb, "mine"]) == 2
        assert "is not what `harness study` writes" in " ".join(capsys.readouterr().err.split())


def test_a_sweep_that_cannot_be_leaves_nothing(here, capsys):
    assert main(["study", "mine.yaml", "runs=others", "studies=elsewhere", "data.sequence_length=0"]) == 2
    assert not (here / "others").exists()
    assert not (here / "elsewhere").exists()


def test_a_report_is_written_where_a_runs_plugin_is_not_installed_any_more(here, capsys):
    for run in runs(here).values():
        config = run.config()
        config["architecture"]["attention"] = {"name": "mean"}
        write_json(run.path / "config.json", config)
        run.update_manifest(code={**run.manifest()["code"], "versions": {"harness-gadgets": "0.3"}})
    assert main(["report", "mine"]) == 0
    page = (here / "studies/mine/report.html").read_text()
    assert re.search(r"No baselines stand beside the scores. Run \w+ was made with the attention mean", page)
    assert "Its manifest names harness-gadgets 0.3: install that." in page
    assert all(f"{name}/" in page for name in runs(here)), "every run stands in it"


def test_no_law_is_fitted_to_losses_of_two_kinds(here, capsys):
    """As if half of the study had been trained on other tokens."""
    for run in list(runs(here).values())[:2]:
        run.update_manifest(identity={**run.manifest()["identity"], "data": "in other tokens"})
    assert main(["fit", "mine", "analysis=power_law"]) == 2
    said = "No law is fitted, since the losses are of 2 kinds, clm (nats per token): the corpus, what is held out of it"
    assert said in " ".join(capsys.readouterr().err.split())
    assert main(["report", "mine"]) == 0
    assert said in (here / "studies/mine/report.html").read_text()
    assert json.loads((here / "studies/mine/findings.json").read_text())[0]["values"].get("points", 0) == 0


def test_the_n_of_a_law_is_what_one_token_uses(here):
    run = next(iter(runs(here).values()))
    model = run.manifest()["model"]
    (dense,) = points_of([run])
    assert dense.N == model["non_embedding"]
    run.update_manifest(
        model={**model, "parameters": model["parameters"] + 1000, "non_embedding": model["non_embedding"] + 1000}
    )
    (point,) = points_of([run])
    assert point.N == dense.N, "a thousand parameters more, of experts that a token is not given to"
    assert point.C == 6 * point.N * point.D
