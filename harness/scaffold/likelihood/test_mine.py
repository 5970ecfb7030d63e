"""It keeps what its kind promises."""

from harness.scaffold.likelihood import MineConfig
from harness.testing import LikelihoodKit


class TestMine(LikelihoodKit):
    config = MineConfig(name="mine")

    def test_the_context_changes_nothing(self) -> None:
        likelihood = self.subject().built()
        assert likelihood.rows([40, 41, 42], [1, 2]) == likelihood.rows([43], [1, 2])
