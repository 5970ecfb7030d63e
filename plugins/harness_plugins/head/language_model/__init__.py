"""The language-model head: hidden states to logits over the vocabulary."""

from dataclasses import dataclass, replace
from typing import Any

from harness import hookimpl
from harness.config import ConfigError, option, slot
from harness.interfaces.parts import ACTIVATIONS, HeadConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class LanguageModelConfig(HeadConfig):
    tied: bool = option(True, "whether it shares the token embedding table (Press, Wolf 2017)")
    bias: bool = option(False, "whether each token has a bias of its own (BERT, GPT-J)", neutral=False)
    scale: float = option(1.0, "what hidden states are multiplied by before the matrix", neutral=1.0)
    scale_by_width: bool = option(
        False, "whether they are divided by √width as well (T5, whose table is tied)", neutral=False
    )
    soft_cap: float | None = option(
        None, "logits become cap · tanh(logit / cap) (Gemma 2); null: they stay as they are", neutral=None
    )

    transform: str | None = option(
        None, "the activation of a biased square matrix that hidden states go through first (BERT); null: none",
        neutral=None, choices=ACTIVATIONS,
    )  # fmt: skip
    transform_norm: Any = slot("norm", "after that activation; null: none", optional=True)

    def check(self) -> None:
        if self.transform is None and self.transform_norm is not None:
            raise ConfigError("transform_norm is of transform, which is null: choose an activation for it.")
        if self.soft_cap is not None and self.soft_cap <= 0.0:
            raise ConfigError(f"soft_cap={self.soft_cap} is no bound: give a number above 0, or null.")

    def at_width(self, times: float) -> Any:
        """The table of tokens starts and learns as an embedding does, whatever the width; so a head that shares it has
        a smaller scale instead (Yang et al. 2022, table 8)."""
        if not self.tied:
            return self
        return replace(self, scale=self.scale / (times**0.5 if self.scale_by_width else times))

    def parameters(self, width: int, vocabulary: int) -> int:
        own = (0 if self.tied else width * vocabulary) + self.bias * vocabulary
        if self.transform is None:
            return own
        norm = 0 if self.transform_norm is None else self.transform_norm.parameters(width)
        return own + width * width + width + norm

    def flops(self, width: int, vocabulary: int) -> int:
        return 2 * width * vocabulary + (0 if self.transform is None else 2 * width * width)

    def activations(self) -> int:
        """The cap's tanh."""
        return int(self.soft_cap is not None)

    def build(self, width: int, vocabulary: int, embedding_VC: Any) -> Any:
        from harness_plugins.head.language_model.language_model import LanguageModel, Transform

        scale = self.scale * (width**-0.5 if self.scale_by_width else 1.0)
        shared_VC = embedding_VC if self.tied else None
        transform = None
        if self.transform is not None:
            norm = None if self.transform_norm is None else self.transform_norm.build(width)
            transform = Transform(width, self.transform, norm)
        return LanguageModel(width, vocabulary, shared_VC, self.bias, scale, self.soft_cap, transform)


@hookimpl
def register_head() -> dict[str, type]:
    return {"language_model": LanguageModelConfig}
