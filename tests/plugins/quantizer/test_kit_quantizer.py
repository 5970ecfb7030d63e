"""Every quantizer keeps what its kind promises."""

from harness.config import plugin_config
from harness.testing import QuantizerKit


class TestInt8(QuantizerKit):
    config = plugin_config("quantizer", "int8", "quantizer")


class TestQatInt8(QuantizerKit):
    config = plugin_config("quantizer", "qat_int8", "quantizer")
