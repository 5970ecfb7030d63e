"""Whether the completion goes on with its prompt as Python that parses."""

from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness.config import option
from harness.interfaces.reward import Reward, RewardConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class ParsesConfig(RewardConfig):
    """1 where the prompt with the completion's whole lines parses as Python, and 0 otherwise. A line that the end of
    the completion has cut is left out, unless all of it parses."""

    least: int = option(16, "tokens that the lines hold, at least; blank ones and comments do not count", minimum=1)

    def build(self, tokenizer: Any) -> Reward:
        from harness_plugins.reward.parses.parses import Parses

        return Parses(tokenizer, self.least)


@hookimpl
def register_reward() -> dict[str, type]:
    return {"parses": ParsesConfig}
