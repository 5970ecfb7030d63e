"""Every architecture keeps what its kind promises."""

from harness.testing import ArchitectureKit
from harness.testing.parts import in_transformer


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
