"""Any language model of `transformers`, computed by its own code: causal, masked or sequence-to-sequence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from harness import hookimpl
from harness.config import ConfigError, option
from harness.files import read_json
from harness.interfaces.architecture import DECODER, ENCODER_DECODER, ArchitectureConfig
from harness.interfaces.visibility import Causal, Condition, Cross, Full, NotBefore, SameDocument
from harness_plugins.architecture.hf import seen

if TYPE_CHECKING:
    from harness_plugins.architecture.hf.interchange import Interchange

HARNESS_INTERFACE = 1

CAUSAL, MASKED, SEQUENCE_TO_SEQUENCE = FORMS = ("causal", "masked", "sequence_to_sequence")

#: Options of theirs that choose code, or what is done after training, and no model.
REFUSED = ("auto_map", "trust_remote_code", "attn_implementation", "experts_implementation", "quantization_config")


@dataclass(kw_only=True)
class HuggingFaceConfig(ArchitectureConfig):
    """A model type of `transformers` and values of its config. Weights of a folder come by parents.init=<folder>.

    No code is taken from anywhere but the installed package, and nothing is looked for on the Hub.
    """

    example: ClassVar[Mapping[str, Any]] = {
        "model_type": "llama",
        "values": {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2},
    }

    model_type: str = option("", "which of transformers, such as qwen3; a folder says it itself")
    values: dict[str, Any] = option(
        {}, "options of its config there, each by +architecture.values.<option>=…; others are as transformers has them"
    )
    folder: str | None = option(
        None, "a folder whose config.json says model_type and values, those here first; a run keeps what it says",
        identity=False,
    )  # fmt: skip
    form: str | None = option(
        None, "which of its language models; null: what it was first made for", choices=FORMS, neutral=None
    )

    def check(self) -> None:
        """Takes what a folder says over, so that a run is what the file held and not where it lay."""
        from harness_plugins.architecture.hf import theirs

        if self.folder is not None:
            _refuse(found := _read(Path(self.folder)), f"{self.folder}/config.json")
            if self.model_type not in ("", found.get("model_type")):
                raise ConfigError(f"model_type={self.model_type}, and {self.folder} holds {found.get('model_type')}.")
            self.take(found)
            self.folder = None
        if not self.model_type:
            raise ConfigError("say which model of transformers: model_type=<its name there>, or folder=<folder>.")
        _refuse(self.values, "values")
        if "vocab_size" in self.values:
            raise ConfigError(f"values.vocab_size is said as vocabulary: vocabulary={self.values['vocab_size']}.")
        theirs.check(self)

    def take(self, found: Mapping[str, Any]) -> None:
        """What a config.json says; values that are given here come first."""
        from harness_plugins.architecture.hf import theirs

        self.model_type = str(found.get("model_type"))
        self.form = self.form or theirs.form_in(found)
        self.vocabulary = self.vocabulary or found.get("vocab_size")
        self.values = {**theirs.options_in(self.model_type, found), **self.values}

    @property
    def chosen(self) -> str:
        """Its form, chosen here or there."""
        from harness_plugins.architecture.hf import theirs

        return self.form or theirs.forms(self.model_type)[0]

    @property
    def visibilities(self) -> frozenset[type[Condition]]:  # type: ignore[override]  # its model says it, not its class
        from harness_plugins.architecture.hf import theirs

        form = self.chosen
        known: set[type[Condition]] = {Full} if form == MASKED else {Causal}
        if form == SEQUENCE_TO_SEQUENCE:
            known |= {Cross}
        if self.model_type in seen.DOCUMENTS[form] | seen.PADDING[form]:
            known |= {NotBefore}
        if self.model_type in seen.DOCUMENTS[form] and theirs.masks(self):
            known |= {SameDocument}
        return frozenset(known)

    def cannot_do(self, kinds: frozenset[type[Condition]]) -> str:
        return f"architecture={self.name} with model_type={self.model_type}"

    def counts(self, vocabulary: int, sequence_length: int, source_length: int | None = None) -> None:
        """On the meta device."""

    def topology(self) -> str:
        return ENCODER_DECODER if self.chosen == SEQUENCE_TO_SEQUENCE else DECODER

    def maximum_length(self) -> int | None:
        from harness_plugins.architecture.hf import theirs

        return theirs.maximum_length(self)

    def check_run(self, config: Any) -> None:
        trainer = config.trainer
        for name, off in (("activation_checkpointing", "none"), ("compile", False)):
            if getattr(trainer, name) != off:
                raise ConfigError(
                    f"trainer.{name} works layer by layer, and the layers of transformers are not called as ours are: "
                    f"say trainer.{name}={str(off).lower()}."
                )

    def interchange(self) -> Interchange:
        from harness_plugins.architecture.hf.interchange import Interchange

        return Interchange(self)

    def build(self, vocabulary: int) -> Any:
        from harness_plugins.architecture.hf.body import as_model
        from harness_plugins.architecture.hf.theirs import build

        return as_model(build(self, vocabulary), self)


def _read(folder: Path) -> dict[str, Any]:
    if not (folder / "config.json").is_file():
        raise ConfigError(f"folder={folder} has no config.json, which save_pretrained(folder) of transformers writes.")
    found = read_json(folder / "config.json")
    if not isinstance(found, dict):
        raise ConfigError(f"{folder}/config.json holds {type(found).__name__} where an object should be.")
    return found


def _refuse(values: Any, where: str) -> None:
    """Raises ConfigError for what asks for other code than that of transformers, at any depth."""
    for key, value in values.items():
        if key in REFUSED and value is not None:
            raise ConfigError(f"{where} has {key}, which is not followed: only the code of transformers itself is run.")
        if isinstance(value, Mapping):
            _refuse(value, f"{where}.{key}")


@hookimpl
def register_architecture() -> dict[str, type]:
    return {"hf": HuggingFaceConfig}
