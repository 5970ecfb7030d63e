"""Optimizers, schedules, adapters, quantizers and trackers with one fault each."""

from dataclasses import dataclass, replace
from typing import Any

import torch

from harness.interfaces.optimizer import ScheduleConfig
from harness.interfaces.tracker import TrackerConfig
from harness_plugins.adapter.lora import LoraConfig
from harness_plugins.optimizer.adamw import AdamWConfig
from harness_plugins.quantizer.int8 import Int8Config
from harness_plugins.quantizer.qat_int8 import QatInt8Config

# ----------------------------------------------------------------------------------- optimizers


class WithoutState(torch.optim.AdamW):
    def state_dict(self):
        return {**super().state_dict(), "state": {}}


class ForgetsState(AdamWConfig):
    def build(self, parameters):
        built = super().build(parameters)
        built.__class__ = WithoutState
        return built


class DecaysBiases(AdamWConfig):
    def decay_of(self, one):
        return self.weight_decay


class Climbs(AdamWConfig):
    def build(self, parameters):
        built = super().build(parameters)
        for group in built.param_groups:
            group["maximize"] = True
        return built


class LeavesGainsOut(AdamWConfig):
    def build(self, parameters):
        return super().build([one for one in parameters if one.role != "gain"])


class ForgetsShares(AdamWConfig):
    def build(self, parameters):
        return super().build([replace(one, rate=1.0) for one in parameters])


# ------------------------------------------------------------------------------------ schedules


@dataclass(kw_only=True)
class AboveThePeak(ScheduleConfig):
    def factor(self, step, steps):
        return (step + 2) / steps


@dataclass(kw_only=True)
class NeverAtThePeak(ScheduleConfig):
    def factor(self, step, steps):
        return 0.5


@dataclass(kw_only=True)
class DividesByZero(ScheduleConfig):
    def factor(self, step, steps):
        return step / (steps - 1) if steps > 1 else float("nan")


# ------------------------------------------------------------------------------------- adapters


class ActsAtFirst(LoraConfig):
    def adapt(self, model):
        names = super().adapt(model)
        with torch.no_grad():
            for name in names:
                if not model.get_parameter(name).is_meta:
                    model.get_parameter(name).add_(0.1)
        return names


class NamesHalf(LoraConfig):
    def adapt(self, model):
        return list(super().adapt(model))[::2]


class LosesAGradient(LoraConfig):
    def adapt(self, model):
        names = super().adapt(model)
        for name, module in model.named_modules():
            if name.endswith("lora_A.default"):
                module.register_forward_hook(lambda module, inputs, output: output.detach())
        return names


class MergesNothing(LoraConfig):
    def merge(self, model):
        for module in model.modules():
            for name, child in list(module.named_children()):
                if hasattr(child, "base_layer"):
                    setattr(module, name, child.base_layer)


# ----------------------------------------------------------------------------------- quantizers


class ClaimsWhatItLeaves(Int8Config):
    def convert(self, model):
        told = super().convert(model)
        name = "body.tokens.weight"
        return replace(
            told,
            quantized={**told.quantized, name: told.left[name]},
            left={other: size for other, size in told.left.items() if other != name},
            squares={**told.squares, name: (0.0, 1.0)},
        )


class RoundsWhatItLeaves(Int8Config):
    def convert(self, model):
        told = super().convert(model)
        with torch.no_grad():
            model.body.tokens.weight.round_(decimals=1)
        return told


class LosesScales(Int8Config):
    def load(self, model, tensors, recipe):
        halved = {name: tensor / 2 if name.endswith("scale") else tensor for name, tensor in tensors.items()}
        super().load(model, halved, recipe)


class RoundsTooMuch(Int8Config):
    def convert(self, model):
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.endswith("up.weight"):
                    parameter.zero_()
        return super().convert(model)


class DoublesInTheEnd(QatInt8Config):
    """What it ends as is not what was trained."""

    def convert(self, model):
        with torch.no_grad():
            model.body.tokens.weight.mul_(2)
        return super().convert(model)


# ------------------------------------------------------------------------------------- trackers


@dataclass(kw_only=True)
class Tracker(TrackerConfig):
    def build(self, run: Any, config: Any) -> Any:
        self.run = run
        return self

    def log(self, row):
        pass

    def close(self, result):
        pass


class FailsOnText(Tracker):
    def log(self, row):
        [float(value) for name, value in row.items() if name not in ("event", "grad_norms")]


class WritesIntoMetrics(Tracker):
    def log(self, row):
        with (self.run.path / "metrics.jsonl").open("a") as file:
            file.write("{}\n")
