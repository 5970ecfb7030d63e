"""What is used of torchao, imported without its remarks about extensions for GPUs that are not there."""

import logging

_before = logging.root.manager.disable
logging.disable(logging.WARNING)
try:
    from torchao.quantization import (
        Int8DynamicActivationInt8WeightConfig,
        Int8Tensor,
        Int8WeightOnlyConfig,
        MappingType,
        PerRow,
        quantize_,
    )
    from torchao.quantization.qat import IntxFakeQuantizeConfig, QATConfig
    from torchao.quantization.quantize_.workflows import QuantizeTensorToInt8Kwargs
finally:
    logging.disable(_before)

__all__ = [
    "Int8DynamicActivationInt8WeightConfig",
    "Int8Tensor",
    "Int8WeightOnlyConfig",
    "IntxFakeQuantizeConfig",
    "MappingType",
    "PerRow",
    "QATConfig",
    "QuantizeTensorToInt8Kwargs",
    "quantize_",
]
