"""Group relative policy optimization: completions of one prompt are judged against each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from harness import hookimpl
from harness.config import option, plugin_config, slot
from harness.interfaces.corpus import PROMPTS
from harness.interfaces.method import AlignmentConfig, Method, Setting

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class GrpoConfig(AlignmentConfig):
    """Group relative policy optimization (Shao et al. 2024): of each prompt's completions, those that a reward likes
    better than the others become likelier."""

    reads: ClassVar[str] = PROMPTS
    unit: ClassVar[str] = "units of advantage"
    leans_on: ClassVar[tuple[str, ...]] = ("reference",)
    generates: ClassVar[bool] = True

    defaults: list[Any] = field(default_factory=lambda: ["_self_", {"reward": "parses"}])

    reward: Any = slot("reward", "what a program thinks of a completion")
    group: int = option(8, "completions of each prompt", minimum=2)
    max_new_tokens: int = option(32, "tokens of a completion, at most; the end of an answer ends it before", minimum=1)
    temperature: float = option(1.0, "divides the logits, of what is sampled and of what is learned")
    top_k: int | None = option(None, "likeliest tokens that are sampled from; null: all", minimum=1)
    top_p: float | None = option(
        None, "the fewest likeliest tokens are sampled from whose probability is at least this; null: all", maximum=1.0
    )
    beta: float = option(0.04, "weight of the divergence from the reference, for each nat", minimum=0.0)
    scale_by_std: bool = option(
        True, "whether advantages are divided by their group's standard deviation; no: Dr. GRPO (Liu et al. 2025)"
    )
    normalize: str = option(
        "completion", "what the loss is a mean over. completion: completions, each one's tokens being averaged before "
        "(GRPO); token: all tokens of the step (DAPO, Yu et al. 2025); constant: max_new_tokens of every completion "
        "(Dr. GRPO)",
        choices=("completion", "token", "constant"),
    )  # fmt: skip
    mask_truncated: bool = option(
        False, "whether completions that max_new_tokens has cut are left out of the loss; rewarded they are"
    )

    def check(self) -> None:
        self.sampler()

    def rows(self) -> int:
        return self.group

    def room(self) -> int:
        return self.max_new_tokens

    def forward_passes(self) -> int:
        """The rollouts', and the reference's."""
        return 2 if self.beta else 1

    def sampler(self) -> Any:
        """The Config of what completions are drawn by."""
        own = {"temperature": self.temperature, "top_k": self.top_k, "top_p": self.top_p}
        return plugin_config("sampler", {"name": "categorical", **own}, "method")

    def build(self, setting: Setting) -> Method:
        from harness_plugins.alignment.grpo.grpo import GroupRelative

        return GroupRelative(self, setting)


@hookimpl
def register_alignment() -> dict[str, type]:
    return {"grpo": GrpoConfig}
