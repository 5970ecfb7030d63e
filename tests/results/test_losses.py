"""Which losses are values of one thing, and where a run was asked what its parent was not."""

from harness.files import write_json
from harness.results.losses import asked_otherwise, kinds_of_loss, why_unlike
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


def a_manifest(method, data="text", **parents):
    identity = {"config": {"method": method}, "data": data, "parents": parents}
    return {"id": "-", "identity": identity, "result": {"train_loss": 1.0}, "model": {"loss_in": "nats"}}


def test_losses_beside_different_references_are_unlike_and_the_start_is_one_where_no_other_is_given():
    dpo = {"name": "dpo"}
    alone, other = a_manifest(dpo, init="a@6"), a_manifest(dpo, init="a@6", reference="b@6")
    assert 'dpo leans on another run in a (reference="a@6") than in b (reference="b@6")' in why_unlike(alone, other)
    assert why_unlike(alone, a_manifest(dpo, **{"continue": "c@6"}, reference="a@6")) == ""
    assert why_unlike(a_manifest(dpo, init="b@6"), other) == ""
    clm = {"name": "clm"}
    assert why_unlike(a_manifest(clm, init="a@6"), a_manifest(clm, init="b@6")) == "", "it leans on nothing"


def test_a_kind_of_loss_is_of_one_method_with_its_options_and_of_one_data():
    runs = [
        a_manifest({"name": "mlm", "rate": rate}, data) for rate in (0.15, 0.4) for data in ("in bytes", "in subwords")
    ]
    assert kinds_of_loss([*runs, *reversed(runs)]) == runs
