"""Every analysis keeps what its kind promises."""

from harness.config import plugin_config
from harness.testing import AnalysisKit


class TestChinchilla(AnalysisKit):
    config = plugin_config("analysis", {"name": "chinchilla", "bootstraps": 100}, "analysis")


class TestPowerLaw(AnalysisKit):
    config = plugin_config("analysis", "power_law", "analysis")
