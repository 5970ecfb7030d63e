"""It keeps what its kind promises."""

from harness.scaffold.suite import MineConfig
from harness.testing import SuiteKit


class TestMine(SuiteKit):
    config = MineConfig(name="mine", items=4)

    def test_who_prefers_the_next_number_is_right(self) -> None:
        task = self.config.build([], self.tokenizer())["mine"]
        (first, *_) = task.test_docs()
        assert task.process_results(first, [(-1.0, False), (-2.0, False)])["accuracy"] == 1.0
        assert task.process_results(first, [(-2.0, False), (-1.0, False)])["accuracy"] == 0.0
