"""The heads of ELECTRA (Clark et al. 2020): a language model that proposes tokens, and what tells them apart."""

from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness_plugins.head.language_model import LanguageModelConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class ReplacedTokenConfig(LanguageModelConfig):
    """The generator's head, a language model; and the discriminator's, which says of each token whether it is the
    text's own, by a biased square matrix, GELU, and two logits."""

    def names(self) -> frozenset[str]:
        return frozenset({"language_model", "replaced_token"})

    def parameters(self, width: int, vocabulary: int) -> int:
        return super().parameters(width, vocabulary) + width * width + width + 2 * width + 2

    def flops(self, width: int, vocabulary: int) -> int:
        """Of both, as in training."""
        return super().flops(width, vocabulary) + 2 * width * width + 4 * width

    def build_all(self, width: int, vocabulary: int, embedding_VC: Any) -> dict[str, Any]:
        from harness_plugins.head.replaced_token.discriminator import Discriminator

        proposes = self.build(width, vocabulary, embedding_VC)
        return {"language_model": proposes, "replaced_token": Discriminator(width)}


@hookimpl
def register_head() -> dict[str, type]:
    return {"replaced_token": ReplacedTokenConfig}
