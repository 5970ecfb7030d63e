"""The language-model head: hidden states to logits over the vocabulary."""

from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness.config import ConfigError, option
from harness.interfaces.parts import HeadConfig

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

    def check(self) -> None:
        if self.soft_cap is not None and self.soft_cap <= 0.0:
            raise ConfigError(f"soft_cap={self.soft_cap} is no bound: give a number above 0, or null.")

    def parameters(self, width: int, vocabulary: int) -> int:
        return (0 if self.tied else width * vocabulary) + self.bias * vocabulary

    def flops(self, width: int, vocabulary: int) -> int:
        return 2 * width * vocabulary

    def activations(self) -> int:
        """The cap's tanh."""
        return int(self.soft_cap is not None)

    def build(self, width: int, vocabulary: int, embedding_VC: Any) -> Any:
        from harness_plugins.head.language_model.language_model import LanguageModel

        scale = self.scale * (width**-0.5 if self.scale_by_width else 1.0)
        shared_VC = embedding_VC if self.tied else None
        return LanguageModel(width, vocabulary, shared_VC, self.bias, scale, self.soft_cap)


@hookimpl
def register_head() -> dict[str, type]:
    return {"language_model": LanguageModelConfig}
