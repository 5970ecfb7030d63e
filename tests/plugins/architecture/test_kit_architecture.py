"""Every architecture keeps what its kind promises."""

from harness.config import plugin_config
from harness.testing import ArchitectureKit
from harness.testing.parts import PARTS, in_transformer
from harness.testing.sees import window


def tiny(name, **options):
    """Of width 16, in two layers, with a head of language modelling."""
    options = {"name": name, "width": 16, "layers": 2, "head": "language_model", **options}
    return plugin_config("architecture", options, "architecture")


class TestTransformer(ArchitectureKit):
    """The "transformer" as it stands."""

    config = in_transformer()


class TestGpt2(ArchitectureKit):
    config = in_transformer(
        attention={"name": "multi_head", "heads": 2, "bias": True},
        position={"name": "learned", "length": 24},
        feedforward={"name": "mlp", "bias": True},
        norm="layernorm",
    )


class TestWindowsBySome(ArchitectureKit):
    """As in Gemma 2: every second layer sees a window."""

    config = in_transformer(
        layers=3,
        placement="sandwich",
        scale_embeddings=True,
        blocks={"local": {"attention": {"window": 2}}, "whole": None},
        pattern=["local", "whole"],
    )


class TestBesideEachOther(ArchitectureKit):
    config = in_transformer(parallel="one_norm", embedding_norm=True, segments=2)


class TestPost(ArchitectureKit):
    config = in_transformer(placement="post")


class TestEncoderDecoder(ArchitectureKit):
    config = tiny("encoder_decoder", **PARTS, encoder_layers=1)


class TestT5(ArchitectureKit):
    config = tiny(
        "encoder_decoder",
        **PARTS | {
            "attention": {"name": "multi_head", "heads": 2, "scale": 1.0},
            "position": "relative_bias",
            "feedforward": {"name": "gated", "activation": "gelu_tanh"},
            "head": {"name": "language_model", "tied": False},
        },
    )  # fmt: skip


class TestBart(ArchitectureKit):
    config = tiny(
        "encoder_decoder",
        **PARTS | {
            "attention": {"name": "multi_head", "heads": 2, "bias": True},
            "position": {"name": "learned", "length": 24, "first": 2},
            "feedforward": {"name": "mlp", "bias": True},
            "norm": "layernorm",
        },
        placement="post",
        embedding_norm=True,
    )  # fmt: skip


class TestLstm(ArchitectureKit):
    config = tiny("lstm")


class TestGru(ArchitectureKit):
    config = tiny("gru", hidden=12)


class TestMamba2(ArchitectureKit):
    config = tiny("mamba2", norm="rmsnorm", channels=8, state=6, chunk=4)


class TestRwkv(ArchitectureKit):
    config = tiny("rwkv", norm="layernorm")


class TestGla(ArchitectureKit):
    config = tiny("gla", norm="rmsnorm", feedforward="gated", attention_heads=2, chunk=4)


class TestNgram(ArchitectureKit):
    """It counts tokens: nothing of it is drawn, embedded, multiplied or learned by gradients at first."""

    config = plugin_config("architecture", {"name": "ngram", "order": 3}, "architecture")

    test_shapes_and_dtypes = test_embeddings_do_what_their_tokens_do = None
    test_the_seed_decides_and_nothing_else = test_flops_are_as_declared = None
    test_every_parameter_gets_a_gradient = test_it_learns_by_heart = None

    def limits(self):
        return [window(2)]
