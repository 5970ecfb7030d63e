"""Attention by positive orthogonal random features: FAVOR+, of Performers (Choromanski et al. 2021)."""

import math
from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness.config import option
from harness.interfaces.attention import LinearHeadsConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class RandomFeaturesConfig(LinearHeadsConfig):
    features: int | None = option(
        None, "random features of one head; null: channels · ln(channels), rounded up, as many as the estimate of the "
        "softmax needs (theorem 4)", minimum=1,
    )  # fmt: skip
    key: int = option(0, "which features are drawn; they are the same for all heads, and never drawn again", minimum=0)

    def features_of_head(self, width: int) -> int:
        channels = self.head_width(width)
        return self.features or max(1, math.ceil(channels * math.log(channels)))

    def making_flops(self, width: int) -> int:
        return 4 * self.mixed(width) * self.features_of_head(width)

    def kept_features(self, width: int) -> int:
        """Queries and keys as they are multiplied, and their features; of keys with and without what is added."""
        return 2 * self.mixed(width) + 3 * self.heads * self.features_of_head(width)

    def products(self, width: int) -> int:
        return super().products(width) + 4 * self.heads * self.features_of_head(width)

    def build(self, width: int, position: Any) -> Any:
        from harness_plugins.attention.random_features.module import RandomFeatures

        return RandomFeatures(self, width, position)


@hookimpl
def register_attention() -> dict[str, type]:
    return {"random_features": RandomFeaturesConfig}
