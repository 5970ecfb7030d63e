"""It keeps what its kind promises."""

from pathlib import Path

from harness.rundir import RunDir
from harness.scaffold.tracker import MineConfig
from harness.testing import TrackerKit


class TestMine(TrackerKit):
    config = MineConfig(name="mine")

    def test_every_number_has_its_line(self, tmp_path: Path) -> None:
        tracker = self.config.build(RunDir(tmp_path), {})
        tracker.log({"step": 2, "loss": 3.5})
        tracker.close({"held_out_loss": 3.0})
        assert (tmp_path / "mine.csv").read_text().split() == [
            "step,name,value",
            "2,loss,3.5",
            "2,result/held_out_loss,3.0",
        ]
