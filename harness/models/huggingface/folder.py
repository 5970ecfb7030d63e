"""Whole folders of `transformers`: config.json, safetensors (one file or several with an index), a tokenizer.

Nothing in a folder is executed or unpickled: weights in other formats are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from harness.config import plugin_config, to_mapping
from harness.data.cache import digest
from harness.errors import UserError
from harness.files import checksum, new_folder, read_json, write_json
from harness.interfaces.architecture import ENCODER_DECODER
from harness.interfaces.tokenizer import decoder_start
from harness.models.huggingface import (
    FAMILIES,
    config_from_transformers,
    state_from_transformers,
    state_to_transformers,
    told,
)
from harness.models.huggingface.tokenizer import export_tokenizer
from harness.schema import RunConfig

if TYPE_CHECKING:
    import torch

    from harness.models.model import Model

CONFIG, WEIGHTS, INDEX, TOKENIZER = "config.json", "model.safetensors", "model.safetensors.index.json", "tokenizer.json"


@dataclass(frozen=True)
class Folder:
    """A folder of a language model, as `open_folder` found it. theirs: its config.json; files: its weights."""

    path: Path
    theirs: Mapping[str, Any]
    files: tuple[Path, ...]

    def architecture(self) -> Any:
        """The Config of the architecture that makes the same model: of our parts, or else theirs as it is. Raises
        UserError where there is none."""
        try:
            if self.theirs.get("model_type") not in FAMILIES:
                return plugin_config("architecture", {"name": "hf", "folder": str(self.path)}, "architecture")
            return config_from_transformers(self.theirs)
        except UserError as error:
            raise UserError(f"{self.path / CONFIG}: {error}") from None

    def method(self) -> Any:
        """The Config of the objective that such a model is trained by, with its options as they are."""
        own = self.architecture().interchange()
        objective = own.objective if own else FAMILIES[self.theirs["model_type"]].objective
        return plugin_config("objective", objective, "method")

    def sequence_length(self) -> int | None:
        """The longest sequence, in tokens: that it can see, or else that it says it was made for."""
        family = FAMILIES.get(self.theirs["model_type"])
        option = family.positions if family else None
        said = self.theirs.get(option) if option else None
        return self.architecture().maximum_length() or said

    def weights(self) -> dict[str, torch.Tensor]:
        """A state dict of ours, float32 whatever the files hold. Raises UserError where they are damaged or are not
        the weights of this config."""
        architecture = self.architecture()
        theirs = {name: tensor.float() for file in self.files for name, tensor in _tensors(file)}
        own = architecture.interchange()
        try:
            if own:
                return own.taken(theirs)
            return state_from_transformers(theirs, architecture, self.theirs["model_type"])
        except UserError as error:
            raise UserError(f"{self.path}: {error}") from None

    def tokenizer(self) -> Any:
        """The Config of its tokenizer; None where it has none."""
        if not (self.path / TOKENIZER).is_file():
            return None
        return plugin_config("tokenizer", {"name": "huggingface", "folder": str(self.path.resolve())}, "tokenizer")

    def identity(self) -> dict[str, Any]:
        """What determines its model: the architecture, and the content of the files of weights, wherever they lie."""
        return {"architecture": to_mapping(self.architecture()), "weights": [checksum(file) for file in self.files]}

    def fingerprint(self) -> str:
        """A hash of its model and of its tokenizer."""
        tokenizer = self.tokenizer()
        return digest([self.identity(), tokenizer and tokenizer.fingerprint()])


def open_folder(path: Path) -> Folder:
    """The folder, with no weights read yet. Raises UserError where it is none of a model that can be taken over."""
    if not (path / CONFIG).is_file():
        raise UserError(
            f"{path} is no folder of transformers: it has no {CONFIG}, which save_pretrained(folder) writes."
        )
    theirs = read_json(path / CONFIG)
    if not isinstance(theirs, dict):
        raise UserError(f"{path / CONFIG} cannot be read: it holds {type(theirs).__name__} where an object should be.")
    if theirs.get("quantization_config"):
        raise UserError(
            f"The weights in {path} are quantized. Load them with transformers, call dequantize(), and save them again."
        )
    files = tuple(_files(path))
    family = FAMILIES.get(theirs.get("model_type", ""))
    if family is not None and family.in_files is not None:
        theirs |= family.in_files(theirs, Stored(files))
    folder = Folder(path, theirs, files)
    folder.architecture()
    return folder


def _files(path: Path) -> list[Path]:
    """The files of weights, in order of their names. Raises UserError for one that is not there."""
    if (path / WEIGHTS).is_file():
        return [path / WEIGHTS]
    if not (path / INDEX).is_file():
        raise UserError(
            f"{path} has no {WEIGHTS} and no {INDEX}. Weights in other formats are not read, since a pickle can "
            "execute anything; save_pretrained(folder) of transformers writes safetensors."
        )
    index = read_json(path / INDEX)
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict) or not places or not all(_is_name(name) for name in places.values()):
        raise UserError(
            f"{path / INDEX} is no index of weights: a mapping `weight_map` of tensors to files is missing."
        )
    files = [path / name for name in sorted(set(places.values()))]
    for file in files:
        if not file.is_file():
            raise UserError(f"{file} is missing, which {INDEX} names. Is the folder still being downloaded?")
    return files


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and Path(name).name == name


def _tensors(file: Path) -> Iterator[tuple[str, torch.Tensor]]:
    with _opened(file) as opened:
        for name in opened.keys():  # noqa: SIM118 - it is no mapping
            yield name, opened.get_tensor(name)


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as opened:
            yield opened
    except (SafetensorError, OSError) as error:
        raise UserError(f"{file} cannot be read as safetensors; it is damaged or cut short: {error}.") from None


class Stored(Mapping[str, "torch.Tensor"]):
    """The tensors of files by name, each read when it is asked for."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.places: dict[str, Path] = {}
        for file in files:
            with _opened(file) as opened:
                self.places |= dict.fromkeys(opened.keys(), file)

    def __getitem__(self, name: str) -> torch.Tensor:
        with _opened(self.places[name]) as opened:
            tensor: torch.Tensor = opened.get_tensor(name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)


def write_folder(
    path: Path,
    model: Model,
    config: RunConfig,
    tokenizer: Any,
    model_type: str | None = None,
    extra: Mapping[str, int] = MappingProxyType({}),
) -> None:
    """What `transformers` opens by ``from_pretrained(folder)`` and lm-eval's `hf` scores. Written beside and renamed.

    config: the run's. model_type: of theirs; None: the first that computes the same. extra: the numbers of its method's
    own tokens, by name. Raises UserError where `transformers` has no such model, or the folder is there already.
    """
    from safetensors.torch import save_file

    if path.exists():
        raise UserError(f"{path} is there already: name a folder that is not, or remove it.")
    state: dict[str, torch.Tensor] = model.state_dict()
    architecture = config.architecture
    table_VC = model.body.embedding_VC
    theirs, _ = told(architecture, len(table_VC), model_type)
    own = architecture.interchange()
    positions = None if own else FAMILIES[theirs["model_type"]].positions
    if positions:
        theirs.setdefault(positions, config.data.sequence_length)
    theirs |= {
        "bos_token_id": getattr(tokenizer, "start", tokenizer.end),
        "eos_token_id": tokenizer.end,
        "dtype": str(table_VC.dtype).removeprefix("torch."),
    }
    if architecture.topology() == ENCODER_DECODER:
        theirs["decoder_start_token_id"] = decoder_start(tokenizer)
    if own:
        weights = own.written(state, len(table_VC))
    else:
        weights = state_to_transformers(state, architecture, theirs["model_type"])
    with new_folder(path) as folder:
        write_json(folder / CONFIG, theirs)
        save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
        export_tokenizer(folder, tokenizer, extra)
