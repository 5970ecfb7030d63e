"""Every adapter keeps what its kind promises."""

from harness.config import plugin_config
from harness.testing import AdapterKit


class TestLora(AdapterKit):
    config = plugin_config("adapter", {"name": "lora", "rank": 2}, "adapter")
