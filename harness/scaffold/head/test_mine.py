"""It keeps what its kind promises."""

from harness.scaffold.head import MineConfig
from harness.testing import HeadKit


class TestMine(HeadKit):
    config = MineConfig(name="mine")
