"""Models in fewer bits: quantized once, or beside the checkpoints of a run that trains for it.

::

    step-00000000/
      model-quantized.safetensors   plain tensors, by names that the quantizer chooses
      model-quantized.json          its recipe
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UserError
from harness.files import read_json, write_json
from harness.interfaces.quantizer import Coverage, QuantizerConfig
from harness.rundir import RunDir
from harness.schema import RunConfig
from harness.training.job import TrainingJob
from harness.training.parents import start_from
from harness.training.parts import Saved, Tensors, write_parts
from harness.training.world import World

if TYPE_CHECKING:
    from harness.models.model import Model

QUANTIZED, RECIPE = "model-quantized", "model-quantized.json"


def quantize(job: TrainingJob, run: RunDir) -> dict[str, Any]:
    """Quantizes what a run without a method starts from, into a checkpoint at step 0. Returns the run's result.

    Raises ConfigError where there is nothing to quantize.
    """
    began = time.monotonic()
    model = _built(job.config, job.vocabulary)
    start_from(job, model)
    coverage = job.config.quantizer.convert(model)
    with run.new_folder(run.checkpoint(0)) as folder:
        write(folder, job.config.quantizer, model)
    run.update_manifest(quantization=told(coverage, run.checkpoint(0)))
    return {"held_out_loss": None, "steps": 0, "tokens": 0, "seconds": time.monotonic() - began}


def converted(config: RunConfig, vocabulary: int, weights: Tensors) -> tuple[Model, Coverage]:
    """The model that a run's weights, as they are trained, end as."""
    model = _built(config, vocabulary)
    model.load_state_dict(weights)
    return model.eval(), config.quantizer.convert(model)


def write_converted(job: TrainingJob, model: Model, folder: Path) -> None:
    """Puts what a model in training would end as into the folder of its checkpoint."""
    write(folder, job.config.quantizer, converted(job.config, job.vocabulary, model.state_dict())[0])


def _built(config: RunConfig, vocabulary: int) -> Model:
    model: Model = config.architecture.build(vocabulary)
    return model.bfloat16() if config.trainer.precision == "bf16-true" else model


def write(folder: Path, quantizer: QuantizerConfig, model: Model) -> None:
    """Puts a converted model into a folder that is then checksummed."""
    tensors, recipe = quantizer.tensors(model)
    write_parts(folder, QUANTIZED, tensors, World())
    write_json(folder / RECIPE, recipe)


def read(folder: Path, quantizer: QuantizerConfig, model: Model) -> None:
    """Fills a model that was just built. Raises UserError where the recipe is not that of such a model."""
    with Saved(folder, QUANTIZED) as saved:
        tensors = {name: saved.read(name) for name in (*saved.shapes(), *saved.tied)}
    try:
        quantizer.load(model, tensors, read_json(folder / RECIPE))
    except UserError as error:
        raise UserError(f"{folder / RECIPE} cannot be followed. {error}") from None


def model_bytes(folder: Path) -> int:
    """Bytes of what a checkpoint's model is loaded from, without what training alone needs."""
    files = list(folder.glob(f"{QUANTIZED}.*")) or list(folder.glob("model*"))
    return sum(file.stat().st_size for file in files)


def told(coverage: Coverage, folder: Path) -> dict[str, Any]:
    """What the manifest keeps: quantized and left, numbers by name of the parameter; error, relative root mean square
    by name; error_of_all; notes; bytes, of the file; bytes_in_float32, of all parameters."""
    quantized, left = sum(coverage.quantized.values()), sum(coverage.left.values())
    return {
        "quantized": dict(coverage.quantized),
        "left": dict(coverage.left),
        "share": quantized / (quantized + left),
        "error": coverage.errors(),
        "error_of_all": coverage.error(),
        "notes": list(coverage.notes),
        "bytes": (folder / f"{QUANTIZED}.safetensors").stat().st_size,
        "bytes_in_float32": 4 * (quantized + left),
    }
