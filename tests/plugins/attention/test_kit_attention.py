"""Every attention keeps what its kind promises."""

from harness.config import plugin_config
from harness.testing import AttentionKit


class TestMultiHead(AttentionKit):
    config = plugin_config("attention", {"name": "multi_head", "heads": 2}, "attention")


class TestGroupedQueries(AttentionKit):
    config = plugin_config(
        "attention",
        {"name": "multi_head", "heads": 4, "key_value_heads": 2, "bias": True, "query_key_norm": "rmsnorm"},
        "attention",
    )


class TestWindow(AttentionKit):
    config = plugin_config("attention", {"name": "multi_head", "heads": 2, "window": 3, "soft_cap": 5.0}, "attention")
