"""The suite of a chain of runs: every stage is asked the same, whatever it was trained on."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness import hookimpl
from harness.config import ConfigError, option, slot, to_mapping
from harness.interfaces.corpus import CONVERSATIONS, DOCUMENTS, PREFERENCES, PROMPTS, CorpusConfig
from harness.interfaces.suite import HeldOut
from harness_plugins.suite.offline import OfflineConfig

HARNESS_INTERFACE = 1

#: The slots and the form of the corpus that each takes.
FORMS = {"text": DOCUMENTS, "answers": CONVERSATIONS, "preferences": PREFERENCES, "prompts": PROMPTS}


@dataclass(kw_only=True)
class StagesConfig(OfflineConfig):
    """Held-out parts of corpora of its own, the same for every run of a chain: what suite=offline asks of documents,
    loss on answers, which of two answers is the likelier, and the reward of what is generated."""

    text: Any = slot("corpus", "documents, asked about as suite=offline does; null: only problems are", optional=True)
    answers: Any = slot("corpus", "conversations, for bits per byte of their answers; null: none", optional=True)
    preferences: Any = slot("corpus", "pairs of answers, for accuracy and margin; null: none", optional=True)
    prompts: Any = slot("corpus", "prompts to generate from, for the reward; null: none", optional=True)
    reward: Any = slot("reward", "what a generated answer earns", optional=True)
    held_out: float = option(
        0.05, "share of its corpora that is asked, by the same hash that holds documents out of training; at most "
        "data.held_out of every run of the chain",
        minimum=0.0, maximum=0.9,
    )  # fmt: skip
    template: str = option(
        "plain", "how examples are written out, as data.template", choices=("plain", "chat", "tokenizer")
    )
    examples: int = option(200, "held-out examples of each corpus that are asked, at most", minimum=1)
    tokens: int = option(
        128,
        "tokens of an example, prompt and answer; longer ones are not asked. At most data.sequence_length",
        minimum=2,
    )
    new_tokens: int = option(48, "tokens that are generated from a prompt, at most", minimum=1)
    temperature: float = option(1.0, "of what is generated; 0: always the likeliest token", minimum=0.0)

    def check(self) -> None:
        super().check()
        for name, corpus in self.corpora():
            for source in corpus.mixture():
                if source.corpus.form() != FORMS[name]:
                    raise ConfigError(f"{name} takes {FORMS[name]}, and {source.name} holds {source.corpus.form()}.")
        if (self.prompts is None) != (self.reward is None):
            there, missing = ("prompts", "reward") if self.reward is None else ("reward", "prompts")
            raise ConfigError(f"{there} is given without {missing}: what is generated from prompts needs a reward.")
        if self.prompts is not None and self.new_tokens >= self.tokens:
            raise ConfigError(
                f"new_tokens={self.new_tokens} leaves nothing of tokens={self.tokens} for a prompt: raise tokens."
            )

    def corpora(self) -> Iterator[tuple[str, CorpusConfig]]:
        """The slots that are filled, with their corpora."""
        yield from ((name, corpus) for name in FORMS if (corpus := getattr(self, name)) is not None)

    def needs_held_out(self) -> bool:
        return False  # the runs' own: questions come from the suite's corpora

    def asks_of(self) -> float:
        return self.held_out if any(True for _ in self.corpora()) else 0.0

    def fingerprint(self) -> str:
        """Its options, and of its corpora what they hold, not where it lies."""
        options = {name: value for name, value in to_mapping(self).items() if name not in FORMS}
        content = {
            name: [[source.name, source.corpus.fingerprint()] for source in corpus.mixture()]
            for name, corpus in self.corpora()
        }
        judged = None if self.reward is None else self.reward.results_version
        return json.dumps([options, content, judged], sort_keys=True)

    def build(self, held_out: Sequence[HeldOut], tokenizer: Any) -> dict[str, Any]:
        from harness_plugins.suite.stages.suite import build

        return build(self, tokenizer)


@hookimpl
def register_suite() -> dict[str, type]:
    return {"stages": StagesConfig}
