"""A run's id is a hash of what determines its result, and of nothing else."""

from dataclasses import dataclass, replace

import pytest

from harness.composition import run_config
from harness.config import Config, option
from harness.identity import code, determining, flat_difference, identity, run_id
from harness.registry import Entry, registry


@pytest.fixture(scope="module")
def config():
    return run_config(["experiment=tiny"])


def id_of(config, **resolved):
    return run_id(identity(config, **{"data": "d", "vocabulary": 512, "steps": 10, **resolved}))


@pytest.mark.parametrize(
    "override",
    ["seed=1", "seeds.init=7", "data.batch_size=4", "trainer.precision=bf16", "architecture.width=64", "architecture/position=learned",
     "optimizer.lr=0.1", "schedule=linear", "trainer.gradient_clip=0.5", "architecture.attention.heads=4",
     "watch.on_spike=skip"],
)  # fmt: skip
def test_what_determines_the_result_changes_the_id(config, override):
    assert id_of(run_config(["experiment=tiny", override])) != id_of(config)


@pytest.mark.parametrize(
    "override",
    ["trainer.micro_batch=2", "trainer.threads=2", "data.workers=3", "runs=/elsewhere", "reuse=any", "trainer.log_every=1",
     "trainer.checkpoints=3", "launcher.workers=2", "suite=null", "trainer.deterministic=false", "budget.tokens=7",
     "watch.validate_every=5", "watch.spike=9"],
)  # fmt: skip
def test_what_does_not_determine_it_leaves_the_id(config, override):
    assert id_of(run_config(["experiment=tiny", override])) == id_of(config)


@pytest.mark.parametrize(
    ("changes", "by"),
    [(["watch.patience=2", "watch.validate_every=5"], "watch.validate_every=7"), (["watch.on_spike=skip"], "watch.spike=9")],
)  # fmt: skip
def test_what_is_watched_determines_the_result_where_something_is_done_about_it(changes, by):
    assert id_of(run_config(["experiment=tiny", *changes, by])) != id_of(run_config(["experiment=tiny", *changes]))


def test_resolved_values_stand_for_what_they_came_from(config):
    assert id_of(config, steps=11) != id_of(config)
    assert id_of(config, data="other content") != id_of(config)
    assert id_of(config, vocabulary=513) != id_of(config)


def test_a_seed_spelled_out_is_the_same_run(config):
    assert id_of(run_config(["experiment=tiny", "seeds.init=0", "seeds.data=0", "seeds.noise=0"])) == id_of(config)


def test_a_new_field_with_its_neutral_value_changes_no_old_id():
    @dataclass(kw_only=True)
    class Old(Config):
        width: int = option(3, "width")

    @dataclass(kw_only=True)
    class New(Old):
        extra: float = option(0.0, "a later idea", neutral=0.0)

    assert determining(New()) == determining(Old())
    assert determining(New(extra=0.5)) != determining(Old())


@pytest.mark.parametrize(
    ("overrides", "kind", "name"),
    [
        ([], "norm", "rmsnorm"),
        ([], "corpus", "python_stdlib"),
        (["corpus=stdlib_and_problems"], "corpus", "synthetic"),
        (["+architecture.blocks={a:{norm:layernorm}}", "architecture.pattern=[a]"], "norm", "layernorm"),
    ],
)
def test_a_raised_results_version_of_any_plugin_used_changes_the_id(monkeypatch, overrides, kind, name):
    run = run_config(["experiment=tiny", *overrides])
    before = id_of(run)
    monkeypatch.setattr(registry().get(kind, name), "results_version", 2)
    assert id_of(run) != before


def test_the_digest_follows_the_code_of_the_plugins_used(config):
    other = run_config(["experiment=tiny", "architecture/position=learned"])
    assert code(config)["digest"] != code(other)["digest"]
    assert code(config)["digest"] == code(replace(config, runs="elsewhere"))["digest"]


def test_two_configs_differ_where_a_result_does():
    one = run_config(["experiment=tiny", "corpus=synthetic"])
    changed = ["architecture.layers=5", "optimizer.frozen=[a]", "trainer.threads=3"]
    other = run_config(["experiment=tiny", "corpus=synthetic", *changed])
    assert flat_difference(one, one) == {}
    assert flat_difference(other, one) == {"architecture.layers": (5, 2), "optimizer.frozen": (["a"], None)}


def test_a_second_owner_of_a_name_changes_no_id_and_has_ids_of_its_own(monkeypatch):
    """A config that was made before names the plugin as it did; after that it is said with its distribution."""
    words = ["experiment=tiny", "architecture/norm=layernorm"]
    before = run_config(words)
    own = registry().entries["norm", "layernorm"]
    stranger = type("Stranger", (own[0].config,), {})
    monkeypatch.setitem(
        registry().entries, ("norm", "layernorm"), [*own, Entry("norm", "layernorm", stranger, "other", "1")]
    )
    ours, theirs = (run_config([words[0], f"architecture/norm={of}:layernorm"]) for of in ("harness-lm", "other"))
    assert id_of(ours) == id_of(before)
    assert id_of(theirs) != id_of(before)
