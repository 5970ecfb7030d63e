"""It keeps what its kind promises."""

from harness.scaffold.tokenizer import MineConfig
from harness.testing import TokenizerKit


class TestMine(TokenizerKit):
    config = MineConfig(name="mine")
