"""Masked language modelling: what is chosen, what is shown in its place, and what is learned of it."""

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.cli import main
from harness.composition import run_config
from harness.config import ConfigError, plugin_config
from harness.data.borders import borders, words_of
from harness.interfaces.batch import Batch, Sequences
from harness.interfaces.method import Setting
from harness.interfaces.visibility import Full
from harness.launch.run import carry_out
from harness.planning.plan import resolve
from harness.rundir import RunDir

TEXTS = ["def double(value):\n    return value + value\n", "one two  three four five\n"]
END, MASK = 256, 257  # of bytes, with a mask behind them


def config(**values: Any) -> Any:
    return plugin_config("method", {"name": "mlm", **values}, "method")


def tokenizer(name: str = "bytes", **options: Any) -> Any:
    return plugin_config("tokenizer", {"name": name, **options}, "tokenizer").train(TEXTS)


def mlm(across: bool = True, of: Any = None, **values: Any) -> Any:
    of = of or tokenizer()
    return config(**values).build(Setting(tokenizer=of, attend_across_documents=across, extra={"[MASK]": of.size}))


def rows(tokens_BS: Any, first: int = 0) -> Sequences:
    tokens_BS = np.array(tokens_BS)
    return Sequences(tokens_BS, np.cumsum(tokens_BS == END, axis=1), first + np.arange(len(tokens_BS)))


def prepared(method: Any, sequences: Sequences, seed: int = 0) -> Batch:
    return method.prepare(sequences, lambda place: np.random.default_rng((seed, place)))


def many(rows_: int = 200, length: int = 101) -> Sequences:
    """Bytes and ends by chance."""
    return rows(np.random.default_rng(5).integers(0, 257, (rows_, length)))


def is_within(hits: float, trials: float, share: float) -> bool:
    """Five standard deviations of a binomial."""
    return abs(hits - trials * share) <= 5 * math.sqrt(trials * share * (1 - share))


# ------------------------------------------------------------------------------------ what is chosen


def test_shares_are_those_that_are_asked_for():
    sequences = many()
    batch = prepared(mlm(), sequences)
    inputs_BT, targets_BT, chosen_BT = batch.inputs_BT, batch.targets_BT, batch.weights_BT > 0
    text, chosen = int((targets_BT != END).sum()), int(chosen_BT.sum())
    hidden = int((inputs_BT == MASK).sum())
    same = int((inputs_BT[chosen_BT] == targets_BT[chosen_BT]).sum())
    assert is_within(chosen, text, 0.15)
    assert is_within(hidden, chosen, 0.8)
    assert is_within(same, chosen, 0.1 + 0.1 / 256)
    assert is_within(chosen - hidden - same, chosen, 0.1 * 255 / 256)


@given(st.integers(0, 2**32), st.booleans(), st.floats(0.001, 1), st.floats(0, 1))
def test_the_text_stands_in_the_batch_and_only_chosen_tokens_are_changed(
    seed: int, whole_words: bool, rate: float, masked: float
):
    sequences = rows(np.random.default_rng(seed).choice([32, 97, 98, END], (3, 20)), first=seed)
    batch = prepared(mlm(rate=rate, masked=masked, random=1 - masked, whole_words=whole_words), sequences, seed)
    chosen_BT = batch.weights_BT > 0
    assert batch.targets_BT.tolist() == sequences.tokens_BS[:, :-1].tolist()
    assert (batch.inputs_BT == batch.targets_BT)[~chosen_BT].all()
    assert not chosen_BT[batch.targets_BT == END].any(), "the end is no text"
    assert not (batch.inputs_BT[chosen_BT] == END).any(), "and never replaces any"
    assert batch.weights_BT.unique().tolist() in ([0.0], [1.0], [0.0, 1.0])


def test_replacements_are_any_token_of_text_and_no_other():
    batch = prepared(mlm(rate=1, masked=0, random=1), many())
    shown = np.bincount(batch.inputs_BT[batch.weights_BT > 0], minlength=258)
    assert (shown[:256] > 0).all()
    assert shown[256:].tolist() == [0, 0]


def test_no_replacement_is_a_number_without_a_token():
    """Of 2000 that were asked for the few words have some 550 pieces."""
    of = tokenizer("wordpiece", size=2000)
    batch = prepared(
        mlm(rate=1, masked=0, random=1, of=of), rows(np.random.default_rng(5).integers(0, 256, (200, 101)))
    )
    shown = np.bincount(batch.inputs_BT[batch.weights_BT > 0])
    assert shown.nonzero()[0].tolist() == [token for token in range(of.size) if of.decode([token])]
    assert (shown > 0).sum() < 1000


def test_chance_is_keyed_by_the_place_alone():
    sequences = many(rows_=6)
    whole = prepared(mlm(), sequences)
    apart = [prepared(mlm(), sequences.rows(slice(row, row + 1))) for row in range(6)]
    assert torch.equal(whole.inputs_BT, torch.cat([one.inputs_BT for one in apart]))
    elsewhere = prepared(mlm(), Sequences(sequences.tokens_BS, sequences.documents_BS, sequences.places_B + 1))
    assert not torch.equal(whole.inputs_BT, elsewhere.inputs_BT)


def test_whole_words_are_chosen_or_left_as_one():
    of = tokenizer()
    tokens = [*of.encode(" ".join(["alpha", "be", "gammas"] * 40)), END]
    batch = prepared(mlm(whole_words=True, rate=0.3), rows([tokens] * 50))
    chosen = 0
    for tokens_T, weights_T in zip(batch.targets_BT.numpy(), batch.weights_BT.numpy(), strict=True):
        words_T = words_of(tokens_T, *borders(of, []))
        of_words = [set(weights_T[words_T == word].tolist()) for word in range(words_T[-1] + 1)]
        assert all(len(weights) == 1 for weights in of_words)
        chosen += sum(1.0 in weights for weights in of_words)
    assert is_within(chosen, 50 * (words_T[-1] + 1), 0.3)


def test_shares_of_more_than_all_are_refused():
    with pytest.raises(ConfigError, match="masked=0.8 and random=0.3"):
        config(random=0.3)


# ------------------------------------------------------------------------------------ what is learned


@pytest.mark.parametrize("across", [True, False])
def test_the_loss_is_that_of_a_slow_reference(transformer: Any, across: bool):
    """Token by token, each document by itself where they do not see each other."""
    torch.manual_seed(0)
    model = transformer(width=16, init_std=0.4).build(258).double().eval()
    method = mlm(across, rate=0.4)
    batch = prepared(method, rows(np.random.default_rng(1).choice([97, 98, 99, END], (3, 17))))
    expected, count = 0.0, 0
    for row in range(3):
        ends = [0, *np.flatnonzero(batch.targets_BT[row] == END).tolist(), 16] if not across else [0, 16]
        for start, stop in pairwise(ends):
            if start == stop:
                continue
            logits_TV = model.logits(batch.inputs_BT[row : row + 1, start:stop], visibility=Full())[0]
            for place in range(start, stop):
                if batch.weights_BT[row, place]:
                    p_V = torch.softmax(logits_TV[place - start].detach(), dim=-1)
                    expected -= math.log(float(p_V[batch.targets_BT[row, place]]))
                    count += 1
    assert method.counts(batch) == {"mlm": count}
    for chunk in (None, 5):
        method.config.logits_chunk = chunk
        assert float(method.losses(model, batch)["mlm"].detach()) == pytest.approx(expected, rel=1e-9)


def test_it_asks_to_see_all_of_its_row_or_of_its_document():
    across, within = prepared(mlm(), rows([[97, END, 98, 99]])), prepared(mlm(False), rows([[97, END, 98, 99]]))
    assert (across.documents_BT, across.positions_BT) == (None, None)
    assert within.documents_BT.tolist() == [[0, 1, 1]]
    assert within.positions_BT.tolist() == [[0, 0, 1]]
    assert config().asks() == {Full}


# ------------------------------------------------------------------------------------ what it comes to

TINY = ["experiment=tiny", "objective=mlm", "tokenizer=bytes"]


def plan_of(*words: str) -> Any:
    return resolve(run_config([*TINY, *words]).with_seeds())


def test_it_writes_no_text():
    with pytest.raises(ConfigError, match="writes no text: say watch.sample_every=null"):
        plan_of("corpus=synthetic", "watch.sample_every=5")


@pytest.mark.parametrize("quantized", [False, True])
def test_a_run_of_it_is_scored_by_its_pseudo_likelihood_and_generates_nothing(
    tmp_path: Path, capsys: Any, quantized: bool
):
    """So is one that was quantized, which has no method of its own."""
    small = ["corpus=python_stdlib", "data.sequence_length=32", "suite=null"]
    plan = plan_of(*small, "budget.tokens=null", "budget.steps=2", f"runs={tmp_path}")
    carry_out(plan, quiet=True)
    if quantized:
        plan = plan_of(*small, "objective=null", "quantizer=int8", f"parents.init={plan.id}", f"runs={tmp_path}")
        carry_out(plan, quiet=True)

    assert main(["score", f"run={plan.id}", "suite=offline", "suite.limit=4", f"runs={tmp_path}"]) == 0
    scores = RunDir(tmp_path / plan.id).scores()
    assert {row["likelihood"] for row in scores} == {"masked"}
    assert {("held_out_python_stdlib", "bits_per_byte"), ("pairs_keyword", "accuracy")} <= {
        (row["task"], row["metric"]) for row in scores
    }
    assert main(["generate", f"run={plan.id}", "prompt=a", f"runs={tmp_path}"]) == 2
    assert "it writes no text" in " ".join(capsys.readouterr().err.split())


def test_tasks_that_ask_it_to_write_are_left_out_and_said(tmp_path: Path, caplog: Any):
    small = ["corpus=synthetic", "corpus.documents=40", "data.sequence_length=64", "suite=null"]
    plan = plan_of(*small, "budget.tokens=null", "budget.steps=1", f"runs={tmp_path}")
    carry_out(plan, quiet=True)
    assert main(["score", f"run={plan.id}", "suite=offline", "suite.limit=4", f"runs={tmp_path}"]) == 0
    assert "copy, induction, addition cannot be asked of a model of masked likelihood" in caplog.text
    assert {row["task"] for row in RunDir(tmp_path / plan.id).scores()} == {"held_out_synthetic"}


@pytest.mark.slow
@pytest.mark.parametrize("words", [[], ["method.whole_words=true"]])
def test_it_learns_from_what_stands_around(tmp_path: Path, words: list[str]):
    """Below the entropy of the bytes' frequencies, which is what can be known of a byte without the others."""
    sizes = ["budget.tokens=500000", "optimizer.lr=0.01", f"runs={tmp_path}"]
    plan = plan_of("corpus=python_stdlib", "suite=null", *words, *sizes)
    carry_out(plan, quiet=True)
    counts = np.bincount(plan.dataset().stream(0).sequences(0, 500).tokens_BS[:, :-1].ravel())
    p = counts[counts > 0] / counts.sum()
    entropy = -(p * np.log(p)).sum()
    assert RunDir(tmp_path / plan.id).manifest()["result"]["held_out_loss"] < 0.9 * entropy
