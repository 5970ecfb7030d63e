"""It keeps what its kind promises."""

from harness.scaffold.norm import MineConfig
from harness.testing import NormKit


class TestMine(NormKit):
    config = MineConfig(name="mine")
