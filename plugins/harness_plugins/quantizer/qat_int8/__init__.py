"""qat_int8: trained as it will compute in int8."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness import hookimpl
from harness.interfaces.quantizer import Coverage
from harness_plugins.quantizer.int8 import Int8Config

if TYPE_CHECKING:
    from torch import nn

HARNESS_INTERFACE = 1


@dataclass(kw_only=True)
class QatInt8Config(Int8Config):
    """qat_int8: trained from the start with matrices rounded as `quantizer=int8` rounds them; ends as such a model."""

    trains = True

    def prepare(self, model: nn.Module) -> None:
        from harness_plugins.quantizer.qat_int8.qat_int8 import prepare

        prepare(model, self.activations)

    def convert(self, model: nn.Module) -> Coverage:
        from harness_plugins.quantizer.qat_int8.qat_int8 import take_off

        take_off(model)
        return super().convert(model)


@hookimpl
def register_quantizer() -> dict[str, type]:
    return {"qat_int8": QatInt8Config}
