"""Digests of source code: of rooms, and of plugins with all that they borrow from others of their distribution."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib
from pathlib import Path


@functools.cache
def source_digest(rooms: tuple[str, ...], modules: tuple[str, ...]) -> str:
    """A hash of the source of some rooms and of plugins' modules: of each the folder, and the folders of packages below
    the same top-level package that code in it imports. Of a module outside any package the file alone."""
    package = Path(__file__).parent
    files = [(f"harness/{room}", file) for room in rooms for file in _python(package / room)]
    for name in modules:
        module = importlib.import_module(name)
        source = Path(str(module.__file__))
        if module.__package__:
            folders = _with_what_it_imports(module.__package__, source.parent)
            files += [(f"{name}/{of}", file) for of, folder in folders.items() for file in _python(folder)]
        else:
            files.append((name, source))
    digest = hashlib.sha256()
    for where, file in files:
        digest.update(f"{where}/{file.name}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def _python(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def _with_what_it_imports(package: str, folder: Path) -> dict[str, Path]:
    """The folders of a package and of those that it imports, directly or not, by name and in the names' order."""
    root = folder.parents[package.count(".")]
    found, waiting = {package: folder}, [package]
    while waiting:
        name = waiting.pop()
        for module in {module for file in _python(found[name]) for module in _imported(file, _name(file.parent, root))}:
            of = _package(module, root) if module.startswith(f"{package.partition('.')[0]}.") else ""
            if of and of not in found:
                found[of] = root.joinpath(*of.split("."))
                waiting.append(of)
    return dict(sorted(found.items()))


@functools.cache
def _imported(file: Path, package: str) -> tuple[str, ...]:
    """The dotted names that a file imports; of ``from a import b`` both a and a.b, of which one is a module."""
    found: list[str] = []
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: package.count(".") + 2 - node.level] if node.level else []
            module = ".".join([*above, *filter(None, [node.module])])
            found += [module, *(f"{module}.{alias.name}" for alias in node.names)]
    return tuple(found)


def _name(folder: Path, root: Path) -> str:
    return ".".join(folder.relative_to(root).parts)


def _package(module: str, root: Path) -> str:
    """The package that a dotted name is or stands in; "" where there is none."""
    for name in (module, module.rpartition(".")[0]):
        if name and (root.joinpath(*name.split(".")) / "__init__.py").is_file():
            return name
    return ""
