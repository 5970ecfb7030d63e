"""What each parameter is for, so that an optimizer can tell what to decay and a scaling rule what to scale."""

from __future__ import annotations

from torch import nn

from harness.config import ConfigError

ROLES = ("matrix", "embedding", "gain", "bias")

#: The roles of PyTorch's own modules. Other modules name theirs in a class variable `roles`.
_TORCH: dict[type[nn.Module], dict[str, str]] = {
    nn.Linear: {"weight": "matrix", "bias": "bias"},
    nn.Embedding: {"weight": "embedding"},
    nn.LayerNorm: {"weight": "gain", "bias": "bias"},
    nn.RMSNorm: {"weight": "gain"},
}


def roles(model: nn.Module) -> dict[str, str]:
    """The role of each parameter, by its name, in order of definition. One that several modules share has the role
    of the first: a tied head is an embedding.

    Raises ConfigError for a parameter whose module does not say.
    """
    found: dict[str, str] = {}
    owned = {name for name, _ in model.named_parameters()}  # each shared parameter once, under its first name
    for at, module in model.named_modules():
        known = next((_TORCH[kind] for kind in type(module).__mro__ if kind in _TORCH), {})
        declared = {**known, **getattr(module, "roles", {})}
        for local, _ in module.named_parameters(recurse=False):
            name = f"{at}.{local}" if at else local
            if name not in owned:
                continue
            if declared.get(local) not in ROLES:
                raise ConfigError(
                    f"The parameter {name} has no role. Give {type(module).__name__} a class variable "
                    f'roles = {{"{local}": …}} with one of {", ".join(ROLES)}.'
                )
            found[name] = declared[local]
    return found
