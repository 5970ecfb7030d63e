"""Where a run was asked what its parent was not."""

from harness.files import write_json
from harness.results.losses import asked_otherwise
from harness.rundir import RunDir


def a_run(runs, id, data, init=None):
    run = RunDir(runs / id)
    write_json(run.path / "config.json", {"method": {"name": "clm"}})
    run.update_manifest(identity={"data": data, **({"parents": {"init": init}} if init else {})})
    return run


def test_a_run_of_other_data_than_its_parents_is_pointed_to_the_suite_that_asks_both_the_same(tmp_path):
    parent = a_run(tmp_path, "parent", "text")
    said = asked_otherwise(a_run(tmp_path, "sft", "talks", "parent@6"))
    assert "sft was asked what its own data hold out, and parent, from which it starts, has other data" in said
    assert "suite=stages" in said
    assert asked_otherwise(parent) == ""
    assert asked_otherwise(a_run(tmp_path, "more", "text", "parent@6")) == "", "the same data hold out the same"
    assert asked_otherwise(a_run(tmp_path, "alone", "talks", "gone@6")) == "", "there is nothing to compare it with"
