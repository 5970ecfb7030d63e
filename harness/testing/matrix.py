"""What goes with what: every pairing of plugins is tried in tiny, or refused with the sentence that a user reads."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from harness.config import ConfigError, PluginConfig, default_parts, fields_of, slots_of
from harness.interfaces.architecture import ArchitectureConfig
from harness.interfaces.corpus import DOCUMENTS, CorpusConfig
from harness.interfaces.method import MethodConfig
from harness.interfaces.optimizer import OptimizerConfig
from harness.models.meta import build_on_meta
from harness.planning.fitting import fits
from harness.registry import registry
from harness.schema import DataConfig, RunConfig
from harness.testing import adapter, quantizer
from harness.testing.architecture import decodes_otherwise, leaks
from harness.testing.covering import covering
from harness.testing.learning import without_gradient
from harness.testing.models import VOCABULARY, stirred
from harness.testing.objective import LENGTH
from harness.testing.pairing import Pairing, apart, fault_of
from harness.testing.tiny import tiny

WORKS, NO, FAILS = "works", "no", "FAILS"
#: What is paired with every architecture.
PAIRED = ("objective", "adapter", "quantizer")
#: How far from the plain model a quantized one may be, as a share of a channel's usual size, on average.
MOST = 0.2

#: Finds a fault. Raises ConfigError where the pairing is refused.
Find = Callable[[], str | None]


@dataclass(frozen=True)
class Cell:
    """One pairing. of: what is paired, by group. says: `WORKS`; `NO`, where it is refused, and why; or `FAILS`, and
    why: the fault that was found."""

    table: str
    of: Mapping[str, str]
    says: str
    why: str = ""


def matrix(only: Mapping[str, str]) -> Iterator[Cell]:
    """Every cell, as soon as it is known. only: plugins by kind: the cells that these stand in, and no others.

    A pairing is refused where the configs say so. A body that is refused so small as `tiny` makes it, or cannot be
    chosen without options of its own, is refused with everything.
    """
    for kind in PAIRED:
        if only.keys() <= {kind, "architecture"}:
            for name in _names(kind, only):
                for architecture in _names("architecture", only):
                    of = {kind: name, "architecture": architecture}
                    yield _cell(f"{kind} × architecture", of, partial(_FINDS[kind], name, architecture))
    for architecture in _names("architecture", only):
        if only.keys() <= {"architecture", *_slots(architecture).values()}:
            yield from _parts(architecture, only)


def kinds() -> list[str]:
    """What `matrix` can be asked for."""
    slots = {kind for name in registry().names("architecture") for kind in _slots(name).values()}
    return [*PAIRED, "architecture", *sorted(slots)]


def _names(kind: str, only: Mapping[str, str]) -> list[str]:
    return [only[kind]] if kind in only else registry().names(kind)


def _slots(architecture: str) -> dict[str, str]:
    """By slot that is never empty, its kind."""
    config = registry().get("architecture", architecture)
    return {slot: kind for slot, kind in slots_of(config).items() if slot in default_parts(config)}


def _cell(table: str, of: Mapping[str, str], find: Find) -> Cell:
    try:
        fault = find()
    except ConfigError as error:
        return Cell(table, of, NO, str(error))
    except Exception as error:
        fault = f"{type(error).__name__}: {error}"
    return Cell(table, of, FAILS, fault) if fault else Cell(table, of, WORKS)


# -------------------------------------------------------------------------- with every architecture


@dataclass(kw_only=True)
class OfForm(CorpusConfig):
    """Stands for any corpus of one form; nothing is read of it."""

    of: str = DOCUMENTS

    def form(self) -> str:
        return self.of


#: Stands for any optimizer.
ANY = OptimizerConfig()


def _objective(name: str, architecture: str) -> str | None:
    method = tiny("objective", name)
    body = _with_head(architecture, method.head)
    across = not apart(method, body)
    data = DataConfig(sequence_length=LENGTH, attend_across_documents=across)
    fits(RunConfig(corpus=OfForm(of=method.reads), data=data, architecture=body, method=method, optimizer=ANY))
    return _fault(lambda: fault_of(Pairing(method, body, across)))


def _with_head(architecture: str, head: str) -> ArchitectureConfig:
    """With the head that a method needs, if there is a plugin of its name and a place for it."""
    body: ArchitectureConfig = tiny("architecture", architecture)
    slot = next((slot for slot, kind in _slots(architecture).items() if kind == "head"), None)
    if head in body.heads() or slot is None or head not in registry().names("head"):
        return body
    other: ArchitectureConfig = tiny("architecture", architecture, **{slot: tiny("head", head)})
    return other


def _adapter(name: str, architecture: str) -> str | None:
    config, body = tiny("adapter", name), tiny("architecture", architecture)
    body.check_run(RunConfig(method=MethodConfig(), adapter=config, optimizer=ANY))
    config.counts(build_on_meta(body, VOCABULARY))
    checks = (adapter.is_not_neutral, adapter.miscounts, adapter.is_not_trained, adapter.merges_otherwise)
    return _fault(lambda: next((fault for check in checks if (fault := check(config, body))), None))


def _quantizer(name: str, architecture: str) -> str | None:
    config, body = tiny("quantizer", name), tiny("architecture", architecture)
    body.check_run(RunConfig(method=MethodConfig(), quantizer=config, optimizer=ANY))
    config.convert(stirred(body))
    nearly = partial(quantizer.computes_otherwise, most=MOST)
    checks: list[Any] = [quantizer.covers_otherwise, nearly, quantizer.loads_otherwise]
    if config.trains:
        checks.append(quantizer.trains_otherwise)
    return _fault(lambda: next((fault for check in checks if (fault := check(config, body))), None))


def _fault(find: Find) -> str | None:
    """Of what is not refused: an exception is a fault there, whatever it says."""
    try:
        return find()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


_FINDS: dict[str, Callable[[str, str], str | None]] = {
    "objective": _objective,
    "adapter": _adapter,
    "quantizer": _quantizer,
}

# --------------------------------------------------------------------------- parts with each other


def _parts(architecture: str, only: Mapping[str, str]) -> Iterator[Cell]:
    """Every pair of parts and options of few values: in a row that is checked, or refused."""
    slots, table = _slots(architecture), f"parts of {architecture}"
    factors = _factors(architecture, only)
    if len(factors) < 2:
        return
    for slot, kind in slots.items():
        alone = (_cell(table, {slot: name}, partial(_made, kind, name)) for name in _names(kind, only))
        yield from (cell for cell in alone if cell.says != WORKS)
    if not all(factors.values()):
        return

    def body(row: Mapping[str, Any]) -> ArchitectureConfig:
        chosen = {option: factors[option][of] for option, of in row.items()}
        config: ArchitectureConfig = tiny("architecture", architecture, **chosen)
        return config

    @functools.cache
    def refused(row: tuple[tuple[str, str], ...]) -> str | None:
        try:
            body(dict(row))
        except ConfigError as error:
            return str(error)
        except Exception:  # a part is broken, as the row's cell will tell
            return None
        return None

    around = [slot for slot, kind in slots.items() if kind in only]
    names = {option: list(values) for option, values in factors.items()}
    rows, impossible = covering(names, lambda row: refused(tuple(row.items())), around)
    for pair, why in impossible.items():
        yield Cell(table, dict(sorted(pair)), NO, why)
    for row in rows:
        yield _cell(table, row, partial(_row_fault, body, row))


def _made(kind: str, name: str) -> None:
    """Raises ConfigError where it cannot be made tiny."""
    tiny(kind, name)


def _factors(architecture: str, only: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """By option, its values by what they are called, the plain one first: parts, choices, and whether or not."""
    slots: dict[str, str] = _slots(architecture)
    found: dict[str, dict[str, Any]] = {}
    if not slots:
        return found
    config = tiny("architecture", architecture)
    for option in fields_of(type(config)):
        if option in slots:
            plain = getattr(config, option).name
            names = _names(slots[option], only)
            names = [name for name in names if name == plain] + [name for name in names if name != plain]
            found[option] = {label: part for name in names for label, part in _variants(slots[option], name).items()}
        elif others := _others(config, option):
            found[option] = {_word(value): value for value in (getattr(config, option), *others)}
    return found


def _variants(kind: str, name: str) -> dict[str, Any]:
    """A part as it stands, and with each one of its options of yes or no the other way, where it can be."""
    found: dict[str, Any] = {}
    with contextlib.suppress(Exception):  # one that cannot be made so has a cell of its own
        found[name] = tiny(kind, name)
    for option in fields_of(registry().get(kind, name)) if found else ():
        value = getattr(found[name], option)
        if isinstance(value, bool):
            with contextlib.suppress(ConfigError):
                found[f"{name}({option}={_word(not value)})"] = tiny(kind, name, **{option: not value})
    return found


def _others(config: PluginConfig, option: str) -> list[Any]:
    """What an option of few values could be as well."""
    value, choices = getattr(config, option), fields_of(type(config))[option].metadata.get("choices") or ()
    return [not value] if isinstance(value, bool) else [choice for choice in choices if choice != value]


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _row_fault(body: Callable[[Mapping[str, Any]], ArchitectureConfig], row: Mapping[str, Any]) -> str | None:
    checks = (leaks, without_gradient, decodes_otherwise)
    return _fault(lambda: next((fault for check in checks if (fault := check(body(row)))), None))
