"""A sweep file becomes typed configs: what is varied, what takes its place, and who wins."""

import pytest

from harness.composition import run_config
from harness.config import ConfigError
from harness.errors import UserError
from harness.studies.expansion import expand
from harness.studies.overrides import with_overrides
from harness.studies.stages import rows_of
from harness.studies.sweep import Sweep
from harness.studies.sweep_file import load_sweep


@pytest.fixture
def sweep(tmp_path):
    """Makes a sweep from the text of its file."""

    def make(text: str) -> Sweep:
        (tmp_path / "mine.yaml").write_text(text)
        return load_sweep(str(tmp_path / "mine.yaml"))

    return make


def of(configs, *paths):
    """What stands at dotted paths of each config."""

    def at(config, path):
        for key in path.split("."):
            config = getattr(config, key)
        return config

    return [tuple(at(config, path) for path in paths) for config in configs]


def test_axes_are_multiplied_and_zip_goes_side_by_side(sweep):
    rows = sweep(
        "axes: {seed: [0, 1], data.batch_size: [2, 4]}\nzip: {budget.tokens: [10, 20], optimizer.lr: [1, 2]}"
    ).rows()
    found = [(r["seed"], r["data.batch_size"], r["budget.tokens"], r["optimizer.lr"]) for r in rows]
    assert found == [(s, b, t, lr) for s in (0, 1) for b in (2, 4) for t, lr in ((10, 1), (20, 2))]


def test_without_anything_to_vary_a_sweep_is_one_run(sweep):
    assert expand(sweep("base: [seed=3]"))[0].seed == 3


def test_the_axis_wins_over_the_base_and_the_base_over_the_presets(sweep):
    configs = expand(sweep("base: [experiment=tiny, data.batch_size=3, seed=9]\naxes: {seed: [0, 1]}"))
    assert of(configs, "seed", "data.batch_size", "architecture.width") == [(0, 3, 32), (1, 3, 32)]


def test_a_group_can_be_an_axis_and_brings_its_own_options(sweep):
    configs = expand(sweep("axes: {architecture/position: [rotary, learned], suite: [null, offline]}"))
    names = [(c.architecture.position.name, c.suite and c.suite.name) for c in configs]
    assert names == [("rotary", None), ("rotary", "offline"), ("learned", None), ("learned", "offline")]
    assert configs[2].architecture.position.length == 1024


def test_what_follows_from_the_scale_follows_it_on_every_rung(sweep):
    configs = expand(sweep("base: [scale=ladder]\naxes: {scale.width: [32, 64], seed: [0, 1]}"))
    found = of(configs, "architecture.width", "architecture.layers", "optimizer.lr", "seed")
    assert found == [(32, 2, 0.015, 0), (32, 2, 0.015, 1), (64, 4, 0.0075, 0), (64, 4, 0.0075, 1)]


def test_what_a_persons_preset_computes_from_an_axis_follows_it(sweep, tmp_path, monkeypatch):
    (tmp_path / "conf/experiment").mkdir(parents=True)
    preset = "# @package _global_\noptimizer:\n  lr: ${ratio:0.5,${architecture.width}}\n"
    (tmp_path / "conf/experiment/mine.yaml").write_text(preset)
    monkeypatch.chdir(tmp_path)
    configs = expand(sweep("base: [experiment=mine]\naxes: {architecture.width: [32, 64]}"))
    assert of(configs, "optimizer.lr") == [(0.5 / 32,), (0.5 / 64,)]


def test_an_axis_may_give_what_a_group_cannot_do_without(sweep):
    configs = expand(sweep("base: [corpus=text]\naxes: {corpus.path: [here, there]}"))
    assert of(configs, "corpus.path") == [("here",), ("there",)]


def test_a_row_is_the_run_that_its_overrides_give_on_the_command_line(sweep):
    configs = expand(
        sweep("base: [scale=ladder]\naxes: {scale.width: [48], optimizer.betas: [[0.9, 0.99]], seed: [2]}")
    )
    assert configs == [run_config(["scale=ladder", "scale.width=48", "optimizer.betas=[0.9,0.99]", "seed=2"])]


# -------------------------------------------------------------------------------------- overrides


def test_an_override_changes_the_base_or_takes_the_place_of_what_is_varied(sweep):
    before = sweep(
        "base: [seed=1]\naxes: {data.batch_size: [2, 4]}\nzip: {budget.tokens: [1, 2], optimizer.lr: [1, 2]}"
    )
    after = with_overrides(before, ["seed=5", "data.batch_size=8", "optimizer.lr=0.1,0.2"])
    assert after.base == ("seed=1", "seed=5")
    assert after.axes == {"data.batch_size": [8], "optimizer.lr": [0.1, 0.2]}
    assert after.zip == {"budget.tokens": [1, 2]}
    assert {c.seed for c in expand(after)} == {5}
    assert len(expand(after)) == 4
    assert before.axes == {"data.batch_size": [2, 4]}


@pytest.mark.parametrize(
    ("override", "values"),
    [
        ("seed=0,1,2", [0, 1, 2]),
        ("seed=range(3)", [0, 1, 2]),
        ("optimizer.lr=1e-3,2e-3", [0.001, 0.002]),
        ("optimizer.betas=[0.9,0.99],[0.9,0.95]", [[0.9, 0.99], [0.9, 0.95]]),
        ("corpus.path='a b',yes", ["a b", "yes"]),
        ("suite=null,offline", [None, "offline"]),
    ],
)
def test_several_values_are_read_as_hydra_reads_them(sweep, override, values):
    assert with_overrides(sweep("base: [seed=3]"), [override]).axes == {override.split("=")[0]: values}


@pytest.mark.parametrize("override", ["seed", "seed=glob(*)", "optimizer.lr=interval(0,1)", "a=b=c"])
def test_an_override_that_names_no_values_is_refused_in_a_sentence(sweep, override):
    with pytest.raises(UserError, match="is not key=value"):
        with_overrides(sweep("base: [seed=3]"), [override])


def test_an_override_of_what_single_stages_set_is_refused(sweep):
    staged = sweep("stages: {trunk: {base: [+budget.tokens=10]}, decay: {zip: {budget.tokens: [20]}, base: [seed=1]}}")
    with pytest.raises(UserError, match="budget.tokens is set by the stages trunk, decay of mine"):
        with_overrides(staged, ["budget.tokens=30"])
    assert with_overrides(staged, ["data.batch_size=2,4"]).axes == {"data.batch_size": [2, 4]}


# ------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"mine\.yaml is empty: a sweep says what its runs are"),
        ("# nothing but words", r"mine\.yaml is empty"),
        ("- a", "must be a mapping"),
        ("a: [", "is not YAML"),
        ("base: [a\naxes: {}", r"is not YAML: line 2, column \d+: expected ',' or '\]'"),
        ("axis: {}", "Did you mean axes"),
        ("axes: {seed: 3}", "map each key to a list"),
        ("axes: {seed: []}", "map each key to a list"),
        ("base: seed=1", "base must be a list"),
        ("zip: {seed: [1, 2], data.batch_size: [1]}", "seed 2, data.batch_size 1"),
        ("axes: {seed: [1]}\nzip: {seed: [1]}", "seed stands under axes and under zip"),
        ("analyses: [chinchila]", r"mine\.yaml: .* Did you mean chinchilla"),
        ("analyses: [{name: chinchilla, misfit: -1}]", "misfit=-1.0 is too small"),
        ("stages: [trunk]", "stages must map the name of each stage"),
        ("stages: {trunk: 3}", r"stages\.trunk must be a mapping with parents, base, axes, zip"),
        ("stages: {trunk: {basis: []}}", r"stages\.trunk: basis is not a key of a stage\. Did you mean base"),
        ("stages: {trunk: {zip: {seed: [1, 2], data.batch_size: [1]}}}", r"stages\.trunk.*seed 2, data.batch_size 1"),
        ("stages: {decay: {parents: {continue: trunk}}, trunk: {}}", "trunk is no stage before it"),
        (
            "stages: {trunk: {}, decay: {parents: {continue: trunc@3}}}",
            "trunc@3 is no stage before it. Did you mean trunk",
        ),
        ("stages: {trunk: {}, decay: {parents: {goes_on: trunk}}}", "goes_on is no role of a parent"),
    ],
)
def test_a_file_that_is_no_sweep_says_why(sweep, text, said):
    with pytest.raises(UserError, match=said):
        sweep(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("axes: {data.bach_size: [1]}", "Did you mean data.batch_size|Did you mean batch_size"),
        ("axes: {data.batch_size: [many]}", "not a whole number"),
        ("axes: {architecture/position: [rotery]}", "Did you mean rotary"),
        ("base: [seed]", "cannot be read as key=value"),
    ],
)
def test_a_row_that_is_no_run_says_why(sweep, text, said):
    with pytest.raises(UserError, match=said):
        expand(sweep(text))


def test_a_row_that_is_no_run_says_where_it_stands(sweep):
    alibi = "architecture/position=alibi, architecture.position.theta=3"
    with pytest.raises(ConfigError, match=r"^\S*mine\.yaml, variant alibi: .*theta"):
        expand(sweep(f"base: [experiment=tiny]\nvariants: {{plain: [], alibi: [{alibi}]}}"))
    with pytest.raises(ConfigError, match=r"^\S*mine\.yaml: .*not a whole number"):
        expand(sweep("axes: {data.batch_size: [many]}"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("variants: {plain: [], odd: [architecture.attention.heads=5]}", r"mine\.yaml, variant odd: .*heads"),
        ("stages: {trunk: {}, sft: {base: [architecture.attention.heads=5]}}", r"mine\.yaml, stage sft: .*heads"),
        ("stages: {trunk: {}, sft: {base: [optimizer.lr=high]}}", r"mine\.yaml, stage sft: .*optimizer\.lr"),
    ],
)
def test_a_run_that_cannot_be_says_which_one_of_the_sweep_it_is(sweep, text, said):
    with pytest.raises(UserError, match=said):
        rows_of(sweep(f"base: [experiment=tiny, corpus=synthetic, tokenizer=bytes, suite=null]\n{text}"))


def test_a_sweep_is_found_by_name_here_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "power law" in load_sweep("quickstart").question
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps/quickstart.yaml").write_text("question: mine\n")
    assert load_sweep("quickstart").question == "mine"
    with pytest.raises(UserError, match="Did you mean quickstart"):
        load_sweep("quikstart")
