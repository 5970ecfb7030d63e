"""Whether a run can be spread over the devices that it asks for: one sentence for each way that it cannot."""

from __future__ import annotations

from harness.config import ConfigError
from harness.schema import RunConfig


def check_layout(config: RunConfig) -> None:
    """Raises ConfigError."""
    trainer, batch = config.trainer, config.data.batch_size
    devices, tensor = trainer.devices, trainer.tensor_parallel
    if devices % tensor:
        raise ConfigError(
            f"trainer.tensor_parallel={tensor} does not divide trainer.devices={devices}: each group of {tensor} "
            f"devices shares the matrices, and the groups share the batch."
        )
    if batch % (devices // tensor):
        raise ConfigError(
            f"data.batch_size={batch} cannot be shared equally by {devices // tensor} devices: give a multiple of that."
        )
    if 1 < tensor < devices and trainer.strategy == "ddp":
        raise ConfigError(
            f"trainer.tensor_parallel={tensor} on trainer.devices={devices} needs trainer.strategy=fsdp: whole "
            f"copies of a model whose matrices are cut are not kept in step."
        )
    if trainer.precision == "fp16" and (tensor > 1 or (devices > 1 and trainer.strategy == "fsdp")):
        raise ConfigError(
            "trainer.precision=fp16 scales its losses on one device or under ddp only. Say bf16, or fp32."
        )
    if config.quantizer and (tensor > 1 or (devices > 1 and trainer.strategy == "fsdp")):
        raise ConfigError(
            f"quantizer={config.quantizer.name} rounds whole rows of whole matrices: they cannot be shared out. Say "
            "trainer.strategy=ddp, and trainer.tensor_parallel=1."
        )
    if config.quantizer and trainer.compile:
        raise ConfigError(f"quantizer={config.quantizer.name} is trained without trainer.compile.")
    if tensor > 1 and config.adapter:
        raise ConfigError(
            f"trainer.tensor_parallel={tensor} cuts the matrices that adapter={config.adapter.name} stands beside. Say "
            "trainer.strategy=fsdp instead."
        )
    if config.method and config.method.generates and (tensor > 1 or (devices > 1 and trainer.strategy == "fsdp")):
        raise ConfigError(
            f"{config.method.name} generates while it trains, on each device by itself until its own rows have ended, "
            "and a model that is shared out cannot. Say trainer.strategy=ddp trainer.tensor_parallel=1."
        )
    if tensor > 1:
        _cuts(config, tensor)


def _cuts(config: RunConfig, tensor: int) -> None:
    architecture = config.architecture
    pieces = architecture.tensor_parallel()
    if pieces is None:
        raise ConfigError(
            f"trainer.tensor_parallel={tensor}: architecture={architecture.name} does not say how its matrices could "
            f"be cut. Say trainer.strategy=fsdp instead."
        )
    if pieces % tensor:
        raise ConfigError(
            f"trainer.tensor_parallel={tensor} does not divide what the matrices of architecture={architecture.name} "
            f"can be cut into (heads, shared heads and hidden channels have {pieces} as their greatest common divisor)."
        )
