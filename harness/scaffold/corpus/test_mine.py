"""It keeps what its kind promises."""

from harness.scaffold.corpus import MineConfig
from harness.testing import CorpusKit


class TestMine(CorpusKit):
    config = MineConfig(name="mine", documents=20)

    def test_it_counts(self) -> None:
        (document,) = self.config.build().read(9, 10)
        assert document.text.startswith("9 12 15 18 ")
