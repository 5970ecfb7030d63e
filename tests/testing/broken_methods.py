"""Objectives, rewards, samplers, suites, corpora and tokenizers with one fault each."""

import json
import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from harness.data.cache import digest
from harness.interfaces.corpus import CorpusConfig, Document
from harness.interfaces.reward import RewardConfig
from harness.interfaces.sampler import SamplerConfig
from harness.interfaces.suite import SuiteConfig
from harness.interfaces.visibility import Full
from harness.testing.objective import keyed
from harness_plugins.objective.clm import ClmConfig
from harness_plugins.objective.clm.clm import CausalLanguageModelling
from harness_plugins.objective.mlm import MlmConfig
from harness_plugins.objective.mlm.mlm import MaskedLanguageModelling
from harness_plugins.tokenizer.bytes import Bytes
from harness_plugins.tokenizer.bytes.bytes import ByteTokenizer

# ----------------------------------------------------------------------------------- objectives


class CountsIgnoreWeights(MaskedLanguageModelling):
    def counts(self, batch):
        return {"mlm": float(batch.weights_BT.numel())}


class DrawsGlobally(MaskedLanguageModelling):
    def prepare(self, sequences, randomness):
        return super().prepare(sequences, lambda place: np.random.default_rng(np.random.randint(2**31)))


class DrawsByRow(MaskedLanguageModelling):
    """Keyed by where a row stands in its batch."""

    def prepare(self, sequences, randomness):
        rows = iter(range(len(sequences.places_B)))
        return super().prepare(sequences, lambda place: keyed(next(rows)))


class DrawsForTheBatch(MaskedLanguageModelling):
    """One generator for all rows, that of the smallest place."""

    def prepare(self, sequences, randomness):
        one = randomness(int(sequences.places_B.min()))
        return super().prepare(sequences, lambda place: one)


class HidesTheEnd(MaskedLanguageModelling):
    def __init__(self, config, setting):
        super().__init__(config, setting)
        self.no_text = np.array([-1])


class ChoosesHalfAsMany(MaskedLanguageModelling):
    def __init__(self, config, setting):
        super().__init__(replace(config, rate=config.rate / 2), setting)


class GivesAMean(CausalLanguageModelling):
    def losses(self, model, batch):
        return {"clm": super().losses(model, batch)["clm"] / batch.weights_BT.sum()}


class LosesTheLastPlace(CausalLanguageModelling):
    """Its loss leaves out a place that counts."""

    def losses(self, model, batch):
        weights_BT = batch.weights_BT.clone()
        weights_BT[:, -1] = 0
        return super().losses(model, replace(batch, weights_BT=weights_BT))


class ShowsOtherTexts(CausalLanguageModelling):
    """The first token of each row is a space, whatever stands in the text."""

    def prepare(self, sequences, randomness):
        batch = super().prepare(sequences, randomness)
        batch.inputs_BT = batch.inputs_BT.clone()
        batch.inputs_BT[:, 0] = 0
        return batch


class WritesIntoItsRows(CausalLanguageModelling):
    def prepare(self, sequences, randomness):
        batch = super().prepare(sequences, randomness)
        batch.inputs_BT[:, 0] = 0
        return batch


class SeesAhead(CausalLanguageModelling):
    def losses(self, model, batch):
        return {"clm": model.body(batch.inputs_BT, visibility=Full()).hidden_BTC.sum()}


@dataclass(kw_only=True)
class Masked(MlmConfig):
    """mlm, made by another class."""

    def build(self, setting: Any) -> Any:
        return self.made_by(self, setting)


def masked(method: type) -> Any:
    return type(method.__name__, (Masked,), {"made_by": method})(name=method.__name__, rate=0.3)


@dataclass(kw_only=True)
class Causal(ClmConfig):
    """clm, made by another class."""

    def build(self, setting: Any) -> Any:
        return self.made_by(setting.attend_across_documents)


def causal(method: type) -> Any:
    return type(method.__name__, (Causal,), {"made_by": method})(name=method.__name__)


# ----------------------------------------------------------------------------------- tokenizers


class Tokenizer(ByteTokenizer):
    pass


class Strips(Tokenizer):
    def encode(self, text):
        return super().encode(text.strip())


class LosesHighBytes(Tokenizer):
    def encode(self, text):
        return [byte for byte in super().encode(text) if byte < 128]


class EndsEveryText(Tokenizer):
    def encode(self, text):
        return [*super().encode(text), self.end]


class EncodesAllLower(Tokenizer):
    def encode_all(self, texts):
        return [self.encode(text.lower()) for text in texts]


class Shuffles(Tokenizer):
    """Which byte has which number is drawn when it is trained."""

    def __init__(self):
        super().__init__()
        self.numbers = np.random.permutation(256).tolist()

    def encode(self, text):
        return [self.numbers[byte] for byte in super().encode(text)]


@dataclass(kw_only=True)
class LoadsAnother(Bytes):
    def load(self, folder):
        return Strips()


# -------------------------------------------------------------------------------------- corpora


@dataclass(kw_only=True)
class Corpus(CorpusConfig):
    """Twenty documents."""

    def fingerprint(self) -> str:
        return digest("twenty")

    def build(self) -> Any:
        return self

    def __len__(self) -> int:
        return 20

    def numbers(self) -> list[int]:
        return list(range(20))

    def read(self, start, stop):
        yield from (Document(f"Text {n}", f"document {n}") for n in self.numbers()[start:stop])


class AnotherOrderTheSecondTime(Corpus):
    def numbers(self):
        self.times = getattr(self, "times", 0) + 1
        return list(range(20)) if self.times < 2 else list(range(20))[::-1]


class AnotherOrderWhenBuilt(Corpus):
    def build(self):
        built = replace(self)
        self.times = built.times = getattr(self, "times", 0) + 1
        return built

    def numbers(self):
        return list(range(20))[:: -1 if self.times % 2 else 1]


class CountsFromTheStart(Corpus):
    """What it gives depends on where one begins to read."""

    def read(self, start, stop):
        yield from (Document(f"Text {n}", f"document {n}") for n in range(stop - start))


class HasNoNames(Corpus):
    def read(self, start, stop):
        yield from (Document(f"Text {n}", "") for n in range(start, stop))


class HashesByChance(Corpus):
    def fingerprint(self):
        return digest(os.urandom(4).hex())


# ------------------------------------------------------------------- samplers, rewards and suites


@dataclass(kw_only=True)
class Sampler(SamplerConfig):
    def build(self):
        return self.draw


class SamplesGlobally(Sampler):
    def draw(self, logits_BV, generator):
        return torch.multinomial(logits_BV.softmax(-1), 1).squeeze(1)


class SamplesAny(Sampler):
    def draw(self, logits_BV, generator):
        return torch.randint(logits_BV.shape[1], (len(logits_BV),), generator=generator)


@dataclass(kw_only=True)
class Reward(RewardConfig):
    def build(self, tokenizer):
        return self.judge


class DividesByLength(Reward):
    def judge(self, prompt, completion, fields):
        return completion.count("x") / len(completion) if completion else float("nan")


class RunsWhatItIsGiven(Reward):
    def judge(self, prompt, completion, fields):
        if completion.startswith("import os;"):
            exec(completion)
        return 1.0


@dataclass(kw_only=True)
class Suite(SuiteConfig):
    def build(self, held_out, tokenizer):
        from types import SimpleNamespace

        return {"numbers": SimpleNamespace(eval_docs=[{"n": self.number()}])}

    def number(self):
        return 1


class AsksByChance(Suite):
    def number(self):
        return int.from_bytes(os.urandom(4), "little")


class FingerprintByChance(Suite):
    def fingerprint(self):
        return json.dumps(os.urandom(4).hex())
