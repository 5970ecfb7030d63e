"""It keeps what its kind promises."""

from harness.scaffold.feedforward import MineConfig
from harness.testing import FeedforwardKit


class TestMine(FeedforwardKit):
    config = MineConfig(name="mine")
