"""To and from the files of `transformers`, by its own hand: it knows the names that its classes have in files."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UserError
from harness_plugins.architecture.hf import MASKED, theirs

if TYPE_CHECKING:
    import torch

    from harness_plugins.architecture.hf import HuggingFaceConfig


class Interchange:
    """As `harness.interfaces.architecture.Interchange` has it."""

    def __init__(self, config: HuggingFaceConfig) -> None:
        self.config = config
        self.objective = {MASKED: "mlm", "sequence_to_sequence": "span"}.get(config.chosen, "clm")

    def told(self, vocabulary: int) -> dict[str, Any]:
        found = theirs.made(self.config, vocabulary)
        return dict(json.loads(found.to_json_string(use_diff=False)))

    def taken(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        import torch

        from harness_plugins.architecture.hf.body import as_model

        assert self.config.vocabulary is not None, "a folder says how many tokens its model has"
        # Without a folder it reads the tensors that it is given and nothing else.
        with _quiet():  # what does not fit is told below, in one sentence
            whole, found = theirs.class_of(self.config).from_pretrained(
                None,
                config=theirs.made(self.config, self.config.vocabulary),
                state_dict=dict(tensors),
                output_loading_info=True,
                dtype=torch.float32,
                ignore_mismatched_sizes=True,
            )
        for kind, said in (("missing_keys", "have no"), ("mismatched_keys", "have another shape of")):
            if names := sorted(str(name) for name in found[kind]):
                raise UserError(f"The weights {said} {names[0]}, which a model of this config has.")
        if names := sorted(found["unexpected_keys"]):
            raise UserError(f"The weights have {names[0]}, for which a model of this config has no place.")
        return dict(as_model(whole, self.config).state_dict())

    def written(self, state: Mapping[str, torch.Tensor], vocabulary: int) -> dict[str, torch.Tensor]:
        from safetensors.torch import load_file

        from harness_plugins.architecture.hf.body import paths

        whole = theirs.build(self.config, vocabulary)
        places = {f"body.{ours}.": f"{place}." for ours, place in paths(whole, self.config.chosen).items()}
        places["heads.language_model.whole."] = ""
        named = {_renamed(name, places): tensor for name, tensor in state.items()}
        whole.load_state_dict(named, assign=True)
        whole.tie_weights()
        with tempfile.TemporaryDirectory() as folder:
            whole.save_pretrained(folder)
            files = sorted(Path(folder).glob("*.safetensors"))
            return {name: tensor for file in files for name, tensor in load_file(file).items()}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _renamed(name: str, places: Mapping[str, str]) -> str:
    ours = next(ours for ours in places if name.startswith(ours))
    return places[ours] + name.removeprefix(ours)
