"""Held-out examples of the suite's own corpora, written out as training writes them, and the tasks that hold them."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import numpy as np

from harness.data.dataset import Documents
from harness.data.examples import Renderer, behind, longest
from harness.data.split import is_held_out
from harness.interfaces.corpus import CorpusConfig, Example
from harness.interfaces.suite import HeldOut
from harness_plugins.suite.offline import OfflineConfig
from harness_plugins.suite.offline.suite import build as offline
from harness_plugins.suite.offline.suite import spread
from harness_plugins.suite.stages import StagesConfig
from harness_plugins.suite.stages.tasks import Answers, Generated, Preferences, Rendered

log = logging.getLogger(__name__)


def build(config: StagesConfig, tokenizer: Any) -> dict[str, Any]:
    """The tasks by name: those of suite=offline on `text`, then ``answers``, ``preferences`` and ``reward``."""
    return {**_of_documents(config, tokenizer), **_of_examples(config, tokenizer)}


def _of_documents(config: StagesConfig, tokenizer: Any) -> dict[str, Any]:
    own = {f.name: getattr(config, f.name) for f in dataclasses.fields(OfflineConfig)}
    if config.text is None:
        return offline(OfflineConfig(**{**own, "documents": 0, "pairs": 0}), [], tokenizer)
    return offline(OfflineConfig(**own), held_out(config.text, config.held_out), tokenizer)


def _of_examples(config: StagesConfig, tokenizer: Any) -> dict[str, Any]:
    renderer, tasks = Renderer(tokenizer, config.template), {}
    if config.answers is not None:
        tasks["answers"] = Answers("answers", chosen("answers", config, renderer, config.answers), tokenizer)
    if config.preferences is not None:
        of_two = chosen("preferences", config, renderer, config.preferences)
        tasks["preferences"] = Preferences("preferences", of_two, tokenizer)
    if config.prompts is not None:
        asked = chosen("prompts", config, renderer, config.prompts, room=config.new_tokens)
        until = [behind(tokenizer).strip()] if config.template == "tokenizer" else []
        settings = {"max_gen_toks": config.new_tokens, "until": until, **_sampling(config.temperature)}
        tasks["reward"] = Generated("reward", asked, tokenizer, config.reward.build(tokenizer), settings)
    return {name: task for name, task in tasks.items() if task.test_docs()}


def _sampling(temperature: float) -> dict[str, Any]:
    return {"do_sample": True, "temperature": temperature} if temperature else {"do_sample": False}


def held_out(corpus: CorpusConfig, share: float) -> list[HeldOut]:
    """The documents of each source that training holds out at this share."""
    found = []
    for source in corpus.mixture():
        built = source.corpus.build()
        numbers = [n for n, document in enumerate(built.read(0, len(built))) if is_held_out(document.origin, share)]
        found.append(HeldOut(source.name, Documents(source.corpus.build, np.array(numbers, dtype=np.int64))))
    return found


def chosen(slot: str, config: StagesConfig, renderer: Renderer, corpus: CorpusConfig, room: int = 0) -> list[Rendered]:
    """Held-out examples that fit into ``tokens`` less ``room``, evenly spread, each source with an equal part."""
    sources, found = held_out(corpus, config.held_out), []
    for source in sources:
        examples = [document for document in source.documents if isinstance(document, Example)]
        fitting = [
            Rendered(example, tokens_E, parts_E)
            for example, (tokens_E, parts_E) in zip(examples, renderer(examples), strict=True)
            if parts_E is not None and longest(parts_E) <= config.tokens - room
        ]
        found += spread(fitting, config.examples // len(sources))
    if not found:
        log.warning(
            "suite.%s is left out: its corpus holds no example out that fits into suite.tokens=%d.", slot, config.tokens
        )
    return found
