"""Several tokens ahead: against a loop over places and offsets, and as a user chooses it."""

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from harness.composition import run_config
from harness.config import ConfigError
from harness.interfaces.batch import Sequences
from harness.interfaces.method import Setting
from harness.interfaces.visibility import Causal
from harness.models.counting import account
from harness.models.meta import build_on_meta
from harness.planning.plan import resolve
from harness.registry import registry

VOCABULARY, ROWS, LENGTH = 20, 3, 9
RNG = np.random.default_rng(0)
TOKENS_BS = RNG.integers(0, VOCABULARY, (ROWS, LENGTH + 1))
DOCUMENTS_BS = np.cumsum(RNG.random((ROWS, LENGTH + 1)) < 0.2, axis=1)
SEQUENCES = Sequences(TOKENS_BS, DOCUMENTS_BS, np.arange(ROWS))


def mtp(attend_across_documents=True, **values):
    setting = Setting(tokenizer=None, attend_across_documents=attend_across_documents)
    return registry().get("objective", "mtp")(name="mtp", **values).build(setting)


def prepare(method, rows=slice(None)):
    return method.prepare(SEQUENCES.rows(rows), lambda place: None)


def build(transformer, offsets=3, **head):
    torch.manual_seed(0)
    config = transformer(head={"name": "mtp", "offsets": offsets, **head}, init_std=0.5)
    return config.build(VOCABULARY)


@torch.no_grad()
def by_hand(model, batch, offset):
    """−log p of the token `offset` places on, of each place that has one: each row, place by place."""
    nats = []
    for row in range(ROWS):
        for place in range(LENGTH - offset + 1):
            shown = batch.inputs_BT[row : row + 1, : place + 1]
            hidden_C = model.body(shown, visibility=Causal()).hidden_BTC[0, -1]
            if offset > 1:
                z = model.heads["mtp"].blocks[offset - 2].weight @ hidden_C
                hidden_C = hidden_C + z * torch.sigmoid(z)
            logits_V = model.heads["language_model"].weight @ hidden_C
            nats.append(-logits_V.log_softmax(0)[TOKENS_BS[row, place + offset]].item())
    return nats


@pytest.mark.parametrize("chunk", [None, 4])
def test_the_loss_is_the_sum_of_each_offsets_mean(transformer, chunk):
    model, method = build(transformer), mtp(logits_chunk=chunk)
    batch = prepare(method)
    losses, counts = method.losses(model, batch), method.counts(batch)
    means = [float(np.mean(by_hand(model, batch, offset))) for offset in (1, 2, 3)]
    assert float(losses["mtp"].detach()) / counts["mtp"] == pytest.approx(sum(means), rel=1e-4)
    assert float(losses["clm"]) / counts["clm"] == pytest.approx(means[0], rel=1e-4)
    told = {name: value / count for name, (value, count) in method.measures(model, batch).items()}
    assert told == pytest.approx({f"clm_offset_{k}": mean for k, mean in enumerate(means, start=1)}, rel=1e-4)


@torch.no_grad()
def test_the_first_offset_is_the_language_model_that_is_scored(transformer):
    """It is told beside the loss, and is clm's of the same model."""
    model, method = build(transformer), mtp(attend_across_documents=False)
    clm = registry().get("objective", "clm")(name="clm").build(Setting(tokenizer=None, attend_across_documents=False))
    batch = prepare(method)
    torch.testing.assert_close(method.losses(model, batch)["clm"], clm.losses(model, batch)["clm"])
    assert method.told == ("clm",)
    assert model.logits(batch.inputs_BT).shape == (ROWS, LENGTH, VOCABULARY)


@torch.no_grad()
def test_sums_and_counts_of_micro_batches_add_up(transformer):
    model, method = build(transformer), mtp()
    whole = prepare(method)
    parts = [prepare(method, slice(row, row + 1)) for row in range(ROWS)]
    for name in ("mtp", "clm"):
        torch.testing.assert_close(
            sum(method.losses(model, part)[name] for part in parts), method.losses(model, whole)[name]
        )
        assert sum(method.counts(part)[name] for part in parts) == method.counts(whole)[name]


def test_every_parameter_gets_a_gradient_and_the_table_is_one(transformer):
    model, method = build(transformer, offsets=4), mtp()
    method.losses(model, prepare(method))["mtp"].backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())
    assert model.heads["language_model"].weight is model.body.embedding_VC


def test_a_row_that_is_shorter_than_the_offsets_has_as_many_as_fit(transformer):
    model, method = build(transformer, offsets=LENGTH + 3), mtp()
    assert len(method.measures(model, prepare(method))) == LENGTH


@pytest.mark.parametrize("tied", [True, False])
def test_parameters_and_flops_are_as_declared(transformer, tied):
    config = transformer(head={"name": "mtp", "offsets": 3, "tied": tied})
    counted, model = account(config, VOCABULARY, LENGTH), build_on_meta(config, VOCABULARY)
    batch = prepare(mtp())
    inputs_BT = batch.inputs_BT.to("meta")
    with FlopCounterMode(display=False) as counter:
        hidden_BTC = model.body(inputs_BT, visibility=Causal()).hidden_BTC
        model.heads["language_model"](hidden_BTC)
        for offset in (2, 3):
            model.heads["language_model"](model.heads["mtp"](hidden_BTC, offset))
    assert counted.total == sum(p.numel() for p in model.parameters())
    assert counted.forward_flops * ROWS * LENGTH == counter.get_total_flops()


def test_a_model_without_its_heads_is_refused(tmp_path):
    options = ["experiment=tiny", "budget.tokens=null", "budget.steps=10", f"runs={tmp_path}", "objective=mtp"]
    with pytest.raises(ConfigError, match=r"needs the head mtp.*architecture/head=mtp"):
        resolve(run_config(options), {})
    resolve(run_config([*options, "architecture/head=mtp", "architecture.head.offsets=2"]), {})
