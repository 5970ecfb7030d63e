"""It keeps what its kind promises."""

from harness.interfaces.batch import Batch
from harness.scaffold.objective import MineConfig
from harness.testing import ObjectiveKit


class TestMine(ObjectiveKit):
    config = MineConfig(name="mine", skip=3)

    def recovered(self, batch: Batch, row: int) -> list[int]:
        """The first token, and what follows each."""
        return [int(batch.inputs_BT[row, 0]), *batch.targets_BT[row].tolist()]

    def test_the_first_places_are_not_learned(self) -> None:
        from harness.testing.objective import keyed, sequences

        batch = self.method().prepare(sequences(self.config), keyed)
        assert not batch.weights_BT[:, :3].any()
        assert batch.weights_BT[:, 3:].all()
