"""It keeps what its kind promises."""

from harness.scaffold.quantizer import MineConfig
from harness.testing import QuantizerKit


class TestMine(QuantizerKit):
    config = MineConfig(name="mine")
