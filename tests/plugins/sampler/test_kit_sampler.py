"""Every sampler keeps what its kind promises."""

from harness.config import plugin_config
from harness.testing import SamplerKit


class TestCategorical(SamplerKit):
    config = plugin_config("sampler", {"name": "categorical", "temperature": 1.3, "top_p": 0.9}, "sampler")


class TestGreedy(SamplerKit):
    config = plugin_config("sampler", "greedy", "sampler")
