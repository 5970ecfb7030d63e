"""It keeps what its kind promises."""

from harness.scaffold.schedule import MineConfig
from harness.testing import ScheduleKit


class TestMine(ScheduleKit):
    config = MineConfig(name="mine")
