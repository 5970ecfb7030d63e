"""Every reward keeps what its kind promises."""

from harness.config import plugin_config
from harness.testing import RewardKit


class TestBrackets(RewardKit):
    config = plugin_config("reward", {"name": "brackets", "least": 1}, "reward")


class TestCompiles(RewardKit):
    config = plugin_config("reward", {"name": "compiles", "least": 1}, "reward")


class TestParses(RewardKit):
    config = plugin_config("reward", {"name": "parses", "least": 1}, "reward")
