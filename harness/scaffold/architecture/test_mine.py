"""It keeps what its kind promises."""

from harness.config import from_mapping
from harness.scaffold.architecture import MineConfig
from harness.testing import ArchitectureKit
from harness.testing.sees import Limit, window


class TestMine(ArchitectureKit):
    config = from_mapping(
        MineConfig,
        {
            "name": "mine",
            "width": 16,
            "layers": 2,
            "places": 3,
            "feedforward": {"name": "gated", "hidden": 24},
            "norm": "rmsnorm",
            "head": "language_model",
        },
    )

    def limits(self) -> list[Limit | None]:
        """Each layer sees three places beside what the visibility allows."""
        return [window(self.config.places)] * self.config.layers
