"""Every feedforward keeps what its kind promises."""

from harness.config import plugin_config
from harness.testing import FeedforwardKit


class TestGated(FeedforwardKit):
    config = plugin_config("feedforward", {"name": "gated", "hidden": 24, "bias": True}, "feedforward")


class TestMlp(FeedforwardKit):
    config = plugin_config("feedforward", {"name": "mlp", "hidden": 24, "bias": True}, "feedforward")


class TestMixtureOfExperts(FeedforwardKit):
    config = plugin_config(
        "feedforward",
        {"name": "mixture_of_experts", "experts": 4, "expert": {"name": "gated", "hidden": 8}},
        "feedforward",
    )
