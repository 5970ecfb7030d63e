"""Multi-head latent attention (DeepSeek-V2, Liu et al. 2024, section 2.1): keys and values are made of one latent."""

from dataclasses import dataclass, field
from typing import Any

from harness import hookimpl
from harness.config import option, slot
from harness.interfaces.attention import shared_out
from harness.interfaces.parts import AttentionConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class LatentConfig(AttentionConfig):
    """A place keeps one latent, of which the keys and values of all heads are made, and one turned key that all heads
    share. A head's query and key are `channels` that know no position, and `turned_channels` that position turns."""

    defaults: list[Any] = field(default_factory=lambda: ["_self_", {"/architecture/norm@latent_norm": "rmsnorm"}])

    heads: int = option(4, "heads", minimum=1)
    latent: int = option(32, "channels of the latent that keys and values are made of", minimum=1)
    query_latent: int | None = option(
        None, "channels of a latent that queries are made of; null: they are made of the input itself", minimum=1
    )
    channels: int | None = option(
        None, "channels of a head's queries and keys that no position turns; null: width / heads", minimum=1
    )
    turned_channels: int = option(8, "channels of a head's queries, and of the shared key, that it turns", minimum=1)
    value_channels: int | None = option(None, "channels of a head's values; null: as channels", minimum=1)
    latent_norm: Any = slot("norm", "of each latent")
    window: int | None = option(None, "nearest places that are seen, in tokens; null: all", minimum=1)
    scale: float | None = option(
        None, "what products of queries and keys are multiplied by; null: 1/√(channels + turned_channels)", neutral=None
    )
    dropout: float = option(0.0, "share of attention weights dropped in training", minimum=0.0, maximum=1.0)

    def head_width(self, width: int) -> int:
        """Those that position turns."""
        self.still(width)
        return self.turned_channels

    def still(self, width: int) -> int:
        """Channels of a head's queries and keys that no position turns."""
        return self.channels or shared_out(width, self.heads)

    def matched(self, width: int) -> int:
        """Channels in which a head's query and key are matched."""
        return self.still(width) + self.turned_channels

    def valued(self, width: int) -> int:
        """Channels of a head's values."""
        return self.value_channels or self.still(width)

    def computes(self, width: int) -> dict[str, Any]:
        resolved = {
            "channels": self.still(width),
            "value_channels": self.valued(width),
            "scale": self.matched(width) ** -0.5 if self.scale is None else self.scale,
        }
        return {**super().computes(width), **resolved}

    def parameters(self, width: int) -> int:
        latents = [self.latent] if self.query_latent is None else [self.latent, self.query_latent]
        return self._matrices(width) + sum(self.latent_norm.parameters(latent) for latent in latents)

    def flops(self, width: int, sequence_length: int) -> int:
        return 2 * self._matrices(width) + 4 * self.heads * self._mixed(width) * sequence_length

    def activations(self, width: int, sequence_length: int) -> int:
        """The input; each latent before and after its norm, and what that keeps; queries, keys, values and what is
        mixed of them, all as wide as the kernels take them; and the input of the last projection where it is not."""
        norm = self.latent_norm.activations
        queries = 0 if self.query_latent is None else self.query_latent + norm(self.query_latent)
        latents = queries + self.latent + norm(self.latent) + self.turned_channels
        valued, mixed = self.valued(width), self._mixed(width)
        return width + latents + self.heads * (4 * mixed + (valued if valued < mixed else 0))

    def products(self, width: int) -> int:
        """The latents, queries, keys and values, what is mixed of them, and its projection."""
        latents = (self.query_latent or 0) + self.latent + self.turned_channels
        of_head = self.matched(width) + self.still(width) + self.valued(width) + self._mixed(width)
        return latents + self.heads * of_head + width

    def divisible(self, width: int) -> int:
        """The shared key would be learned from each rank's own heads, so nothing can be cut."""
        return 1

    def cache_bytes(self, width: int, bytes_per_number: int) -> int:
        """A latent and the shared key, however many heads there are."""
        return (self.latent + self.turned_channels) * bytes_per_number

    def _matrices(self, width: int) -> int:
        """Parameters of the projections."""
        queries = self.heads * self.matched(width)
        of_queries = width * queries
        if self.query_latent is not None:
            of_queries = (width + queries) * self.query_latent
        down = width * (self.latent + self.turned_channels)
        up = self.latent * self.heads * (self.still(width) + self.valued(width))
        return of_queries + down + up + self.heads * self.valued(width) * width

    def _mixed(self, width: int) -> int:
        """Channels of a head as the kernels take them: as many of values as of queries and keys."""
        return max(self.matched(width), self.valued(width))

    def build(self, width: int, position: Any) -> Any:
        from harness_plugins.attention.latent.module import LatentAttention

        return LatentAttention(self, width, position)


@hookimpl
def register_attention() -> dict[str, type]:
    return {"latent": LatentConfig}
