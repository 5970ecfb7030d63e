"""Recurrent architectures in the training loop, on packed documents."""

from dataclasses import replace

import pytest
from small_runs import config, job, run_dir, trained

from harness.config import plugin_config

RECURRENT = {
    "mamba2": {"norm": "rmsnorm", "channels": 8, "state": 8},
    "rwkv": {"norm": "layernorm"},
    "gla": {"norm": "rmsnorm", "feedforward": "gated"},
}


@pytest.mark.parametrize("name", RECURRENT)
def test_the_loss_falls_alike_in_both_precisions(text, tmp_path, name):
    values = {"name": name, "width": 16, "layers": 2, "head": "language_model", **RECURRENT[name]}
    losses = []
    for precision in ("fp32", "bf16"):
        run = config(text, trainer={"precision": precision, "activation_checkpointing": "selective"})
        run = replace(run, architecture=plugin_config("architecture", values, "architecture"))
        losses.append(trained(job(run, 40), run_dir(tmp_path / precision, run))["held_out_loss"])
    assert losses[0] < 4.0  # an untrained model has log 256 = 5.5
    assert losses[1] == pytest.approx(losses[0], abs=0.1)
    assert losses[1] != losses[0]
