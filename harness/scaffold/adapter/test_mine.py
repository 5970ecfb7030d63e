"""It keeps what its kind promises."""

from harness.scaffold.adapter import MineConfig
from harness.testing import AdapterKit


class TestMine(AdapterKit):
    config = MineConfig(name="mine")
