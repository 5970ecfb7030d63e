"""LoRA (Hu et al. 2021): beside a frozen matrix W stands a product of two narrow ones, W + scale · B A."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar

from harness import hookimpl
from harness.config import option
from harness.interfaces.adapter import AdapterConfig, AdapterCounts

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class LoraConfig(AdapterConfig):
    packages: ClassVar[tuple[str, ...]] = ("peft",)

    rank: int = option(8, "rows of A and columns of B", minimum=1)
    alpha: float = option(16.0, "the scale is alpha / rank", minimum=0.0)
    rank_stabilised: bool = option(
        False, "whether the scale is alpha / √rank instead (rsLoRA, Kalajdzievski 2023)", neutral=False
    )
    dropout: float = option(
        0.0, "share of the channels that A does not see in training", neutral=0.0, minimum=0.0, maximum=0.99
    )
    targets: list[str] = option(
        [], "matrices of the body that are adapted, by name; * stands for anything: body.blocks.*.attention.*; "
        "empty: all of the layers",
        neutral=[],
    )  # fmt: skip

    def counts(self, model: Any) -> AdapterCounts:
        from harness_plugins.adapter.lora.lora import counts

        return counts(self, model)

    def adapt(self, model: Any) -> Collection[str]:
        from harness_plugins.adapter.lora.lora import adapt

        return adapt(self, model)

    def merge(self, model: Any) -> None:
        from harness_plugins.adapter.lora.lora import merge

        merge(model)


@hookimpl
def register_adapter() -> dict[str, type]:
    return {"lora": LoraConfig}
