"""What cannot be spread over devices is refused in one sentence, before anything starts."""

import pytest

from harness.composition import run_config
from harness.config import ConfigError
from harness.planning.plan import resolve

SMALL = ["experiment=tiny", "tokenizer=bytes", "corpus=synthetic", "architecture.attention.heads=4"]


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["devices=2", "tensor_parallel=3"], "tensor_parallel=3 does not divide trainer.devices=2"),
        (["devices=4", "tensor_parallel=2"], "needs trainer.strategy=fsdp"),
        (["devices=3"], "batch_size=8 cannot be shared equally by 3 devices"),
        (["devices=8", "tensor_parallel=8", "strategy=fsdp"], "heads, shared heads and hidden channels have 4"),
        (["devices=2", "strategy=fsdp", "precision=fp16"], "fp16 scales its losses on one device or under ddp"),
    ],
)
def test_one_sentence_for_what_cannot_be(overrides: list[str], sentence: str):
    with pytest.raises(ConfigError, match=sentence):
        resolve(run_config([*SMALL, *(f"trainer.{override}" for override in overrides)]))


@pytest.mark.parametrize("overrides", [["devices=2"], ["devices=4", "tensor_parallel=2", "strategy=fsdp"]])
def test_how_a_run_is_spread_is_no_part_of_its_id(overrides: list[str]):
    plain = resolve(run_config(SMALL)).id
    assert resolve(run_config([*SMALL, *(f"trainer.{override}" for override in overrides)])).id == plain
