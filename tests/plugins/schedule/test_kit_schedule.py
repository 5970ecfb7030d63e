"""Every schedule keeps what its kind promises."""

from harness.config import plugin_config
from harness.testing import ScheduleKit


class TestCosine(ScheduleKit):
    config = plugin_config("schedule", "cosine", "schedule")


class TestLinear(ScheduleKit):
    config = plugin_config("schedule", "linear", "schedule")


class TestWarmupStableDecay(ScheduleKit):
    config = plugin_config("schedule", "warmup_stable_decay", "schedule")
