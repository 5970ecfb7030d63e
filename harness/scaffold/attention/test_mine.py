"""It keeps what its kind promises."""

from harness.scaffold.attention import MineConfig
from harness.testing import AttentionKit


class TestMine(AttentionKit):
    config = MineConfig(name="mine", heads=2)
