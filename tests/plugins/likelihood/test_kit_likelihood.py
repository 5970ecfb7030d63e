"""Every likelihood keeps what its kind promises."""

from harness.config import plugin_config
from harness.interfaces.architecture import ENCODER_DECODER
from harness.testing import LikelihoodKit


class TestCausal(LikelihoodKit):
    config = plugin_config("likelihood", "causal", "likelihood")


class TestPrefix(LikelihoodKit):
    config = plugin_config("likelihood", "prefix", "likelihood")


class TestPrefixOfAnEncoderDecoder(TestPrefix):
    topology = ENCODER_DECODER


class TestInfilling(LikelihoodKit):
    config = plugin_config("likelihood", "infilling", "likelihood")
    tokens = ("<extra_id_0>",)


class TestInfillingOfAnEncoderDecoder(TestInfilling):
    topology = ENCODER_DECODER


class TestSequential(LikelihoodKit):
    config = plugin_config("likelihood", "sequential", "likelihood")
    tokens = ("[S2S]", "<extra_id_0>")


class TestSequentialOfAnEncoderDecoder(TestSequential):
    topology = ENCODER_DECODER


class TestDenoising(LikelihoodKit):
    config = plugin_config("likelihood", "denoising", "likelihood")
    tokens = ("[MASK]",)
    topology = ENCODER_DECODER


class TestMasked(LikelihoodKit):
    config = plugin_config("likelihood", "masked", "likelihood")
    tokens = ("[MASK]",)


class TestReplacedToken(LikelihoodKit):
    config = plugin_config("likelihood", "replaced_token", "likelihood")

    test_what_is_asked_is_not_shown = None  # whether a token that is shown is the text's own is what it asks

    def targets(self, continuation):
        return [0] * len(continuation)
