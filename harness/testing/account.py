"""What a Config says of its model without building it, against the model and PyTorch's own counter. Each check takes a
Config of tiny size and returns one sentence that names the fault, or None."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.utils.flop_counter import FlopCounterMode

from harness.config import ConfigError
from harness.interfaces.architecture import ENCODER_DECODER, ArchitectureConfig
from harness.models.meta import build_on_meta
from harness.models.roles import roles
from harness.testing.models import VOCABULARY, build, simplest

#: Sequence lengths at which FLOPs are counted.
LENGTHS = (8, 24)
#: What may be missing, as a share: what one token costs in one layer is told in whole numbers.
WHOLE = 1e-4


def miscounts_parameters(config: ArchitectureConfig) -> str | None:
    """Whether `counts` has as many parameters as the model, and as the model on the meta device."""
    found = sum(parameter.numel() for parameter in build(config).parameters())
    on_meta = sum(parameter.numel() for parameter in build_on_meta(config, VOCABULARY).parameters())
    if on_meta != found:
        return f"The model has {found} parameters, and {on_meta} on the meta device."
    parts = config.counts(VOCABULARY, LENGTHS[0])
    if parts is None:
        return None
    declared = sum(part.parameters for part in parts)
    if declared != found:
        lines = ", ".join(f"{part.part} {part.parameters}" for part in parts)
        return f"The Config declares {declared} parameters ({lines}), and the model has {found}."
    for part in parts:
        if not 0 <= part.active <= part.parameters:
            return f"Of {part.part} one token uses {part.active} parameters, of {part.parameters}."
    return None


def miscounts_flops(config: ArchitectureConfig, lengths: Sequence[int] = LENGTHS) -> str | None:
    """Whether `counts` has the FLOPs of the forward pass that PyTorch's counter finds on the meta device, at each
    length that it can see."""
    model, head = build_on_meta(config, VOCABULARY), min(config.heads())
    for length in sorted({min(length, config.maximum_length() or length) for length in lengths}):
        parts = config.counts(VOCABULARY, length)
        if parts is None:
            return None
        declared = sum(part.flops for part in parts)
        inputs_BT = torch.zeros(1, length, dtype=torch.int64, device="meta")
        with FlopCounterMode(display=False) as counter:
            read = {"source_BS": inputs_BT} if config.topology() == ENCODER_DECODER else {}
            model.logits(inputs_BT, head=head, visibility=simplest(config), **read)
        found = counter.get_total_flops() / length
        if abs(declared - found) > WHOLE * found:
            lines = ", ".join(f"{part.part} {part.flops}" for part in parts)
            return (
                f"The Config declares {declared} FLOPs of the forward pass for a token in a sequence of {length} "
                f"({lines}), and PyTorch counts {found:.0f}."
            )
    return None


def allocates(config: ArchitectureConfig) -> str | None:
    """Whether a model that is built on the meta device takes memory: for a parameter, a buffer or a tensor that a
    module keeps beside them."""
    for at, module in build_on_meta(config, VOCABULARY).named_modules():
        kept = {**vars(module), **module._parameters, **module._buffers}
        for name, value in kept.items():
            if isinstance(value, torch.Tensor) and value.device.type != "meta":
                where = f"{at}.{name}" if at else name
                return f"Built on the meta device, {where} is on {value.device.type}: name no device where it is made."
    return None


def has_no_role(config: ArchitectureConfig) -> str | None:
    """Whether a parameter has no role, which optimizers go by."""
    try:
        roles(build_on_meta(config, VOCABULARY))
    except ConfigError as error:
        return str(error)
    return None
