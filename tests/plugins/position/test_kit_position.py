"""Every position keeps what its kind promises."""

from harness.config import plugin_config
from harness.testing import PositionKit
from harness.testing.parts import in_transformer


class TestAlibi(PositionKit):
    config = plugin_config("position", "alibi", "position")


class TestLearned(PositionKit):
    config = plugin_config("position", {"name": "learned", "length": 24}, "position")


class TestNone(PositionKit):
    config = plugin_config("position", "none", "position")


class TestRelativeBias(PositionKit):
    config = plugin_config("position", "relative_bias", "position")


class TestRotary(PositionKit):
    config = plugin_config("position", "rotary", "position")


class TestSinusoidal(PositionKit):
    config = plugin_config("position", "sinusoidal", "position")


class TestDisentangled(PositionKit):
    config = plugin_config("position", "disentangled", "position")

    def architecture(self):
        return in_transformer(position=self.config, attention={"name": "disentangled", "heads": 2})
