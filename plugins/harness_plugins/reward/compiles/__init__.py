"""Whether the prompt and the whole completion compile as Python."""

from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness.config import option
from harness.interfaces.reward import Reward, RewardConfig

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class CompilesConfig(RewardConfig):
    """1 where the prompt and the whole completion compile as Python, which what only parses may not (a return outside
    of a function), and 0 otherwise. Nothing is executed."""

    least: int = option(16, "tokens of the completion, at least; blank lines and comments do not count", minimum=1)

    def build(self, tokenizer: Any) -> Reward:
        from harness_plugins.reward.compiles.compiles import Compiles

        return Compiles(tokenizer, self.least)


@hookimpl
def register_reward() -> dict[str, type]:
    return {"compiles": CompilesConfig}
