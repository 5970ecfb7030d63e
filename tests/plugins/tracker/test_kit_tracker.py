"""Every tracker keeps what its kind promises."""

import importlib.util

import pytest

from harness.config import plugin_config
from harness.testing import TrackerKit


class TestTensorBoard(TrackerKit):
    config = plugin_config("tracker", "tensorboard", "tracker")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="needs W&B: `make trackers`")
class TestWandb(TrackerKit):
    config = plugin_config("tracker", {"name": "wandb", "mode": "offline"}, "tracker")
