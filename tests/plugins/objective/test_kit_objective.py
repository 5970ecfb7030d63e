"""Every objective keeps what its kind promises."""

from harness.config import plugin_config
from harness.testing import ObjectiveKit
from harness.testing.parts import in_transformer


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


class TestPrefixOfAnEncoderDecoder(TestPrefix):
    test_it_asks_for_what_it_says = None  # its decoder is causal, as every body can be that can see a prefix

    def architecture(self):
        return in_transformer(name="encoder_decoder", position="none")


class TestSpan(ObjectiveKit):
    config = plugin_config("objective", "span", "objective")


class TestSpanOfAnEncoderDecoder(TestSpan):
    def architecture(self):
        return in_transformer(name="encoder_decoder", position="none")


class TestMtp(ObjectiveKit):
    config = plugin_config("objective", "mtp", "objective")

    def architecture(self):
        return in_transformer(head={"name": "mtp", "offsets": 3})

    def reference(self, model, batch, seen):
        """Of each offset the mean over the places that have a token there, summed."""
        ((arguments, options),) = seen
        hidden_BTC = model.body(*arguments, **options).hidden_BTC
        means = []
        for offset in range(3):
            own_BTC = model.heads["mtp"](hidden_BTC, offset + 1) if offset else hidden_BTC
            logp_BTV = model.heads["language_model"](own_BTC).double().log_softmax(-1)
            rows, places = batch.targets_BT.shape
            found = [
                -logp_BTV[row, place, batch.targets_BT[row, place + offset]].item()
                for row in range(rows)
                for place in range(places - offset)
            ]
            means.append(sum(found) / len(found))
        return {"mtp": sum(means), "clm": means[0]}
