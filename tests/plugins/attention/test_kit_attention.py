"""Every attention keeps what its kind promises."""

from harness.config import plugin_config
from harness.testing import AttentionKit
from harness.testing.parts import in_transformer


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


class TestLatent(AttentionKit):
    config = plugin_config(
        "attention",
        {"name": "latent", "heads": 2, "latent": 6, "turned_channels": 4, "latent_norm": "rmsnorm", "window": 4},
        "attention",
    )


class TestLinear(AttentionKit):
    config = plugin_config("attention", {"name": "linear", "heads": 2, "chunk": 4}, "attention")


class TestRandomFeatures(AttentionKit):
    config = plugin_config("attention", {"name": "random_features", "heads": 2, "chunk": 4}, "attention")


class TestLowRank(AttentionKit):
    config = plugin_config("attention", {"name": "low_rank", "heads": 2, "rank": 4, "length": 24}, "attention")


class TestBlockSparse(AttentionKit):
    """Blocks that reach over the whole row; what a pattern leaves out, its own tests say."""

    config = plugin_config("attention", {"name": "block_sparse", "heads": 2, "block": 4, "local": 3}, "attention")


class TestDisentangled(AttentionKit):
    config = plugin_config("attention", {"name": "disentangled", "heads": 2}, "attention")

    def architecture(self):
        return in_transformer(attention=self.config, position="disentangled")
