"""The items of the default suite, and the tasks that hold them."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from typing import Any, TypeVar

from harness.data import synthetic
from harness.interfaces.corpus import Document
from harness.interfaces.suite import HeldOut
from harness_plugins.suite.offline import OfflineConfig
from harness_plugins.suite.offline.minimal_pairs import KINDS, is_python, minimal_pairs, read
from harness_plugins.suite.offline.tasks import HeldOutText, MinimalPairs, Problems

log = logging.getLogger(__name__)
One = TypeVar("One")


def build(config: OfflineConfig, held_out: Sequence[HeldOut], tokenizer: Any) -> dict[str, Any]:
    """The tasks by name: ``held_out_<source>``, ``pairs_<kind>``, and each kind of problem."""
    return {
        **_held_out_text(config, held_out, tokenizer),
        **_pairs(config, held_out),
        **_problems(config, tokenizer),
    }


def _held_out_text(config: OfflineConfig, held_out: Sequence[HeldOut], tokenizer: Any) -> dict[str, Any]:
    tasks = {}
    for source in held_out if config.documents else []:
        chosen = spread(source.documents, config.documents)
        excerpts = [(d.name, excerpt(d, config.excerpt_bytes, config.seed)) for d in chosen]
        excerpts = [(name, text) for name, text in excerpts if text]
        if excerpts:
            name = f"held_out_{source.source}"
            tasks[name] = HeldOutText(name, excerpts, tokenizer.encode)
        else:
            log.warning("Bits per byte of %s is left out: the corpus holds none of its documents out.", source.source)
    return tasks


def _pairs(config: OfflineConfig, held_out: Sequence[HeldOut]) -> dict[str, Any]:
    if not config.pairs:
        return {}
    documents = [d for source in held_out for d in spread(source.documents, config.pair_documents) if is_python(d)]
    if not documents:
        log.warning("Minimal pairs are left out: no held-out document is Python (named .py, with a text that parses).")
        return {}
    material, tasks = read(documents, config.pair_bytes), {}
    for kind in KINDS:
        pairs = minimal_pairs(material, kind, config.pairs, config.seed)
        if len(pairs) < config.pairs:
            log.warning(
                "pairs_%s: %d items, not %d: the held-out Python gives no more.", kind, len(pairs), config.pairs
            )
        if pairs:
            tasks[f"pairs_{kind}"] = MinimalPairs(f"pairs_{kind}", pairs)
    return tasks


def _problems(config: OfflineConfig, tokenizer: Any) -> dict[str, Any]:
    tasks = {}
    for kind, (least, greatest) in config.difficulty.items() if config.problems else ():
        rng = random.Random(f"suite/{config.seed}/{kind}")
        problems = [synthetic.make(kind, rng, rng.randint(least, greatest)) for _ in range(config.problems)]
        tasks[kind] = Problems(kind, problems, tokenizer.encode)
    return tasks


def spread(documents: Sequence[One], most: int) -> list[One]:
    """At most so many of the documents, evenly spread."""
    n = min(most, len(documents))
    return [documents[i * len(documents) // n] for i in range(n)]


def excerpt(document: Document, most_bytes: int, seed: int) -> str:
    """Whole lines from a random one on, so that not only the documents' beginnings are scored. A line that is
    longer than `most_bytes` alone is cut."""
    if len(document.text.encode()) <= most_bytes:
        return document.text
    lines = document.text.splitlines(keepends=True)
    start = random.Random(f"excerpt/{seed}/{document.name}").randrange(len(lines))
    text = ""
    for line in lines[start:]:
        if len((text + line).encode()) > most_bytes:
            break
        text += line
    return text or lines[start].encode()[:most_bytes].decode(errors="ignore")
