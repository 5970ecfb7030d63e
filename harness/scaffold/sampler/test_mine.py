"""It keeps what its kind promises."""

import torch

from harness.scaffold.sampler import MineConfig
from harness.testing import SamplerKit


class TestMine(SamplerKit):
    config = MineConfig(name="mine")

    def test_what_is_too_unlikely_is_never_drawn(self) -> None:
        logits_BV = torch.tensor([0.6, 0.3, 0.1]).log().expand(200, -1)
        sampler = MineConfig(name="mine", min_p=0.4).build()
        tokens_B = sampler(logits_BV, torch.Generator().manual_seed(0))
        assert set(tokens_B.tolist()) == {0, 1}
