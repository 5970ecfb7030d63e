"""A run directory is written beside and renamed, and what is damaged is known to be."""

import json

import pytest

from harness.errors import UserError
from harness.files import is_whole, new_folder, read_json, write_atomic
from harness.rundir import RunDir, open_run


def test_a_file_is_there_whole_or_not_at_all(tmp_path):
    target = tmp_path / "a.json"
    write_atomic(target, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomic(target, "new \udc80")
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_appears_only_when_it_is_filled(tmp_path):
    final = tmp_path / "step-1"
    with new_folder(final) as beside:
        (beside / "weights").write_bytes(b"123")
        assert not final.exists()
    assert is_whole(final)
    with pytest.raises(RuntimeError), new_folder(tmp_path / "step-2") as beside:
        (beside / "weights").write_bytes(b"123")
        raise RuntimeError("killed")
    assert [p.name for p in tmp_path.iterdir()] == ["step-1"]


def test_a_folder_that_is_there_already_stays_if_it_is_whole_and_is_told_if_not(tmp_path):
    def fill(content):
        with new_folder(tmp_path / "f") as beside:
            (beside / "weights").write_text(content)

    fill("first")
    fill("second")
    assert (tmp_path / "f" / "weights").read_text() == "first"
    (tmp_path / "f" / "weights").write_text("damaged")
    with pytest.raises(OSError, match="not empty"):
        fill("third")


@pytest.mark.parametrize("damage", ["flip", "cut", "missing", "no checksums", "[1]", "true", "{}", "[" * 100_000])
def test_damage_is_found(tmp_path, damage):
    with new_folder(tmp_path / "f") as beside:
        (beside / "weights").write_bytes(b"1234")
    file = tmp_path / "f" / "weights"
    if damage == "flip":
        file.write_bytes(b"1235")
    elif damage == "cut":
        file.write_bytes(b"123")
    elif damage == "missing":
        file.unlink()
    elif damage == "no checksums":
        (tmp_path / "f" / "checksums.json").unlink()
    else:
        (tmp_path / "f" / "checksums.json").write_text(damage)
    assert not is_whole(tmp_path / "f")


def test_the_newest_whole_checkpoint_is_found_behind_a_damaged_one(tmp_path):
    run = RunDir(tmp_path)
    for step in (10, 20):
        with new_folder(run.checkpoint(step)) as beside:
            (beside / "weights").write_bytes(str(step).encode())
    assert run.last_whole_checkpoint() == (20, run.checkpoint(20))
    (run.checkpoint(20) / "weights").write_bytes(b"xx")
    assert run.last_whole_checkpoint() == (10, run.checkpoint(10))


def test_a_checkpoint_before_the_end_is_not_taken_for_the_result(tmp_path):
    run = RunDir(tmp_path)
    assert run.result_step() is None
    for step in (10, 20):
        with new_folder(run.checkpoint(step)) as beside:
            (beside / "weights").write_bytes(b"1")
    run.update_manifest(state="interrupted")
    assert run.result_step() == 20
    run.update_manifest(state="finished", result={"steps": 20})
    assert run.result_step() == 20
    (run.checkpoint(20) / "weights").write_bytes(b"xx")
    with pytest.raises(UserError, match=r"ended at step 20, but .* the newest whole one is that of step 10\."):
        run.result_step()


def test_what_a_person_has_put_among_the_checkpoints_is_passed_over(tmp_path):
    for name in ("step-00000010", "step-old", "step-00000020.bak"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    assert [step for step, _ in RunDir(tmp_path).checkpoints()] == [10]


def test_metrics_lines_that_are_damaged_or_cut_short_are_passed_over_and_later_ones_forgotten(tmp_path):
    run = RunDir(tmp_path)
    run.append_metrics([{"step": s} for s in (10, 20, 30)])
    with open(tmp_path / "metrics.jsonl", "ab") as file:
        file.write(b'3\n{"stop": 35}\n{"step": "x"}\n\xff\xfe\n' + b"[" * 100_000 + b'\n{"step": 40, "lo')
    assert [row["step"] for row in run.metrics()] == [10, 20, 30]
    run.forget_metrics_after(20)
    assert [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [10, 20]


def test_a_score_takes_the_place_of_the_same_score(tmp_path):
    run = RunDir(tmp_path)
    row = {"checkpoint": 5, "task": "a", "metric": "acc", "value": 0.1}
    row |= {"run": "r", "suite": "s", "stderr": None, "n": 1, "likelihood": "causal"}
    run.add_scores([row, {**row, "metric": "f1"}])
    run.add_scores([{**row, "value": 0.2}])
    assert {(r["metric"], r["value"]) for r in run.scores()} == {("acc", 0.2), ("f1", 0.1)}
    run.add_scores([{**row, "suite": "another", "value": 0.3}])
    assert {(r["suite"], r["metric"], r["value"]) for r in run.scores()} == {
        ("s", "acc", 0.2), ("s", "f1", 0.1), ("another", "acc", 0.3),
    }  # fmt: skip


@pytest.mark.parametrize(
    "damaged", ['["row"]', "{}", "null", '[{"value": "a"}]', '[{"checkpoint": "x"}]', '[{"task": []}]']
)
def test_damaged_scores_are_told_and_not_written_over(tmp_path, damaged):
    row = {"checkpoint": 5, "task": "a", "metric": "acc", "value": 0.1}
    row |= {"run": "r", "suite": "s", "stderr": None, "n": 1, "likelihood": "causal"}
    if damaged.startswith("[{"):
        damaged = json.dumps([{**row, **json.loads(damaged)[0]}])
    (tmp_path / "scores.json").write_text(damaged)
    for touch in (RunDir(tmp_path).scores, lambda: RunDir(tmp_path).add_scores([row])):
        with pytest.raises(UserError, match=r"scores.json is damaged: .* score the run again"):
            touch()
    assert (tmp_path / "scores.json").read_text() == damaged


def test_a_manifest_that_is_not_what_was_written_is_told(tmp_path):
    run = RunDir(tmp_path)
    written = {"id": "x", "state": "finished", "result": {"held_out_loss": 1.25, "2": [None, 1e-300]}, "é": ""}
    run.update_manifest(**written)
    assert run.manifest() == written
    file = tmp_path / "manifest.json"
    file.write_text(file.read_text().replace("1.25", "1.35"))
    for read in (run.manifest, run.state, lambda: run.update_manifest(state="new")):
        with pytest.raises(UserError, match=r"manifest.json is damaged: .* retrain=true makes the run anew"):
            read()


def test_a_run_is_named_by_folder_id_or_the_beginning_of_it(tmp_path):
    for id in ("abc123", "abd456"):
        RunDir(tmp_path / id).update_manifest(id=id)
    assert open_run("abc", str(tmp_path)).id == "abc123"
    assert open_run(str(tmp_path / "abd456"), "nowhere").id == "abd456"
    with pytest.raises(UserError, match="could be abc123, abd456"):
        open_run("ab", str(tmp_path))
    with pytest.raises(UserError, match="There is no run zz"):
        open_run("zz", str(tmp_path))
    for nobody in ("", "/nowhere/abc123", "abc*", "a/../abc123"):
        with pytest.raises(UserError, match="There is no run"):
            open_run(nobody, str(tmp_path))


def test_a_damaged_json_file_is_named(tmp_path):
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(UserError, match=r"manifest\.json cannot be read"):
        read_json(tmp_path / "manifest.json")
    for name, read in (("manifest.json", RunDir(tmp_path).manifest), ("config.json", RunDir(tmp_path).config)):
        (tmp_path / name).write_text("[1]")
        with pytest.raises(UserError, match=rf"{name} cannot be read"):
            read()
