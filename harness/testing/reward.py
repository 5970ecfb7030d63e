"""What every reward promises: a finite number, the same of the same, whatever was generated."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from harness.testing.check import sound
from harness.testing.tokenizer import NASTY

PROMPT = 'def double(x):\n    """Twice."""\n'
#: What a model may write: nothing, what is asked for, what would do harm if it were run.
COMPLETIONS = (
    *NASTY,
    "    return 2 * x\n",
    "    raise SystemExit\n",
    "    while True: pass\n",
    "(" * 5000,
    "import os; os.environ['HARNESS_REWARD'] = 'ran'\n",
)


def judges_wrongly(reward: Any, prompt: str, completions: Sequence[str], fields: Mapping[str, Any]) -> str | None:
    """Whether it says what is no finite number, or something else when it is asked again, or runs what it is given."""
    import os

    before = dict(os.environ)
    for text in completions:
        first, second = (reward(prompt, text, fields) for _ in range(2))
        if not isinstance(first, (int, float)) or not math.isfinite(first):
            return f"Of the completion {text[:40]!r} it says {first!r}, which is no finite number."
        if first != second:
            return f"Of the completion {text[:40]!r} it says {first} and then {second}."
    return None if dict(os.environ) == before else "It has run a completion: the environment is another one."


class RewardKit:
    """Subclass it and give `config`, a `RewardConfig`; where it looks at them, a prompt and the fields of its row.

    class TestMine(RewardKit):
        config = MyConfig(name="mine")
    """

    config: ClassVar[Any]
    prompt: ClassVar[str] = PROMPT
    completions: ClassVar[Sequence[str]] = COMPLETIONS
    fields: ClassVar[Mapping[str, Any]] = {}

    def tokenizer(self) -> Any:
        from harness.config import plugin_config

        return plugin_config("tokenizer", "bytes", "tokenizer").train(())

    def test_it_says_the_same_finite_number_of_the_same(self) -> None:
        reward = self.config.build(self.tokenizer())
        sound(judges_wrongly(reward, self.prompt, self.completions, self.fields))
