"""A mixture of experts (Shazeer et al. 2017): each token goes through the few experts that a router gives it to."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

from harness import hookimpl
from harness.config import ConfigError, option, slot
from harness.interfaces.parts import FeedforwardConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class MixtureOfExpertsConfig(FeedforwardConfig):
    """A router gives each token to top_k of many experts, each a feedforward of its own width; none is dropped.

    As it stands, Mixtral's (softmax over the chosen, a balance loss). Switch: top_k=1 normalise=false. DeepSeek-V3:
    score=sigmoid, scale, groups, shared, balance_loss=0.0001 bias_rate=0.001.
    """

    results_version: ClassVar[int] = 2  # 2: layers' losses add up

    defaults: list[Any] = field(
        default_factory=lambda: [
            "_self_",
            {"/architecture/feedforward@expert": "gated"},
            {"/architecture/feedforward@shared": None},
        ]
    )

    expert: Any = slot("feedforward", "what each expert is")
    shared: Any = slot("feedforward", "what every token goes through beside its experts", optional=True)
    experts: int = option(8, "experts", minimum=1)
    top_k: int = option(2, "experts that each token is given to", minimum=1)
    score: str = option(
        "softmax",
        "of an expert for a token: softmax over all experts, or a sigmoid for each",
        choices=("softmax", "sigmoid"),
    )
    normalise: bool = option(True, "whether the scores of a token's experts are divided by their sum (Mixtral)")
    scale: float = option(1.0, "the experts' sum is multiplied by it (DeepSeek-V3: 2.5)", minimum=0.0)
    groups: int = option(1, "groups of equally many experts, of which a token's are the best (DeepSeek-V3)", minimum=1)
    top_groups: int | None = option(None, "groups that a token's experts come from; null: all", minimum=1)
    group_best: int = option(2, "a group is as good as the sum of so many of its best experts", minimum=1)
    balance_loss: float = option(
        0.01, "weight of the balance loss (Fedus et al. 2022, equations 4–6), over each row, in each layer; 0: none",
        minimum=0.0,
    )  # fmt: skip
    z_loss: float = option(
        0.0, "weight of the router's z-loss (Zoph et al. 2022, equation 5), in each layer; 0: none", minimum=0.0
    )
    bias_rate: float = option(
        0.0, "how far a bias moves the choice to idle experts in a step (Wang et al. 2024); 0: no bias", minimum=0.0
    )

    def check(self) -> None:
        for part in (self.expert, self.shared):
            if isinstance(part, MixtureOfExpertsConfig):
                raise ConfigError("An expert is no mixture of experts itself: say expert=gated, or expert=mlp.")
        if self.experts % self.groups:
            raise ConfigError(f"experts={self.experts} cannot be put into groups={self.groups} of equal size.")
        groups, size = self.chosen_groups, self.experts // self.groups
        if groups > self.groups:
            raise ConfigError(f"top_groups={groups} is more than there are: groups={self.groups}.")
        if self.top_k > groups * size:
            raise ConfigError(
                f"top_k={self.top_k} is more than the {groups * size} experts that a token may choose of."
            )
        if self.top_k == 1 and self.normalise:
            raise ConfigError(
                "top_k=1 needs normalise=false: one score divided by itself is 1, whatever the router says, and so the "
                "loss would not teach it anything."
            )
        if groups == self.groups and self.group_best != MixtureOfExpertsConfig.group_best:
            raise ConfigError(
                f"group_best={self.group_best} does nothing where a token's experts come from all groups: leave it "
                "out, or say groups=… and top_groups=…, less than those."
            )
        if groups < self.groups and self.group_best > size:
            raise ConfigError(f"group_best={self.group_best} is more than the {size} experts of a group.")

    @property
    def chosen_groups(self) -> int:
        return self.top_groups or self.groups

    def computes(self, width: int) -> dict[str, Any]:
        resolved = {
            "expert": self.expert.computes(width),
            "shared": self.shared and self.shared.computes(width),
            "top_groups": self.chosen_groups,
            "bias_rate": self.bias_rate > 0,  # whether there is a bias: how fast it moves is the training's
        }
        training = ("balance_loss", "z_loss")
        return {name: value for name, value in {**super().computes(width), **resolved}.items() if name not in training}

    def parameters(self, width: int) -> int:
        shared = self.shared.parameters(width) if self.shared else 0
        return self.experts * width + self.experts * self.expert.parameters(width) + shared

    def active(self, width: int) -> int:
        """The router's, those of a token's experts, and the shared ones."""
        shared = self.shared.active(width) if self.shared else 0
        return self.experts * width + self.top_k * self.expert.active(width) + shared

    def flops(self, width: int) -> int:
        shared = self.shared.flops(width) if self.shared else 0
        return 2 * self.experts * width + self.top_k * self.expert.flops(width) + shared

    def activations(self, width: int) -> int:
        """The input; scores, the chosen and their weights; for each of a token's experts its copy of the input, what it
        keeps and its result; what is shared keeps beside the input."""
        shared = self.shared.activations(width) - width if self.shared else 0
        router = 2 * self.experts + 4 * self.top_k
        return width + router + self.top_k * (self.expert.activations(width) + width) + shared

    def products(self, width: int) -> int:
        """The router's logits, and those of a token's experts."""
        shared = self.shared.products(width) if self.shared else 0
        return self.experts + self.top_k * self.expert.products(width) + shared

    def divisible(self, width: int) -> int:
        """Each expert is cut like the feedforward that it is; the router is whole everywhere."""
        return math.gcd(*(part.divisible(width) for part in (self.expert, self.shared) if part))

    def build(self, width: int) -> Any:
        from harness_plugins.feedforward.mixture_of_experts.module import MixtureOfExperts

        return MixtureOfExperts(self, width)


@hookimpl
def register_feedforward() -> dict[str, type]:
    return {"mixture_of_experts": MixtureOfExpertsConfig}
