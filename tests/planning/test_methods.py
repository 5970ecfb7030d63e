"""An alignment takes the objective's place, and leans on other runs."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from harness.composition import run_config
from harness.config import ConfigError, option
from harness.interfaces.corpus import PREFERENCES
from harness.interfaces.method import AlignmentConfig
from harness.planning.plan import Plan, resolve
from harness.registry import Entry, registry
from harness.studies.expansion import expand
from harness.studies.overrides import with_overrides
from harness.studies.sweep import Sweep

SMALL = ["experiment=tiny", "tokenizer=bytes", "corpus=synthetic"]


@dataclass(kw_only=True)
class Toy(AlignmentConfig):
    """Stays near a reference. It reads documents, so that it fits any corpus of text."""

    leans_on: ClassVar[tuple[str, ...]] = ("reference",)
    beta: float = option(0.1, "how near")

    def cut(self) -> str:
        return "sequences"


@dataclass(kw_only=True)
class Picky(AlignmentConfig):
    """Reads preferences and makes no language model."""

    reads: ClassVar[str] = PREFERENCES
    likelihood: ClassVar[str | None] = None


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    for config in (Toy, Picky):
        name = config.__name__.lower()
        monkeypatch.setitem(registry().entries, ("alignment", name), [Entry("alignment", name, config, "tests", "0")])


def method(*words: str) -> Any:
    return run_config([*SMALL, *words]).method


def test_without_an_alignment_the_objective_stands():
    assert method().name == method("alignment=null").name == method("alignment=toy", "alignment=null").name == "clm"
    assert method("objective=sft", "alignment=null").name == "sft"


def test_an_alignment_takes_the_place_of_the_objective():
    assert isinstance(method("alignment=toy"), Toy)
    assert isinstance(method("objective=null", "alignment=toy"), Toy)
    assert isinstance(method("alignment=toy", "objective=null"), Toy)
    assert isinstance(method("~objective", "alignment=toy"), Toy)
    assert method("objective=sft", "alignment=null").name == "sft"


@pytest.mark.parametrize("words", [["objective=clm", "alignment=toy"], ["alignment=toy", "objective=clm"]])
def test_both_are_refused(words: list[str]):
    with pytest.raises(ConfigError, match=r"^objective=clm and alignment=toy are both chosen, and .*: keep one\.$"):
        method(*words)


PRESETS = {
    "whole": ["override /objective: null", "override /alignment: toy"],
    "half": ["override /alignment: toy"],
    "answers": ["override /objective: sft"],
}


@pytest.fixture
def presets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf/experiment").mkdir(parents=True)
    for name, listed in PRESETS.items():
        text = "".join(f"  - {entry}\n" for entry in listed)
        (tmp_path / f"conf/experiment/{name}.yaml").write_text(f"# @package _global_\ndefaults:\n{text}")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("presets")
def test_what_a_person_says_takes_the_place_of_what_a_preset_says():
    assert isinstance(run_config(["experiment=whole"]).method, Toy)
    assert run_config(["experiment=whole", "objective=sft"]).method.name == "sft"
    assert run_config(["experiment=whole", "objective=sft", "alignment=null"]).method.name == "sft"
    assert isinstance(run_config(["experiment=answers", "alignment=toy"]).method, Toy)


@pytest.mark.usefixtures("presets")
def test_a_preset_that_leaves_the_objective_is_refused():
    with pytest.raises(ConfigError, match=r"objective=clm and alignment=toy are both .* `override /objective: null`"):
        run_config(["experiment=half"])


def test_a_sweep_that_chooses_both_is_refused():
    sweep = Sweep(name="s", base=(*SMALL, "objective=clm"), axes={"alignment": [None, "toy"]})
    with pytest.raises(ConfigError, match=r"^s: objective=clm and alignment=toy are both chosen"):
        expand(sweep)
    one, other = expand(replace(sweep, base=tuple(SMALL)))
    assert (one.method.name, other.method.name) == ("clm", "toy")


def test_of_a_sweep_an_override_takes_the_place_of_both():
    sweep = Sweep(name="s", base=(*SMALL, "objective=sft"))
    (config,) = expand(with_overrides(sweep, ["alignment=toy"]))
    assert config.method.name == "toy"


def test_its_options_stand_under_method():
    assert method("alignment=toy", "method.beta=0.5").beta == 0.5
    with pytest.raises(ConfigError, match=r"options of an alignment stand under method"):
        method("alignment=toy", "alignment.beta=0.5")
    with pytest.raises(ConfigError, match=r"logits_chunk"):  # the objective's are gone with it
        method("alignment=toy", "method.logits_chunk=8")


def test_an_unknown_alignment_is_told():
    with pytest.raises(ConfigError, match=r"^alignment=tuy is unknown\. Did you mean toy\?"):
        method("alignment=tuy")


def test_what_reads_preferences_refuses_documents():
    with pytest.raises(ConfigError, match=r"^alignment=picky reads preferences, and corpus=synthetic holds documents"):
        resolve(run_config([*SMALL, "alignment=picky"]))


def test_what_gives_no_likelihoods_cannot_be_scored(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Picky, "reads", "documents")
    monkeypatch.setattr(Picky, "cut", Toy.cut)
    with pytest.raises(ConfigError, match=r"alignment=picky makes a model that gives no likelihoods: say suite=null"):
        resolve(run_config([*SMALL, "alignment=picky", "suite=offline"]))
    resolve(run_config([*SMALL, "alignment=picky", "suite=null"]))


def planned(*words: str) -> Plan:
    return resolve(run_config([*SMALL, *words]))


def test_what_it_leans_on_is_what_it_starts_from_where_nothing_else_is_given():
    parent, other = planned("seed=1"), planned("seed=2")
    runs = {plan.id: plan for plan in (parent, other)}
    child = [*SMALL, "alignment=toy", f"parents.init={parent.id}"]
    alone = resolve(run_config(child), runs)
    assert alone.parents["reference"] == alone.parents["init"]
    assert alone.parents["init"].path.name == parent.id
    beside = resolve(run_config([*child, f"parents.reference={other.id}"]), runs)
    assert beside.parents["reference"].path.name == other.id
    assert len({alone.id, beside.id, planned().id}) == 3


def test_a_run_that_leans_on_nothing_it_was_given_is_refused():
    with pytest.raises(ConfigError, match=r"alignment=toy leans on a reference and has none: give parents.reference"):
        planned("alignment=toy")


def test_a_parent_that_the_method_has_no_use_for_is_refused():
    parent = planned("seed=1")
    with pytest.raises(ConfigError, match=rf"parents.reference={parent.id}: clm leans on no reference"):
        resolve(run_config([*SMALL, f"parents.reference={parent.id}"]), {parent.id: parent})
