"""Whether every bracket and quote of the prompt and its completion has its counterpart."""

from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness.config import option
from harness.interfaces.reward import Reward, RewardConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class BracketsConfig(RewardConfig):
    """1 where every bracket and quote of the prompt and its completion has its counterpart, in any language, and 0
    otherwise."""

    least: int = option(16, "tokens of the completion, at least; blank lines do not count", minimum=1)

    def build(self, tokenizer: Any) -> Reward:
        from harness_plugins.reward.brackets.brackets import Brackets

        return Brackets(tokenizer, self.least)


@hookimpl
def register_reward() -> dict[str, type]:
    return {"brackets": BracketsConfig}
