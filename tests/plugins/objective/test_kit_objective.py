"""Every objective keeps what its kind promises."""

from harness.config import plugin_config
from harness.testing import ObjectiveKit


class TestClm(ObjectiveKit):
    config = plugin_config("objective", "clm", "objective")

    def recovered(self, batch, row):
        return [*batch.inputs_BT[row].tolist(), int(batch.targets_BT[row, -1])]


class TestMlm(ObjectiveKit):
    config = plugin_config("objective", {"name": "mlm", "rate": 0.3}, "objective")

    def share(self):
        return 0.3

    def recovered(self, batch, row):
        return batch.inputs_BT[row].where(batch.weights_BT[row] == 0, batch.targets_BT[row]).tolist()


class TestMlmOfWords(ObjectiveKit):
    config = plugin_config("objective", {"name": "mlm", "whole_words": True}, "objective")


class TestSft(ObjectiveKit):
    config = plugin_config("objective", "sft", "objective")


class TestSftUnpacked(ObjectiveKit):
    config = plugin_config("objective", {"name": "sft", "packing": False}, "objective")


class TestPrefix(ObjectiveKit):
    config = plugin_config("objective", "prefix", "objective")


class TestSpan(ObjectiveKit):
    config = plugin_config("objective", "span", "objective")
