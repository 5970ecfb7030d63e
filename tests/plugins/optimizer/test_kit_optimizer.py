"""Every optimizer keeps what its kind promises."""

from harness.config import plugin_config
from harness.testing import OptimizerKit


class TestAdamW(OptimizerKit):
    config = plugin_config("optimizer", {"name": "adamw", "lr": 0.05}, "optimizer")


class TestLion(OptimizerKit):
    config = plugin_config("optimizer", {"name": "lion", "lr": 0.02}, "optimizer")


class TestMuon(OptimizerKit):
    config = plugin_config("optimizer", {"name": "muon", "lr": 0.05}, "optimizer")
