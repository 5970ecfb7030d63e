"""What the configs of a run and of the other verbs are made of, written in the language of `harness.config`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

from harness.config import MISSING, Config, ConfigError, fields_of, option, section, slot
from harness.errors import suggest

#: What a run may start from, and what it may lean on.
STARTS = ("init", "continue")
ROLES = (*STARTS, "reference", "teacher")

#: What PyTorch's generators take.
SEEDS: dict[str, Any] = {"minimum": 0, "maximum": 2**63 - 1}


@dataclass(kw_only=True)
class SeedConfig(Config):
    """One seed for each source of chance; what is null is `seed`."""

    init: int | None = option(None, "seed of the weights' initialisation; null: seed", **SEEDS)
    data: int | None = option(None, "seed of the order of the data and of choices about it; null: seed", **SEEDS)
    noise: int | None = option(None, "seed of dropout, generation and other noise; null: seed", **SEEDS)


@dataclass(kw_only=True)
class CurriculumConfig(Config):
    """What a run begins with, in stages: each is a share of the run's steps that it lasts up to, and a number; what
    `data` says comes behind the last."""

    sequence_length: list[list[float]] = option(
        [], "[[0.3, 64], …]: up to that share of the steps sequences are shown in pieces of so many tokens, as rows of "
        "their own (Press et al. 2021, Shortformer); the tokens of a step stay as many", neutral=[],
    )  # fmt: skip
    batch_size: list[list[float]] = option(
        [], "[[0.1, 2], …]: up to that share of the steps a step has so many sequences", neutral=[]
    )
    easiest: list[list[float]] = option(
        [], "[[0.2, 0.5], …]: up to that share of the steps sequences are drawn from that share of each source's that "
        "is easiest, of the most frequent tokens (competence and word rarity of Platanios et al. 2019)", neutral=[],
    )  # fmt: skip
    sources: list[list[Any]] = option(
        [], "[[0.4, {web: 9, code: 1}], …]: up to that share of the steps the sources of corpus=mix weigh so; one "
        "that is not named is not drawn", neutral=[],
    )  # fmt: skip

    def check(self) -> None:
        for name in ("sequence_length", "batch_size"):
            self._check(name, lambda number: number >= 1 and number == int(number), "a whole number above 0")
        self._check("easiest", lambda share: 0 < share < 1, "another share, below 1")
        self._check("sources", _are_weights, "weights by source, none below 0, one of them above")
        self.sources = [[share, {label: float(w) for label, w in weights.items()}] for share, weights in self.sources]
        if any(here >= then for (_, here), (_, then) in pairwise(self.easiest)):
            raise ConfigError(f"easiest={self.easiest}: what is drawn from grows from stage to stage.")

    def _check(self, name: str, fits: Callable[[Any], bool], wanted: str) -> None:
        stages = getattr(self, name)
        if any(len(stage) != 2 or not isinstance(stage[0], (int, float)) or not fits(stage[1]) for stage in stages):
            raise ConfigError(f"{name}={stages} are no stages: give pairs of a share and {wanted}.")
        bounds = [0.0, *(share for share, _ in stages), 1.0]
        if any(here >= then for here, then in pairwise(bounds)) and stages:
            raise ConfigError(f"{name}={stages}: the shares rise, between 0 and 1.")


def _are_weights(value: Any) -> bool:
    if not isinstance(value, Mapping) or not all(isinstance(weight, (int, float)) for weight in value.values()):
        return False
    return all(0 <= weight < float("inf") for weight in value.values()) and any(value.values())


@dataclass(kw_only=True)
class DataConfig(Config):
    """How tokens become batches."""

    sequence_length: int = option(128, "tokens in one sequence", minimum=1)
    batch_size: int = option(8, "sequences in one optimizer step, over all devices", minimum=1)
    attend_across_documents: bool = option(True, "whether attention crosses documents packed into one sequence")
    held_out: float = option(0.05, "share of documents held out, by hash of their text", minimum=0.0, maximum=0.9)
    template: str = option(
        "plain", "how examples are written out. plain: their texts as they are; chat: with who speaks; tokenizer: by "
        "the tokenizer's own chat template",
        neutral="plain", choices=("plain", "chat", "tokenizer"),
    )  # fmt: skip
    retrain_tokenizer: bool = option(
        False, "whether a tokenizer learns from the corpus anew where parents has one of the same settings",
        identity=False,
    )  # fmt: skip
    workers: int = option(0, "processes that prepare batches; 0: the training process", identity=False, minimum=0)
    curriculum: CurriculumConfig = section(CurriculumConfig, "what a run begins with, in stages")

    def check(self) -> None:
        for _, length in self.curriculum.sequence_length:
            if self.sequence_length % length:
                raise ConfigError(
                    f"data.curriculum.sequence_length has {length:g}, which does not divide data.sequence_length="
                    f"{self.sequence_length}: its pieces would not be of one length."
                )
        for _, size in self.curriculum.batch_size:
            if size > self.batch_size:
                raise ConfigError(
                    f"data.curriculum.batch_size has {size:g}, more than the data.batch_size={self.batch_size} that "
                    "comes behind it. Steps grow."
                )


@dataclass(kw_only=True)
class BudgetConfig(Config):
    """How long to train, in whole steps, rounded up. One of the first four, or else `tokens_per_parameter`."""

    steps: int | None = option(None, "optimizer steps; null: from what follows", minimum=1, maximum=10**12)
    epochs: float | None = option(
        None, "times through the data, through the source that is used up last; null: from what follows", minimum=0.0,
        maximum=1e6,
    )  # fmt: skip

    tokens: int | None = option(None, "training tokens; null: from what follows", minimum=1, maximum=10**15)
    flops: float | None = option(
        None, "training FLOPs, exact convention, in place of tokens; null: from what follows", minimum=1.0, maximum=1e30
    )
    tokens_per_parameter: float = option(
        20.0, "training tokens for each parameter (all of them)", minimum=0.0, maximum=1e6
    )


@dataclass(kw_only=True)
class ScaleConfig(Config):
    """The one number of a ladder's rung; conf/scale/ says what follows from it."""

    width: int | None = option(None, "width of the rung, in channels", minimum=1)
    width_per_layer: int = option(16, "channels of width for each layer", minimum=1)
    width_per_head: int = option(16, "channels of width for each attention head", minimum=1)
    lr_times_width: float = option(0.48, "peak learning rate times width", minimum=0.0)
    init_std_times_root_width: float = option(
        0.5, "standard deviation of matrices at the start times √width", minimum=0.0
    )
    base_width: int | None = option(
        None, "the width whose learning rate and initialisation all rungs have, and follow their width from there by "
        "architecture.base_width (scale=ladder_mup); null: each rung has its own", neutral=None, minimum=1,
    )  # fmt: skip


@dataclass(kw_only=True)
class TrainerConfig(Config):
    """How the run is carried out."""

    precision: str = option(
        "fp32", "fp32; bf16: bfloat16 autocast, float32 weights; bf16-true: all bfloat16; fp16: float16 autocast with "
        "scaled losses, float32 weights, GPUs only",
        choices=("fp32", "bf16", "bf16-true", "fp16"),
    )  # fmt: skip
    gradient_clip: float | None = option(1.0, "largest global norm of the gradient; null: no clipping", minimum=0.0)
    micro_batch: int | None = option(None, "sequences in one forward pass; null: the batch", identity=False, minimum=1)
    accelerator: str = option("auto", "auto, cpu or gpu", identity=False, choices=("auto", "cpu", "gpu"))
    devices: int = option(1, "processes that train the run together, each on its own GPU", identity=False, minimum=1)
    strategy: str = option(
        "ddp", "ddp: each device holds the whole model; fsdp: weights, gradients and optimizer state are shared out",
        identity=False, choices=("ddp", "fsdp"),
    )  # fmt: skip
    tensor_parallel: int = option(
        1, "devices that share every matrix of a block; the others of `devices` share the batch",
        identity=False, minimum=1,
    )  # fmt: skip
    activation_checkpointing: str = option(
        "none", "what is computed again in the backward pass. none; blocks: all but each block's input; selective: all "
        "but the results of matrix products and attention",
        identity=False, choices=("none", "blocks", "selective"),
    )  # fmt: skip
    compile: bool = option(False, "whether each block is compiled by torch.compile", identity=False)
    threads: int = option(1, "CPU threads of one process", identity=False, minimum=1)
    deterministic: bool = option(True, "deterministic algorithms only", identity=False)
    log_every: int = option(10, "steps between two lines of metrics.jsonl", identity=False, minimum=1)
    checkpoints: int = option(
        10, "checkpoints in a run, evenly spaced; the last is the result", identity=False, minimum=1
    )
    keep: int = option(2, "newest checkpoints that are kept", identity=False, minimum=1)


@dataclass(kw_only=True)
class WatchConfig(Config):
    """What is watched while a run trains. What changes nothing but metrics.jsonl is no part of its identity:
    validations are one where they can end the run, the bound of a spike where something is done about it."""

    norms_every: int | None = option(
        None,
        "steps between two rows of gradient, weight and update norms by part; null: none",
        identity=False,
        minimum=1,
    )
    activations_every: int | None = option(
        None, "steps between two rows of each block's activation scale; null: none", identity=False, minimum=1
    )
    validate_every: int | None = option(
        None, "steps between two held-out losses; null: at the end only", identity="patience", minimum=1
    )
    sample_every: int | None = option(None, "steps between two text samples; null: none", identity=False, minimum=1)
    sample_prompt: str = option("", "what a text sample goes on from", identity=False)
    sample_tokens: int = option(64, "tokens of a text sample", identity=False, minimum=1)
    spike: float = option(
        6.0, "a loss or gradient norm so many deviations above the median of the last steps is a spike", neutral=6.0,
        identity="on_spike", minimum=1.0,
    )  # fmt: skip
    on_spike: str = option(
        "record", "record: go on; skip: leave that batch out; roll_back: to the last checkpoint, and leave it out",
        neutral="record", choices=("record", "skip", "roll_back"),
    )  # fmt: skip
    patience: int | None = option(
        None, "validations without a better held-out loss after which the run ends; null: it never ends early",
        neutral=None, minimum=1,
    )  # fmt: skip

    def check(self) -> None:
        if self.patience is not None and self.validate_every is None:
            raise ConfigError(
                f"watch.patience={self.patience} needs watch.validate_every, the steps between validations."
            )


@dataclass(kw_only=True)
class LauncherConfig(Config):
    """Where several runs are carried out."""

    name: str = option("local", "the launcher's name", identity=False)
    workers: int | None = option(
        None, "runs side by side; null: as many as there are cores or GPUs for", identity=False, minimum=1
    )
    pin: bool = option(True, "whether each run keeps to cores of its own, where there are enough", identity=False)


@dataclass(kw_only=True)
class RunConfig(Config):
    """Everything about one run. One composed RunConfig is one model; its identity is what determines the result."""

    corpus: Any = slot("corpus", "the documents", identity=False)  # its content's hash stands for it
    tokenizer: Any = slot("tokenizer", "documents to tokens")
    data: DataConfig = section(DataConfig, "tokens to batches")
    architecture: Any = slot("architecture", "the model")
    scale: ScaleConfig = section(ScaleConfig, "the rung of a ladder", identity=False)
    method: Any = slot(
        "method", "what turns data and model into a loss: an objective or an alignment; none: nothing is trained",
        optional=True,
    )  # fmt: skip
    adapter: Any = slot("adapter", "few parameters that are trained beside those of parents.init", optional=True)
    quantizer: Any = slot("quantizer", "weights in fewer bits: of parents.init, or in training", optional=True)
    optimizer: Any = slot("optimizer", "how gradients become updates")
    schedule: Any = slot("schedule", "the learning rate over the run")
    budget: BudgetConfig = section(BudgetConfig, "how long to train", identity=False)  # the steps stand for it
    parents: dict[str, str | None] = option(
        dict.fromkeys(ROLES), "what the run starts from, by role: a run as <id>[@step], or a folder of transformers. "
        "init: weights; continue: weights, optimizer and place in the stream; reference: the model that an alignment "
        "stays near, null: init; teacher: the model whose predictions an objective learns from",
        identity=False,  # their ids stand for them
    )  # fmt: skip
    trainer: TrainerConfig = section(TrainerConfig, "how the run is carried out")
    watch: WatchConfig = section(WatchConfig, "what is watched while it trains")
    seed: int = option(0, "the seed of everything that seeds leaves null", identity=False, **SEEDS)
    seeds: SeedConfig = section(SeedConfig, "a seed for each source of chance")
    suite: Any = slot("suite", "the tasks that score the model", identity=False, optional=True)
    tracker: Any = slot("tracker", "where metrics are sent as well", identity=False, optional=True)
    launcher: LauncherConfig = section(LauncherConfig, "where several runs are carried out", identity=False)
    runs: str = option("./runs", "folder of the run directories", identity=False)
    reuse: str = option(
        "same", "same: reuse a finished run only if the code that made it is the same; any: reuse it anyway",
        identity=False, choices=("same", "any"),
    )  # fmt: skip
    retrain: bool = option(False, "train again; the old run directory is moved aside", identity=False)

    def check(self) -> None:
        if not self.runs.strip():
            raise ConfigError("runs is empty: name a folder for the run directories, such as runs=./runs.")
        for role in self.parents:
            if role not in ROLES:
                raise ConfigError(f"parents.{role} is no role of a parent. {suggest(role, ROLES)}")
        if all(self.parents.get(role) for role in STARTS):
            raise ConfigError("parents.init and parents.continue both give the weights: choose one.")
        if self.suite is not None and (share := self.suite.asks_of()) > self.data.held_out:
            raise ConfigError(
                f"suite={self.suite.name} asks what a share of {share} holds out, and the run holds out "
                f"data.held_out={self.data.held_out}: it may learn the answers. Say suite.held_out=<that share>."
            )
        self._check_method()

    def _check_method(self) -> None:
        """A run trains, or quantizes what is trained already, or trains as it will be quantized."""
        chosen = f"quantizer={self.quantizer.name}" if self.quantizer else ""
        if not self.method and not self.quantizer:
            raise ConfigError(
                "method has no value: choose one by objective=name or alignment=name. A run without one quantizes: "
                "objective=null quantizer=int8 parents.init=<run>."
            )
        if self.method and self.quantizer and not self.quantizer.trains:
            raise ConfigError(f"{chosen} is for what is trained already: say objective=null and parents.init=<run>.")
        if not self.method and self.quantizer.trains:
            raise ConfigError(f"{chosen} is trained with: choose a method, such as objective=clm.")
        if self.adapter and self.quantizer:
            raise ConfigError(
                f"adapter={self.adapter.name} and {chosen} are two runs: train the adapter, and quantize that run."
            )

    @property
    def extra_tokens(self) -> tuple[str, ...]:
        """The names of its method's own tokens."""
        return tuple(self.method.extra_tokens()) if self.method else ()

    @property
    def step_tokens(self) -> int:
        """Tokens that the model sees in one optimizer step, in the last stage of a curriculum."""
        rows = self.method.rows() if self.method else 1
        return int(self.data.batch_size * self.data.sequence_length * rows)

    def with_seeds(self) -> Self:
        """The config with every seed spelled out."""
        own = {f: getattr(self.seeds, f) for f in fields_of(SeedConfig)}
        seeds = SeedConfig(**{name: self.seed if value is None else value for name, value in own.items()})
        return dataclasses.replace(self, seeds=seeds)


# --------------------------------------------------------------------------------------- other verbs


@dataclass(kw_only=True)
class ScoreConfig(Config):
    """What `harness score` takes."""

    run: str = option(MISSING, "id or folder of the run, as run=<id>")
    suite: Any = slot("suite", "the tasks")
    checkpoint: int | None = option(None, "step of the checkpoint; null: the last", minimum=1)
    runs: str = option("./runs", "folder of the run directories")


@dataclass(kw_only=True)
class GenerateConfig(Config):
    """What `harness generate` takes."""

    run: str = option(MISSING, "id or folder of the run, as run=<id>")
    prompt: str = option("", "the text to go on from; -: what stdin holds; empty: a document's beginning")
    sampler: Any = slot("sampler", "logits to the next token")
    tokens: int = option(64, "new tokens at most; the end token ends it before", minimum=1, maximum=100_000)
    seed: int = option(0, "seed of the sampler", **SEEDS)
    checkpoint: int | None = option(None, "step of the checkpoint; null: the last", minimum=1)
    runs: str = option("./runs", "folder of the run directories")


@dataclass(kw_only=True)
class SyncConfig(Config):
    """What `harness sync` takes."""

    tracker: Any = slot("tracker", "where the rows are sent")
    runs: str = option("./runs", "folder of the run directories")


@dataclass(kw_only=True)
class FitConfig(Config):
    """What `harness fit` takes."""

    analysis: Any = slot("analysis", "the law")
