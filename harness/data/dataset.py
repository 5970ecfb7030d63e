"""From a run's config to its data: the one entry that the other rooms call."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np

from harness.config import ConfigError
from harness.data.cache import cached_folder, digest, made_by
from harness.data.cells import Cut
from harness.data.curriculum import Stage
from harness.data.order import Permutation, quantise
from harness.data.shards import Progress, Shards, Side, shards
from harness.data.split import is_held_out
from harness.data.stream import Part, Stream
from harness.errors import UserError
from harness.files import CHECKSUMS, checksum
from harness.interfaces.batch import Sequences
from harness.interfaces.corpus import DOCUMENTS, Corpus, CorpusConfig, Document, Example, Source
from harness.interfaces.method import MethodConfig
from harness.interfaces.suite import HeldOut
from harness.interfaces.tokenizer import Tokenizer
from harness.schema import RunConfig

#: Bytes of training text that a tokenizer is trained on, at most.
SAMPLE_BYTES = 16_000_000
#: Held-out sequences always come in this order, whatever a run's seed.
VALIDATION_SEED = 0


def fingerprint(config: RunConfig, inherited: Path | None = None) -> str:
    """A hash of all that determines the data but its order: the sources' content, their shares, the tokenizer, the
    split, the template. Reads the content, tokenises nothing. inherited: the folder of another run's tokenizer, which
    this one uses. Raises UserError where the content cannot be read."""
    tokenizer = checksum(inherited / CHECKSUMS) if inherited else config.tokenizer.fingerprint()
    template = {} if form_of(config.corpus) == DOCUMENTS else {"template": config.data.template}
    return digest({**content(config), "tokenizer": tokenizer, **template})


def content(config: RunConfig) -> dict[str, object]:
    """What of the data does not depend on the tokenizer."""
    sources = config.corpus.mixture()
    counts = quantise([source.weight for source in sources]).tolist()
    listed = [[s.name, s.corpus.fingerprint(), n] for s, n in zip(sources, counts, strict=True)]
    return {"sources": listed, "held_out": config.data.held_out}


def form_of(corpus: CorpusConfig) -> str:
    """What its documents are. Raises ConfigError for a mix of several forms."""
    forms = {source.name: source.corpus.form() for source in corpus.mixture()}
    if len(set(forms.values())) > 1:
        said = ", ".join(f"{name} {form}" for name, form in forms.items())
        raise ConfigError(f"corpus={corpus.name} mixes several forms: {said}. A method reads one of them.")
    return next(iter(forms.values()))


@dataclass(frozen=True)
class Loaded:
    """One source with its shards."""

    source: Source
    shards: Shards


@dataclass(frozen=True)
class Dataset:
    """What a run trains and is scored on.

    fingerprint: see the function. tokenizer_folder: the tokenizer's files. cut: what stands at one place of the stream.
    template: how examples are written out; None: documents are not. rows: what the model sees of one place.
    """

    tokenizer: Tokenizer
    tokenizer_folder: Path
    sources: Sequence[Loaded]
    cut: Cut
    fingerprint: str
    template: str | None = None
    rows: int = 1

    @property
    def sequence_length(self) -> int:
        return self.cut.length

    def stream(self, seed: int, stages: Sequence[Stage] = ()) -> Stream:
        """The endless training stream; stages: of a run with a curriculum. Raises UserError where a source fills not
        one place."""
        parts = [Part(s.source.name, s.shards.train, s.source.weight) for s in self.sources]
        return Stream(parts, self.cut, seed, stages)

    def validation(self, at_most: int) -> Sequences:
        """Held-out sequences in the sources' proportions, none twice, the same for every seed; the first ones of
        any larger number. Sources without a whole held-out sequence are left out; there may be none at all."""
        parts = [Part(s.source.name, s.shards.held_out, s.source.weight) for s in self.sources]
        kept = [number for number, part in enumerate(parts) if len(self.cut(part.side))]
        parts = [parts[number] for number in kept]
        if not parts:
            empty = np.zeros((0, self.sequence_length + 1), dtype=np.int64)
            return Sequences(empty, empty.copy(), np.zeros(0, dtype=np.int64), empty.astype(np.uint8))
        stream = Stream(parts, self.cut, VALIDATION_SEED)
        found = stream.sequences(0, min(at_most, stream.first_repeat()))
        assert found.sources_B is not None
        found.sources_B = np.array(kept)[found.sources_B]
        return found

    def examples(self, sources: Sequence[int], numbers: Sequence[int]) -> list[Example]:
        """The examples behind single-example rows, by the `sources_B` and `numbers_B` of `Sequences`."""
        return [next(iter(self._corpora[s].read(n, n + 1))) for s, n in zip(sources, numbers, strict=True)]

    @functools.cached_property
    def _corpora(self) -> list[Any]:
        return [source.source.corpus.build() for source in self.sources]

    @functools.cached_property
    def held_out(self) -> list[HeldOut]:
        """The held-out documents of each source, read when they are looked at."""
        return [
            HeldOut(s.source.name, Documents(s.source.corpus.build, s.shards.held_out.numbers_D)) for s in self.sources
        ]

    def left_out(self) -> list[str]:
        """What is told of each source some of whose training examples are too long."""
        sides = [(s.source.name, s.shards.train) for s in self.sources]
        counts = [(name, self.cut.left_out(side), len(side.numbers_D)) for name, side in sides]
        free = f", {self.cut.room} of them for answers" if self.cut.room else ""
        return [
            f"corpus {name}: {count} of {all_of_them} examples do not fit into data.sequence_length="
            f"{self.sequence_length} tokens{free}, and are left out"
            for name, count, all_of_them in counts
            if count
        ]

    @property
    def unique_tokens(self) -> dict[str, int]:
        """Training tokens of each source, each counted once."""
        return {s.source.name: s.shards.train.tokens for s in self.sources}

    def epochs(self, tokens: int, stages: Sequence[Stage] = ()) -> dict[str, float]:
        """How often a budget of training tokens goes through each source."""
        stream = self.stream(0, stages)
        each = zip(stream.parts, self._drawn(stream, tokens), stream.sizes, strict=True)
        return {part.name: drawn / size for part, drawn, size in each}

    def places(self, epochs: float) -> int:
        """Places of the stream after which every source has been gone through so often."""
        stream = self.stream(0)
        lasts = [max(0, math.ceil(epochs * size) - 1) for size in stream.sizes]
        return max(stream.mixture.place_of(source, last) for source, last in enumerate(lasts)) + 1

    def distinct(self, tokens: int, stages: Sequence[Stage] = ()) -> int:
        """Training tokens that a budget sees, repeats not counted."""
        stream = self.stream(0, stages)
        each = zip(stream.orders, self._drawn(stream, tokens), strict=True)
        return sum(order.distinct(drawn) for order, drawn in each) * self.place_tokens

    @property
    def place_tokens(self) -> int:
        """Tokens that the model sees of one place."""
        return self.sequence_length * self.rows

    def _drawn(self, stream: Stream, tokens: int) -> list[int]:
        """The places of each source that a budget draws."""
        drawn: list[int] = stream.mixture.counts_before(-(-tokens // self.place_tokens)).tolist()
        return drawn

    @property
    def bytes_per_token(self) -> float:
        """Bytes of UTF-8 for one training token, end tokens counted, in the sources' proportions."""
        total = sum(s.source.weight for s in self.sources)
        return sum(s.source.weight / total * _bytes_per_token(s.shards.train) for s in self.sources)


def _bytes_per_token(side: Side) -> float:
    return side.text_bytes / max(1, side.tokens)


class Documents(Sequence[Document]):
    """Some documents of a corpus, by their numbers, read one by one."""

    def __init__(self, build: Callable[[], Corpus], numbers: np.ndarray) -> None:
        self._corpus = functools.cache(build)
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> Document: ...
    @overload
    def __getitem__(self, index: slice) -> list[Document]: ...
    def __getitem__(self, index: int | slice) -> Document | list[Document]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        number = int(self._numbers[index])
        return next(iter(self._corpus().read(number, number + 1)))


def prepare(config: RunConfig, progress: Progress | None = None, inherited: Path | None = None) -> Dataset:
    """The data of a run: tokenizer trained and documents tokenised, or both found in the cache.

    inherited: as `fingerprint` has it. progress(done, total), in documents, is called while shards are made, for each
    source in turn. Raises UserError where a corpus cannot be read or has nothing to train on.
    """
    sources, share = config.corpus.mixture(), config.data.held_out
    template = None if form_of(config.corpus) == DOCUMENTS else config.data.template
    folder = inherited or tokenizer_folder(config)
    tokenizer = config.tokenizer.load(folder)
    key = digest([made_by(config.tokenizer), checksum(folder / CHECKSUMS)])
    loaded = []
    for source in sources:
        made = shards(source.corpus, tokenizer, key, share, progress or (lambda done, total: None), template)
        if not made.train.tokens and config.method:  # what is not trained is scored on what is held out
            raise UserError(
                f"corpus {source.name} has no text to train on: it is empty, or data.held_out={share} keeps all of it "
                "for the examination. Give it more text, or hold less of it out."
            )
        loaded.append(Loaded(source, made))
    method = config.method or MethodConfig()
    cut = Cut(method.cut(), config.data.sequence_length, method.room())
    return Dataset(tokenizer, folder, loaded, cut, fingerprint(config, inherited), template, method.rows())


def tokenizer_folder(config: RunConfig) -> Path:
    """A run's own tokenizer in the cache, trained where it needs to be."""
    tokenizer, trained = config.tokenizer, config.tokenizer.needs_training()
    read = content(config) if trained else None
    key = digest({"made": made_by(tokenizer), "tokenizer": tokenizer.fingerprint(), "content": read})
    texts = _sample(config.corpus.mixture(), config.data.held_out) if trained else iter(())
    return cached_folder("tokenizers", key, lambda folder: tokenizer.train(texts).save(folder))


def _sample(sources: Sequence[Source], held_out: float) -> Iterator[str]:
    """Training documents in a fixed random order, up to `SAMPLE_BYTES` shared as the sources share the stream."""
    total = sum(source.weight for source in sources)
    for source in sources:
        corpus, left = source.corpus.build(), SAMPLE_BYTES * source.weight / total
        for number in _shuffled(len(corpus)):
            if left <= 0:
                break
            document = next(iter(corpus.read(number, number + 1)))
            if not is_held_out(document.origin, held_out):
                left -= len(document.text.encode())
                yield document.text


def _shuffled(n: int) -> Iterator[int]:
    for start in range(0, n, 1024):
        yield from Permutation(n, "tokenizer")(np.arange(start, min(n, start + 1024))).tolist()
