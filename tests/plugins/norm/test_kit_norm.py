"""Every norm keeps what its kind promises."""

from harness.config import plugin_config
from harness.testing import NormKit


class TestLayerNorm(NormKit):
    config = plugin_config("norm", "layernorm", "norm")


class TestRmsNorm(NormKit):
    config = plugin_config("norm", "rmsnorm", "norm")
