"""Prefix language modelling: a row is cut in two, and the second part is learned from the first."""

from typing import Any

import numpy as np
import pytest
import torch

from harness.composition import run_config
from harness.config import ConfigError, plugin_config
from harness.interfaces.architecture import DECODER, ENCODER_DECODER
from harness.interfaces.batch import Sequences
from harness.interfaces.method import Setting
from harness.interfaces.visibility import Prefix
from harness.planning.plan import resolve
from harness.registry import registry

END, T = 256, 40


def method(topology: str = DECODER, **values: Any) -> Any:
    made = plugin_config("method", {"name": "prefix", **values}, "method")
    return made.build(Setting(tokenizer=registry().get("tokenizer", "bytes")().train([]), topology=topology))


def prepared(of: Any, rows: int = 4) -> tuple[Any, np.ndarray]:
    tokens_BS = np.random.default_rng(3).integers(97, 110, (rows, T + 1))
    sequences = Sequences(tokens_BS, np.zeros_like(tokens_BS), np.arange(rows))
    return of.prepare(sequences, lambda place: np.random.default_rng([7, place])), tokens_BS[:, :-1]


def model_of(topology: str) -> Any:
    torch.manual_seed(0)
    name = "transformer" if topology == DECODER else "encoder_decoder"
    values = {"name": name, "width": 16, "layers": 2, "init_std": 0.4}
    return plugin_config("architecture", values, "architecture").build(257).double().eval()


@pytest.mark.parametrize("topology", [DECODER, ENCODER_DECODER])
def test_the_loss_is_that_of_a_slow_reference(topology: str):
    of, model = method(topology), model_of(topology)
    batch, tokens_BT = prepared(of)
    expected = 0.0
    for row, count in enumerate(batch.weights_BT.sum(dim=1).int().tolist()):
        read, written = tokens_BT[row, : T - count].tolist(), tokens_BT[row, T - count :].tolist()
        for at, target in enumerate(written):
            if topology == DECODER:
                shown, prefix = torch.tensor([[*read, *written[:at]]]), Prefix(torch.tensor([len(read)]))
                logits_V = model.logits(shown, visibility=prefix)[0, -1]
            else:
                shown = torch.tensor([[END, *written[:at]]])
                logits_V = model.logits(shown, source_BS=torch.tensor([read]))[0, -1]
            expected -= float(logits_V.log_softmax(-1)[target].detach())
    assert float(of.losses(model, batch)["prefix"].detach()) == pytest.approx(expected, rel=1e-9)


def test_where_a_row_is_cut_is_uniform_between_the_bounds():
    batch, _ = prepared(method(least=0.25, most=0.5), rows=3000)
    read = T - batch.weights_BT.sum(dim=1)
    assert (int(read.min()), int(read.max())) == (10, 20)
    counts = torch.bincount(read.int())[10:]
    assert (counts - 3000 / 11).abs().max() < 5 * (3000 / 11) ** 0.5


def test_at_least_one_token_stands_on_either_side():
    for bounds in ({"least": 1.0}, {"most": 0.0}):
        batch, _ = prepared(method(**bounds))
        assert set(batch.weights_BT.sum(dim=1).int().tolist()) <= {1, T - 1}


def test_a_body_that_cannot_see_the_longest_part_is_refused():
    words = ["objective=prefix", "architecture=encoder_decoder", "architecture/position=learned", "tokenizer=bytes"]
    with pytest.raises(
        ConfigError, match=r"is 127 places with objective=prefix, which is longer .* at most 100 tokens"
    ):
        resolve(run_config([*words, "architecture.position.length=100"]).with_seeds())


def test_an_architecture_that_sees_one_way_only_is_refused():
    with pytest.raises(ConfigError, match="objective=prefix asks for Prefix visibility"):
        resolve(run_config(["objective=prefix", "architecture=mamba2", "tokenizer=bytes"]).with_seeds())


def test_a_decoder_that_sees_one_way_only_writes_what_its_encoder_reads():
    """What is seen both ways is the encoder's."""
    values = "{d_model: 16, num_layers: 1, num_decoder_layers: 1, num_heads: 2, d_kv: 8, d_ff: 16}"
    words = ["architecture=hf", "architecture.model_type=umt5", f"+architecture.values={values}"]
    resolve(run_config(["objective=prefix", "tokenizer=bytes", *words]).with_seeds())


def test_a_causal_objective_trains_no_encoder_decoder():
    with pytest.raises(ConfigError, match="objective=clm trains a decoder, and .* is an encoder–decoder"):
        resolve(run_config(["experiment=tiny", "architecture=encoder_decoder"]).with_seeds())
