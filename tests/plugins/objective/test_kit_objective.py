"""Every objective keeps what its kind promises."""

from harness.config import plugin_config
from harness.testing import ObjectiveKit
from harness.testing.objective import Letters
from harness.testing.parts import in_transformer


def one_after_the_other(batch, row):
    return [*batch.inputs_BT[row].tolist(), int(batch.targets_BT[row, -1])]


def what_is_hidden_put_back(batch, row):
    return batch.inputs_BT[row].where(batch.weights_BT[row] == 0, batch.targets_BT[row]).tolist()


def read_and_written(batch, row):
    """Without padding. A decoder reads up to the first place that is learned."""
    written = batch.targets_BT[row][batch.weights_BT[row] > 0].tolist()
    if "source_BS" in batch.extra:
        return batch.extra["source_BS"][row][batch.extra["sources_BS"][row] >= 0].tolist(), written
    return batch.inputs_BT[row, : int(batch.weights_BT[row].argmax()) + 1].tolist(), written


class TestClm(ObjectiveKit):
    config = plugin_config("objective", "clm", "objective")

    def recovered(self, batch, row):
        return one_after_the_other(batch, row)


class TestMlm(ObjectiveKit):
    config = plugin_config("objective", {"name": "mlm", "rate": 0.3}, "objective")

    def share(self):
        return 0.3

    def recovered(self, batch, row):
        return what_is_hidden_put_back(batch, row)


class TestMlmOfWords(ObjectiveKit):
    config = plugin_config("objective", {"name": "mlm", "whole_words": True}, "objective")

    def recovered(self, batch, row):
        return what_is_hidden_put_back(batch, row)


class TestSft(ObjectiveKit):
    config = plugin_config("objective", "sft", "objective")

    def recovered(self, batch, row):
        return one_after_the_other(batch, row)


class TestSftUnpacked(TestSft):
    config = plugin_config("objective", {"name": "sft", "packing": False}, "objective")


class TestPrefix(ObjectiveKit):
    config = plugin_config("objective", "prefix", "objective")

    def recovered(self, batch, row):
        read, written = read_and_written(batch, row)
        return [*read, *written]


class TestPrefixOfAnEncoderDecoder(TestPrefix):
    def architecture(self):
        return in_transformer(name="encoder_decoder", position="none")


class TestSpan(ObjectiveKit):
    config = plugin_config("objective", "span", "objective")

    def recovered(self, batch, row):
        """Each piece in the place of its sentinel. Between the two sides of a decoder's row stands the end."""
        read, written = read_and_written(batch, row)
        read = read if "source_BS" in batch.extra else read[:-1]
        pieces = {}
        for token in written:
            if token >= Letters.size:
                pieces[token] = current = []
            else:
                current.append(token)
        return [token for part in read for token in pieces.get(part, [part])]


class TestSpanOfAnEncoderDecoder(TestSpan):
    def architecture(self):
        return in_transformer(name="encoder_decoder", position="none")


class TestMtp(ObjectiveKit):
    config = plugin_config("objective", "mtp", "objective")

    def architecture(self):
        return in_transformer(head={"name": "mtp", "offsets": 3})

    def recovered(self, batch, row):
        return one_after_the_other(batch, row)

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
