"""Every head keeps what its kind promises."""

from harness.config import plugin_config
from harness.testing import HeadKit


class TestLanguageModel(HeadKit):
    config = plugin_config("head", {"name": "language_model", "tied": False}, "head")


class TestReward(HeadKit):
    config = plugin_config("head", "reward", "head")


class TestMtp(HeadKit):
    config = plugin_config("head", {"name": "mtp", "offsets": 2}, "head")

    test_flops_are_as_declared = None  # they are of all offsets, as in training: its own tests count them
