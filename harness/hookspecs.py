"""Every hook that a plugin may implement. The docstring is the contract.

A plugin is a module named by an entry point in the group ``harness.plugins``. It states
``HARNESS_INTERFACE = 1`` and implements any of these with ``harness.hookimpl``. What it registers are
Config classes (see `harness.interfaces`), which import nothing heavy; their ``build`` does.
"""

# mypy: disable-error-code="empty-body"
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pluggy

hookspec = pluggy.HookspecMarker("harness")

Configs = Mapping[str, type]


@hookspec
def register_architecture() -> Configs:
    """Names and `ArchitectureConfig` classes: whole bodies with their heads."""


@hookspec
def register_attention() -> Configs:
    """Names and `AttentionConfig` classes: how places look at each other."""


@hookspec
def register_position() -> Configs:
    """Names and `PositionConfig` classes: how places know where they are."""


@hookspec
def register_feedforward() -> Configs:
    """Names and `FeedforwardConfig` classes: what each place computes by itself."""


@hookspec
def register_norm() -> Configs:
    """Names and `NormConfig` classes."""


@hookspec
def register_head() -> Configs:
    """Names and `HeadConfig` classes: hidden states to what a method needs."""


@hookspec
def register_objective() -> Configs:
    """Names and `ObjectiveConfig` classes: batches and model to a loss."""


@hookspec
def register_alignment() -> Configs:
    """Names and `AlignmentConfig` classes: what people or programs prefer, to a loss."""


@hookspec
def register_likelihood() -> Configs:
    """Names and `LikelihoodConfig` classes: how a model is asked what a text is worth; methods name one."""


@hookspec
def register_reward() -> Configs:
    """Names and `RewardConfig` classes: a prompt and what was generated to a number."""


@hookspec
def register_adapter() -> Configs:
    """Names and `AdapterConfig` classes: few parameters beside a model that stays as it is."""


@hookspec
def register_quantizer() -> Configs:
    """Names and `QuantizerConfig` classes: weights in fewer bits."""


@hookspec
def register_optimizer() -> Configs:
    """Names and `OptimizerConfig` classes: gradients to updates."""


@hookspec
def register_schedule() -> Configs:
    """Names and `ScheduleConfig` classes: the learning rate over the run."""


@hookspec
def register_corpus() -> Configs:
    """Names and `CorpusConfig` classes: where documents come from."""


@hookspec
def register_tokenizer() -> Configs:
    """Names and `TokenizerConfig` classes: text to tokens and back."""


@hookspec
def register_sampler() -> Configs:
    """Names and `SamplerConfig` classes: logits to the next token."""


@hookspec
def register_suite() -> Configs:
    """Names and `SuiteConfig` classes: sets of lm-eval tasks."""


@hookspec
def register_tracker() -> Configs:
    """Names and `TrackerConfig` classes: where metrics are sent as well."""


@hookspec
def register_analysis() -> Configs:
    """Names and `AnalysisConfig` classes: the table of a study to a finding."""


@hookspec
def config_folders() -> Sequence[str]:
    """Folders of YAML presets, as ``pkg://package/folder`` or paths, laid out like ``conf/``."""


@hookspec
def task_folders() -> Sequence[str]:
    """Folders of lm-eval task files that ``suite=`` may name tasks from."""


@hookspec
def register_callbacks(config: Any, run: Any) -> Sequence[Any]:
    """Lightning callbacks for one run; they see every event inside the loop."""


@hookspec
def before_run(config: Any, run: Any) -> None:
    """Called once before a run trains, with its RunConfig and its `RunDir`."""


@hookspec
def after_run(config: Any, run: Any) -> None:
    """Called once when a run has ended well."""


@hookspec
def on_run_error(config: Any, run: Any, error: BaseException) -> None:
    """Called once when a run has ended badly; it may look, it cannot prevent."""


#: The kinds, in the order of the data's way: one hook each.
KINDS = tuple(
    name.removeprefix("register_")
    for name in list(globals())
    if name.startswith("register_") and name != "register_callbacks"
)
