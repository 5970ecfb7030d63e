"""Linear attention (Katharopoulos et al. 2020): "Transformers are RNNs"."""

from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness.interfaces.attention import LinearHeadsConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class LinearConfig(LinearHeadsConfig):
    def features_of_head(self, width: int) -> int:
        return self.head_width(width)

    def kept_features(self, width: int) -> int:
        """Queries and keys, and their features."""
        return 4 * self.mixed(width)

    def build(self, width: int, position: Any) -> Any:
        from harness_plugins.attention.linear.module import Linear

        return Linear(self, width, position)


@hookimpl
def register_attention() -> dict[str, type]:
    return {"linear": LinearConfig}
