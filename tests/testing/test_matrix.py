"""What goes with what: pairings work, are refused with the sentence that a user reads, or fail with their fault."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from typing import Any

import broken_parts as parts
import pytest
import torch
from broken_methods import Causal

from harness.cli import main
from harness.composition import run_config
from harness.config import ConfigError, option, plugin_config
from harness.interfaces.architecture import ArchitectureConfig
from harness.planning.plan import resolve
from harness.registry import Entry, registry
from harness.testing.matrix import FAILS, NO, WORKS, Cell, matrix
from harness.testing.pairing import (
    Pairing,
    leaks,
    leaves_without_gradient,
    scores_otherwise,
    scores_wrongly,
    sees_what_it_foretells,
)
from harness.testing.parts import in_transformer
from harness.testing.tiny import tiny
from harness_plugins.objective.clm.clm import CausalLanguageModelling


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a Config class a plugin of some kind and name."""

    def add(kind: str, name: str, config: type) -> None:
        monkeypatch.setitem(registry().entries, (kind, name), [Entry(kind, name, config, "mine", "1")])

    return add


def cells(**only: str) -> list[Cell]:
    return list(matrix(only))


def objective(method: type) -> Any:
    """clm, made by another class."""
    return type(method.__name__, (Causal,), {"made_by": method})


# -------------------------------------------------------------------------------------- tiny Configs


@dataclass(kw_only=True)
class Unseen(ArchitectureConfig):
    """An architecture that nobody knows, large as it stands."""

    width: int = option(4800, "channels")
    layers: int = option(96, "layers")
    temperature: float = option(0.7, "of something")


@dataclass(kw_only=True)
class Large(Unseen):
    def check(self) -> None:
        if self.width < 100:
            raise ConfigError(f"width={self.width} is too small")


def test_a_plugin_that_nobody_knows_is_made_small_by_the_names_of_its_options(register):
    register("architecture", "unseen", Unseen)
    small = tiny("architecture", "unseen")
    assert (small.width, small.layers, small.temperature) == (16, 2, 0.7)


def test_one_that_refuses_to_be_so_small_stays_as_it_is(register):
    register("architecture", "unseen", Large)
    large = tiny("architecture", "unseen")
    assert (large.width, large.layers) == (4800, 96)


def test_parts_are_made_small_with_it():
    assert tiny("architecture", "transformer").attention.heads == 2


def test_what_has_no_defaults_is_tried_as_its_example():
    assert set(tiny("objective", "mixture").objectives) == {"clm", "fim"}


# ------------------------------------------------------------------------------------- the pairings


def test_what_cannot_be_is_said_as_a_run_says_it():
    (cell,) = cells(objective="mlm", architecture="mamba2")
    with pytest.raises(ConfigError) as refused:
        resolve(run_config(["objective=mlm", "architecture=mamba2", "tokenizer=bytes"]).with_seeds())
    assert (cell.says, cell.why) == (NO, str(refused.value))


def test_an_objective_meets_every_architecture():
    found = {cell.of["architecture"]: cell for cell in cells(objective="clm")}
    assert set(found) == set(registry().names("architecture"))
    refused = found.pop("encoder_decoder")
    assert refused.says == NO
    assert "trains a decoder" in refused.why
    assert {cell.says for cell in found.values()} == {WORKS}


def test_a_head_that_a_method_needs_is_put_in():
    for architecture in ("transformer", "lstm", "mamba2"):
        (cell,) = cells(objective="mtp", architecture=architecture)
        assert cell.says == WORKS, cell.why
    (cell,) = cells(objective="mtp", architecture="ngram")
    assert cell.why.endswith("has language_model and no other.")


def test_counts_of_ngrams_see_the_batches_that_a_mixture_holds():
    (cell,) = cells(objective="mixture", architecture="ngram")
    assert cell.says == WORKS, cell.why


@pytest.mark.parametrize("kind", ["adapter", "quantizer"])
def test_adapters_and_quantizers_meet_architectures(kind):
    name = registry().names(kind)[0]
    (works,), (no,) = (cells(**{kind: name, "architecture": of}) for of in ("transformer", "ngram"))
    assert works.says == WORKS, works.why
    assert no.says == NO
    assert "has no matrix" in no.why


def test_a_part_is_paired_with_all_others():
    found = cells(position="alibi", architecture="transformer")
    assert {cell.says for cell in found} == {WORKS, NO}
    rows = [cell.of for cell in found if cell.says == WORKS]
    assert {row["position"] for row in rows} == {"alibi"}
    assert {row["norm"] for row in rows} >= set(registry().names("norm"))
    assert any("attention=linear does not add one" in cell.why for cell in found)


# --------------------------------------------------------------------------------- what is broken


def leaky(module: type) -> type:
    return type(parts.attention(module))


def test_a_part_that_leaks_fails_in_every_row_with_the_sentence(register, capfd):
    register("attention", "leaky", leaky(parts.SeesOneTokenAhead))
    assert main(["plugins", "matrix", "attention=leaky", "architecture=transformer", "--json"]) == 1
    told = json.loads(capfd.readouterr().out)
    rows = [row for row in told if row["says"] != NO]
    assert rows
    assert {row["says"] for row in rows} == {FAILS}
    assert all("A leak under Causal" in row["why"] for row in rows)


def test_an_architecture_that_leaks_fails_with_every_objective(register):
    @dataclass(kw_only=True)
    class Leaky(type(in_transformer())):
        def build(self, vocabulary: int) -> Any:
            return super().build.__func__(replaced(self), vocabulary)

    def replaced(config: Any) -> Any:
        return replace(in_transformer(), attention=parts.attention(parts.SeesOtherDocuments, heads=2))

    register("architecture", "leaky", Leaky)
    (cell,) = cells(objective="clm", architecture="leaky")
    assert cell.says == FAILS
    assert "A leak under Causal & SameDocument, in a batch of the objective" in cell.why


class ShowsWhatItAsks(CausalLanguageModelling):
    """Inputs and targets are not shifted against each other."""

    def prepare(self, sequences, randomness):
        batch = super().prepare(sequences, randomness)
        return replace(batch, inputs_BT=batch.targets_BT)


class Fails(CausalLanguageModelling):
    def losses(self, model, batch):
        raise ValueError("something of its own")


class LearnsNothing(CausalLanguageModelling):
    def losses(self, model, batch):
        return {"clm": super().losses(model, batch)["clm"] * 0.0}


class NotFinite(CausalLanguageModelling):
    def losses(self, model, batch):
        return {"clm": super().losses(model, batch)["clm"] / 0.0}


class TwiceTheLoss(CausalLanguageModelling):
    def losses(self, model, batch):
        return {"clm": 2 * super().losses(model, batch)["clm"]}


@pytest.mark.parametrize(
    ("method", "words"),
    [
        (ShowsWhatItAsks, "What is foretold is seen"),
        (Fails, "ValueError: something of its own"),
        (LearnsNothing, "gets no gradient from the objective"),
        (NotFinite, "The loss clm is inf"),
    ],
)
def test_a_broken_objective_fails_with_its_fault(method, words, register):
    register("objective", "broken", objective(method))
    (cell,) = cells(objective="broken", architecture="transformer")
    assert cell.says == FAILS
    assert words in cell.why


def test_a_plugin_that_cannot_be_made_is_told_and_the_others_are_tried(register):
    class NeedsAName(type(plugin_config("norm", "rmsnorm", "norm"))):
        def check(self) -> None:
            raise ConfigError("say which one")

    register("norm", "nameless", NeedsAName)
    (cell,) = [cell for cell in cells(norm="nameless", architecture="rwkv") if cell.of.get("norm") == "nameless"]
    assert (cell.says, cell.why) == (NO, "norm: say which one")


def test_sound_pairings_pass_every_check():
    for name, architecture in (("mlm", "transformer"), ("prefix", "encoder_decoder"), ("sft", "gru")):
        pairing = Pairing(tiny("objective", name), tiny("architecture", architecture))
        for check in (leaks, sees_what_it_foretells, leaves_without_gradient, scores_wrongly):
            assert check(pairing) is None


def test_a_score_that_depends_on_the_batch_is_found():
    config = in_transformer(attention=parts.attention(parts.DependsOnOtherRows))
    said = scores_wrongly(Pairing(tiny("objective", "clm"), config, across=True))
    assert said is not None
    assert "alone and" in said


def test_a_score_that_is_not_a_number_is_found():
    pairing = Pairing(tiny("objective", "clm"), in_transformer())
    with torch.no_grad():
        pairing.model.body.embedding_VC.fill_(torch.nan)
    assert "is nan" in (scores_wrongly(pairing) or "")


def test_a_loss_that_the_score_does_not_agree_with_is_found():
    config = objective(TwiceTheLoss)(name="twice")
    said = scores_otherwise(Pairing(config, in_transformer(), across=True))
    assert said is not None
    assert "the loss of the same rows clm" in said


# ---------------------------------------------------------------------------------------- the verb


def test_tables_with_numbered_sentences(capfd):
    assert main(["plugins", "matrix", "objective=prefix"]) == 0
    told = capfd.readouterr()
    assert "no [1]" in told.out
    assert "[1] objective=prefix asks for Prefix visibility" in told.out
    assert "0 fail" in told.err


def test_a_fault_stands_in_the_table_and_ends_with_one(register, capfd):
    register("objective", "broken", objective(Fails))
    assert main(["plugins", "matrix", "objective=broken", "architecture=transformer"]) == 1
    out = capfd.readouterr().out
    assert "FAILS [1]" in out
    assert "[1] objective=broken architecture=transformer: ValueError: something of its own" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["objective=clmm"], "Did you mean clm"),
        (["objektive=clm"], "Did you mean objective"),
        (["clm"], "say kind=name"),
        (["norm=rmsnorm", "objective=clm"], "no cell of the matrix"),
    ],
)
def test_what_it_does_not_understand_is_refused(words, said, capfd):
    assert main(["plugins", "matrix", *words]) == 2
    assert said in " ".join(capfd.readouterr().err.split())


@pytest.mark.slow
def test_everything_goes_with_everything_or_says_why_not():
    start = time.perf_counter()
    found = cells()
    seconds = time.perf_counter() - start
    print(f"{len(found)} cells in {seconds:.0f} s")
    assert [(cell.of, cell.why) for cell in found if cell.says == FAILS] == []
    assert all(cell.why.endswith(".") for cell in found if cell.says == NO)
    assert seconds < 360
