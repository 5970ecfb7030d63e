"""The language-model head: hidden states to logits over the vocabulary."""

from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness.config import option
from harness.interfaces.parts import HeadConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class LanguageModelConfig(HeadConfig):
    tied: bool = option(True, "whether it shares the token embedding table (Press, Wolf 2017)")

    def parameters(self, width: int, vocabulary: int) -> int:
        return 0 if self.tied else width * vocabulary

    def flops(self, width: int, vocabulary: int) -> int:
        return 2 * width * vocabulary

    def build(self, width: int, vocabulary: int, embedding_VC: Any) -> Any:
        from torch import nn

        head = nn.Linear(width, vocabulary, bias=False, device="meta" if self.tied else None)
        if self.tied:
            head.weight = embedding_VC
        return head


@hookimpl
def register_head() -> dict[str, type]:
    return {"language_model": LanguageModelConfig}
