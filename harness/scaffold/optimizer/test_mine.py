"""It keeps what its kind promises."""

from harness.scaffold.optimizer import MineConfig
from harness.testing import OptimizerKit


class TestMine(OptimizerKit):
    config = MineConfig(name="mine", lr=0.05)
