"""Objectives, likelihoods, alignments and analyses with one fault each, of what is scored, preferred and found."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from harness.config import plugin_config
from harness.interfaces.analysis import AnalysisConfig, Drawing, Finding
from harness.interfaces.likelihood import Row
from harness.interfaces.visibility import Full
from harness.models.rewriting import Rewriting
from harness_plugins.alignment.dpo import DpoConfig
from harness_plugins.alignment.dpo.dpo import DirectPreferenceOptimisation
from harness_plugins.alignment.grpo import GrpoConfig
from harness_plugins.alignment.grpo.grpo import GroupRelative
from harness_plugins.likelihood.causal import CausalConfig, CausalLikelihood
from harness_plugins.likelihood.masked import MaskedConfig
from harness_plugins.likelihood.masked.masked import STEP, PseudoLikelihood
from harness_plugins.objective.clm.clm import CausalLanguageModelling
from harness_plugins.objective.prefix import PrefixConfig

# ---------------------------------------------------------------------------------- objectives


class LosesTwice(CausalLanguageModelling):
    def losses(self, model, batch):
        return {"clm": 2 * super().losses(model, batch)["clm"]}

    def counts(self, batch):
        return {"clm": 2 * super().counts(batch)["clm"]}


class ForetellsTheTokenAfterNext(CausalLanguageModelling):
    """Its loss is right for what it learns, and its model is asked for something else."""

    def prepare(self, sequences, randomness):
        batch = super().prepare(sequences, randomness)
        inputs_BT, targets_BT = batch.inputs_BT[:, :-1], batch.targets_BT[:, 1:]
        return replace(batch, inputs_BT=inputs_BT, targets_BT=targets_BT, weights_BT=batch.weights_BT[:, 1:])


@dataclass(kw_only=True)
class OpensBehindThePrefix(PrefixConfig):
    """An end token stands between prefix and text, where scoring has none."""

    def build(self, setting: Any) -> Any:
        return Rewriting("prefix", self.split, setting, opened=True, both_ways=True)


# --------------------------------------------------------------------------------- likelihoods


class OfOneRow(CausalLikelihood):
    """context and continuation as they are shown, and where the continuation is asked for."""

    def rows(self, context, continuation):
        (row,) = super().rows(context, continuation)
        return [self.changed(row, context, continuation)]


class ShowsTheAnswer(OfOneRow):
    def changed(self, row, context, continuation):
        shown = [*row.inputs[1:], continuation[-1]] if len(row.inputs) > 1 else [continuation[-1]]
        return replace(row, inputs=shown)


class NeverCuts(OfOneRow):
    def changed(self, row, context, continuation):
        shown = [*context, *continuation[:-1]]
        return Row(inputs=shown, places=range(len(context) - 1, len(shown)), targets=continuation)


class CutsTheEnd(OfOneRow):
    """Of a context that is too long it keeps the beginning."""

    def changed(self, row, context, continuation):
        kept = len(row.inputs) + 1 - len(continuation)
        return replace(row, inputs=[*context[:kept], *continuation[:-1]])


class LeavesOutTheLast(OfOneRow):
    def changed(self, row, context, continuation):
        return replace(row, places=row.places[:-1] or row.places, targets=continuation[:-1] or continuation)


class CountsTwice(OfOneRow):
    def changed(self, row, context, continuation):
        return replace(row, weight=2.0)


class AsksBehindTheRow(OfOneRow):
    def changed(self, row, context, continuation):
        return replace(row, places=[place + 1 for place in row.places])


class WritesElsewhere(CausalLikelihood):
    def opening(self, context):
        return Row(inputs=context[:-1])


@dataclass(kw_only=True)
class Causal(CausalConfig):
    """causal, made by another class."""

    def build(self, asked: Any) -> Any:
        return self.made_by(asked.length)


def causal(likelihood: type) -> Any:
    return type(likelihood.__name__, (Causal,), {"made_by": likelihood})(name=likelihood.__name__)


class CallsItselfProper(MaskedConfig):
    proper = True


class SamplesWithoutWeight(PseudoLikelihood):
    def sample(self, context, continuation, first):
        return self._asked(context, continuation, range(first, len(continuation), STEP), 1.0)


@dataclass(kw_only=True)
class CountsSamplesOnce(MaskedConfig):
    def build(self, asked: Any) -> Any:
        return SamplesWithoutWeight(asked)


# ---------------------------------------------------------------------------------- alignments


class PrefersTheWorse(DirectPreferenceOptimisation):
    def _margins(self, policy_BA, batch):
        return -super()._margins(policy_BA, batch)


class LiftsTheBetterAlone(DirectPreferenceOptimisation):
    """No gradient reaches the worse answers."""

    def _policy(self, model, batch):
        policy_BA, auxiliary = super()._policy(model, batch)
        return torch.stack([policy_BA[:, 0], policy_BA[:, 1].detach()], dim=1), auxiliary


class LearnsPrompts(DirectPreferenceOptimisation):
    def prepare(self, sequences, randomness):
        batch = super().prepare(sequences, randomness)
        return replace(batch, weights_BT=batch.weights_BT.flip(1).cummax(1).values.flip(1))


class AddsThePadding(DirectPreferenceOptimisation):
    def prepare(self, sequences, randomness):
        batch = super().prepare(sequences, randomness)
        return replace(batch, weights_BT=batch.weights_BT.cummax(1).values)


class ForgetsTheReference(DirectPreferenceOptimisation):
    def _margins(self, policy_BA, batch):
        return self.beta * (policy_BA[:, 0] - policy_BA[:, 1])


class MeansOverPairs(DirectPreferenceOptimisation):
    def losses(self, model, batch):
        terms = super().losses(model, batch)
        return {**terms, "dpo": terms["dpo"] / len(batch.extra["reference_BA"])}


class LooksUpByRow(DirectPreferenceOptimisation):
    """The reference of a pair is that of the place where it stands in its batch."""

    def prepare(self, sequences, randomness):
        numbered = replace(sequences, numbers_B=np.arange(len(sequences.places_B)))
        return super().prepare(numbered, randomness)


class ForgetsAnswersByChance(DirectPreferenceOptimisation):
    def prepare(self, sequences, randomness):
        batch = super().prepare(sequences, randomness)
        return replace(batch, weights_BT=batch.weights_BT * (torch.rand(batch.weights_BT.shape) < 0.8))


class SeesTheWholeAnswer(DirectPreferenceOptimisation):
    def _policy(self, model, batch):
        model.body(batch.inputs_BT, visibility=Full())
        return super()._policy(model, batch)


@dataclass(kw_only=True)
class Dpo(DpoConfig):
    """dpo, made by another class."""

    def build(self, setting: Any) -> Any:
        reference = setting.log_probabilities("reference")
        return self.made_by(self.beta, self.label_smoothing, reference, setting.sequence_length)


def dpo(alignment: type) -> Any:
    return type(alignment.__name__, (Dpo,), {"made_by": alignment})(name=alignment.__name__)


class TellsOneRow(DpoConfig):
    def rows(self):
        return 1


class GeneratesGlobally(GroupRelative):
    def collect(self, model, batch, generators):
        seeds = torch.randint(2**31, (len(generators),)).tolist()
        return super().collect(model, batch, [torch.Generator().manual_seed(seed) for seed in seeds])


@dataclass(kw_only=True)
class Grpo(GrpoConfig):
    def build(self, setting: Any) -> Any:
        return GeneratesGlobally(self, setting)


def grpo() -> Any:
    reward = plugin_config("reward", "parses", "reward")
    return Grpo(name="grpo", reward=reward, group=2, max_new_tokens=4, beta=0.0)


# ------------------------------------------------------------------------------------ analyses


@dataclass(kw_only=True)
class Mean(AnalysisConfig):
    """The mean loss, of two points or more."""

    def analyse(self, points):
        if len(set(points)) < 2:
            return Finding("mean", "not enough data", ["One point has no spread."], {})
        mean = sum(point.loss for point in points) / len(points)
        return Finding("mean", "ok", [f"The mean is {mean:.3f} nats per token."], {"mean": mean})


class NeedsAPoint(Mean):
    def analyse(self, points):
        first = points[0].loss
        return replace(super().analyse(points), values={"first": first})


class FindsInOnePoint(Mean):
    def analyse(self, points):
        return replace(super().analyse(points), verdict="ok")


class BootstrapsGlobally(Mean):
    def analyse(self, points):
        found = super().analyse(points)
        return replace(found, values={"drawn": float(np.random.rand())}) if found.verdict == "ok" else found


class SortsInPlace(Mean):
    def analyse(self, points):
        points.sort(key=lambda point: point.loss)
        return super().analyse(points)


class GivesNumpy(Mean):
    def analyse(self, points):
        return replace(super().analyse(points), values={"losses": np.array([point.loss for point in points])})


class DrawsNoFigure(Mean):
    def analyse(self, points):
        return replace(super().analyse(points), drawings=[Drawing("Losses", "One point each.", lambda: "a figure")])


class SaysNothing(Mean):
    def analyse(self, points):
        return replace(super().analyse(points), sentences=[])
