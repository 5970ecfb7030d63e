"""It keeps what its kind promises."""

from harness.scaffold.reward import MineConfig
from harness.testing import RewardKit


class TestMine(RewardKit):
    config = MineConfig(name="mine", least=2)

    def test_what_repeats_itself_is_worth_less(self) -> None:
        reward = self.config.build(self.tokenizer())
        assert reward("", "one two", {}) == 1.0
        assert reward("", "one one", {}) == 0.5
        assert reward("", "one", {}) == 0.0
