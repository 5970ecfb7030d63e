"""Heads for several tokens ahead (Gloeckle et al. 2024): from one hidden state the next one, and some behind it."""

from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness.config import option
from harness_plugins.head.language_model import LanguageModelConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class MtpConfig(LanguageModelConfig):
    """A language model for the next token; for each further one a residual block before the same table (Cai et al.
    2024, "Medusa", section 2.1.1), where Gloeckle et al. have a whole layer."""

    offsets: int = option(4, "tokens ahead that are foretold, the next one among them", minimum=2)

    def names(self) -> frozenset[str]:
        return frozenset({"language_model", "mtp"})

    def parameters(self, width: int, vocabulary: int) -> int:
        return super().parameters(width, vocabulary) + (self.offsets - 1) * width * width

    def flops(self, width: int, vocabulary: int) -> int:
        """Of all offsets, as in training."""
        return self.offsets * super().flops(width, vocabulary) + (self.offsets - 1) * 2 * width * width

    def activations(self) -> int:
        """The logits of each further offset and their probabilities beside those of the next token."""
        return self.offsets * super().activations() + 2 * (self.offsets - 1)

    def build_all(self, width: int, vocabulary: int, embedding_VC: Any) -> dict[str, Any]:
        from harness_plugins.head.mtp.mtp import Ahead

        next_token = self.build(width, vocabulary, embedding_VC)
        return {"language_model": next_token, "mtp": Ahead(width, self.offsets)}


@hookimpl
def register_head() -> dict[str, type]:
    return {"mtp": MtpConfig}
