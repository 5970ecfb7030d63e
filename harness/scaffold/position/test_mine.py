"""It keeps what its kind promises."""

from harness.scaffold.position import MineConfig
from harness.testing import PositionKit


class TestMine(PositionKit):
    config = MineConfig(name="mine")
