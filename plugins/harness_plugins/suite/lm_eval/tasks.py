"""lm-eval's task files: found by name, refused where they would run code that nobody allowed, loaded."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from jinja2.sandbox import SandboxedEnvironment

import lm_eval.utils
from harness import plugins
from harness.errors import UserError, suggest
from harness.scoring.evaluate import quiet
from lm_eval.tasks._index import Entry, Kind
from lm_eval.tasks._yaml_loader import load_yaml
from lm_eval.tasks.manager import TaskManager

if TYPE_CHECKING:
    from harness_plugins.suite.lm_eval import LmEvalConfig

log = logging.getLogger(__name__)

#: The exceptions of `datasets` and below where the Hub does not answer or does not know.
OUT_OF_REACH = {
    "ConnectError",
    "ConnectionError",
    "DatasetNotFoundError",
    "LocalEntryNotFoundError",
    "OfflineModeIsEnabled",
}


def build(config: LmEvalConfig) -> dict[str, Any]:
    """lm-eval's task and group objects by name.

    Raises UserError for an unknown name, a file that would run code that is not allowed, or data out of reach.
    """
    _sandbox_templates()
    manager, names = _manager(config)
    for name in names:
        for leaf in _leaves(manager, name):
            if not {name, leaf.name} & set(config.allow_code):
                _refuse_code(leaf)
    items: dict[str, Any] = {}
    for name in names:
        loaded = _load(manager, name)
        items |= {**loaded["tasks"], **loaded.get("groups", {})}
    for name, item in items.items():
        if getattr(item, "MULTIMODAL", False):
            raise UserError(f"Task {name} shows images or sounds, which models here do not take. Leave it out.")
        if config.num_fewshot is not None and hasattr(item, "set_config") and item.config.num_fewshot != 0:
            item.set_config("num_fewshot", config.num_fewshot)  # a task that insists on 0 keeps it, as in lm-eval
    return items


# ------------------------------------------------------------------------------------------- finding


def _manager(config: LmEvalConfig) -> tuple[TaskManager, list[str]]:
    """An index that holds all the names. Reading lm-eval's own 14,000 files takes some 15 s: only if need be."""
    if config.include is not None:
        if not Path(config.include).is_dir():
            raise UserError(f"suite.include={config.include} is no folder. Give one of lm-eval task files (YAML).")
        _refuse_unreadable(Path(config.include))
    folders = [*map(str, plugins.load().call("task_folders")), *([config.include] if config.include else [])]
    manager = TaskManager(include_path=list(folders), include_defaults=False)
    names = config.tasks or TaskManager(include_path=config.include, include_defaults=False).all_subtasks
    if not names:
        raise UserError(f"suite.include={config.include} holds no lm-eval task file (YAML with a task: line).")
    if not all(_is_whole(manager, name) for name in names):
        log.info("reading the index of lm-eval's own tasks, which takes some seconds")
        with quiet():
            manager = TaskManager(include_path=list(folders), include_defaults=True)
    for name in names:
        if name not in manager.task_index:
            raise UserError(f"There is no lm-eval task, group or tag named {name}. {_hint(name, manager.all_tasks)}")
    return manager, list(names)


def _hint(name: str, known: list[str]) -> str:
    hint = suggest(name, known)
    return hint if hint.startswith("Did you mean") or len(known) < 20 else f"None of {len(known)} names is like it."


def _refuse_unreadable(folder: Path) -> None:
    """lm-eval passes over a file that is no YAML; its task would then only seem not to exist."""
    for path in sorted(folder.rglob("*.yaml")):
        try:
            yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path} is no YAML: {' '.join(str(error).split())}.") from None


def _is_whole(manager: TaskManager, name: str) -> bool:
    """Whether the name and all that it refers to are in the index."""
    return name in manager.task_index and all(leaf.kind is not Kind.UNKNOWN for leaf in _leaves(manager, name))


def _leaves(manager: TaskManager, name: str) -> Iterator[Entry]:
    """The entries below a name, its own included; one of kind UNKNOWN for a name that is not in the index."""
    entry = manager.task_index.get(name) or Entry(name, Kind.UNKNOWN, None)
    yield entry
    members: Iterable[Any] = entry.tags if entry.kind is Kind.TAG else ()
    if entry.kind is Kind.GROUP:
        members = (entry.cfg or {}).get("task") or ()
    for member in members:
        yield from _member(manager, member)


def _member(manager: TaskManager, member: Any) -> Iterator[Entry]:
    """A group lists names, names with changes, tasks written out in place, or groups again."""
    if isinstance(member, str):
        yield from _leaves(manager, member)
    elif isinstance(member, dict) and member.get("group") in manager.task_index:
        yield from _leaves(manager, member["group"])
    elif isinstance(member, dict) and isinstance(member.get("task"), list):
        for below in member["task"]:
            yield from _member(manager, below)
    elif isinstance(member, dict) and member.get("task") in manager.task_index:
        yield from _leaves(manager, member["task"])
    elif isinstance(member, dict) and "dataset_path" not in member:
        yield Entry(str(member.get("task")), Kind.UNKNOWN, None)


# --------------------------------------------------------------------------------------------- code


def _refuse_code(entry: Entry) -> None:
    reason = next(_code(entry.yaml_path), None) if entry.yaml_path else None
    if reason:
        raise UserError(
            f"Task {entry.name} is not run: {reason}. If you trust it, allow it: suite.allow_code=[{entry.name}]."
        )


def _code(path: Path) -> Iterator[str]:
    """What in a task file, and in the files that it includes, would run code. Nothing of it is run to find out."""
    for node in _nodes(path):
        if node.tag == "!function":
            yield f"its file {path.name} calls Python code (!function {node.value})"
    values = load_yaml(path, resolve_func=False, recursive=False)
    if values.get("unsafe_code"):
        yield "it executes the code that the model writes"
    if values.get("dataset_path") == "pandas":
        yield "its data are pickled Python objects, which can run any code when they are read"
    if any(isinstance(m, dict) and m.get("hf_evaluate") for m in values.get("metric_list") or ()):
        yield "one of its metrics is code from the Hugging Face Hub"
    included = values.get("include") or []
    for other in [included] if isinstance(included, str) else included:
        yield from _code((path.parent / other).resolve())


def _nodes(path: Path) -> Iterator[yaml.Node]:
    """All nodes of the YAML, parsed but not constructed."""
    waiting: list[yaml.Node | None] = [yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            waiting += [part for pair in node.value for part in pair]
        if node is not None:
            yield node


def _sandbox_templates() -> None:
    """The Jinja templates of task files may reach no Python internals, through which they could run any code."""
    theirs = lm_eval.utils.env
    if not isinstance(theirs, SandboxedEnvironment):
        sandbox = SandboxedEnvironment(
            loader=theirs.loader, undefined=theirs.undefined, keep_trailing_newline=theirs.keep_trailing_newline
        )
        sandbox.filters.update(theirs.filters)
        lm_eval.utils.env = sandbox


# ------------------------------------------------------------------------------------------ loading


def _load(manager: TaskManager, name: str) -> Any:
    try:
        with quiet():
            return manager.load([name])
    except Exception as error:  # whatever a task file or its data can cause
        raise UserError(_why(name, error)) from error


def _why(name: str, error: Exception) -> str:
    reason = (str(error).strip().splitlines() or [""])[0].rstrip(".")[:300]
    if type(error).__name__ in OUT_OF_REACH:
        return (
            f"The data of task {name} are out of reach: {reason}. lm-eval loads them from the Hugging Face Hub; run it "
            "once where there is a network (the data stay in the cache), or choose suite=offline, which needs none."
        )
    return f"Task {name} cannot be loaded: {type(error).__name__}: {reason}."
