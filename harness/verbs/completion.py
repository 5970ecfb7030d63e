"""harness completion: Tab in bash, zsh and fish.

Hydra's own completion composes a config at each Tab and knows no verbs. Here the Config classes and the preset folders
answer, without Hydra and without torch: the shell hands over the line up to the cursor and gets whole words back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import Field
from pathlib import Path
from typing import Any

from harness.cli import VERBS, Verb
from harness.config import Config, fields_of
from harness.errors import UserError, suggest
from harness.help import default_choices, group_options, groups, options_of
from harness.hookspecs import KINDS
from harness.plugins import sweep_folder
from harness.registry import registry
from harness.schema import FitConfig, GenerateConfig, RunConfig, ScoreConfig
from harness.verbs.arguments import asks_help, one_word

#: What the shell asks with: the line follows, up to the cursor.
ASK = "--line"

BASH = """\
_harness() {
    local line="${COMP_LINE:0:COMP_POINT}" candidate
    local current="${line##*[[:space:]]}" breaks="${COMP_WORDBREAKS//[^=:]/}" cut=""
    # bash replaces only what stands after the last of these characters.
    [[ -n $breaks ]] && cut="${current%"${current##*[$breaks]}"}"
    COMPREPLY=()
    while IFS= read -r candidate; do
        COMPREPLY+=("${candidate#"$cut"}")
    done < <("${COMP_WORDS[0]}" completion --line "$line" 2>/dev/null)
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace
    return 0
}
complete -o default -F _harness harness"""

ZSH = """\
_harness() {
    local -a found
    found=("${(@f)$("${words[1]}" completion --line "${(j: :)words[1,CURRENT]}" 2>/dev/null)}")
    found=(${found:#})
    (( $#found )) || { _files; return }
    compadd -Q -S '' -- ${(M)found:#*=}
    compadd -Q -- ${found:#*=}
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
compdef _harness harness"""

FISH = """\
function __harness_complete
    set -l words (commandline -opc) (commandline -ct)
    $words[1] completion --line (string join ' ' -- $words) 2>/dev/null
end
complete -c harness -f -a '(__harness_complete)'"""

SHELLS = {"bash": BASH, "zsh": ZSH, "fish": FISH}

#: The config that a verb's words change, and its file in conf/.
CONFIGS: dict[str, tuple[type[Config], str]] = {
    **dict.fromkeys(("train", "study", "plan", "describe", "why"), (RunConfig, "run")),
    "score": (ScoreConfig, "score"),
    "generate": (GenerateConfig, "generate"),
    "fit": (FitConfig, "fit"),
}


def completion(words: list[str], verb: Verb) -> int:
    if words[:1] == [ASK]:
        print("\n".join(candidates(words[1] if len(words) > 1 else "")))
        return 0
    if asks_help(words):
        print(f'{verb.summary}\n\nusage: {verb.usage}\n\nIn ~/.bashrc: eval "$(harness completion bash)"')
        return 0
    shell, rest = one_word(words, "a shell: bash, zsh or fish")
    if shell not in SHELLS or rest:
        raise UserError(f"harness completion {shell}: there is no script for it. {suggest(shell, SHELLS)}")
    print(SHELLS[shell])
    return 0


def candidates(line: str) -> list[str]:
    """The whole words that the last one of a line may become, sorted; none where it may be anything."""
    _, *words = line.split()
    *before, current = [*words, ""] if not words or line[-1].isspace() else words
    if not before:
        found: Iterator[str] = iter(VERBS)
    elif before[0] not in VERBS:
        return []
    elif "=" in current:
        found = _values(current, before)
    else:
        found = _words(before)
    return sorted({word for word in found if word.startswith(current)})


def _words(before: list[str]) -> Iterator[str]:
    """What may stand after a verb: what it is about, its flags, groups and keys."""
    verb = VERBS[before[0]]
    yield from re.findall(r"--?[a-z]+", verb.usage)
    yield from (f"{key}=" for key in re.findall(r"(?<=[\[ ])(\w+)=", verb.usage) if key != "key")
    yield from _subjects(before)
    if before[0] in CONFIGS:
        config, _ = CONFIGS[before[0]]
        yield from (f"{group}=" for group in groups() if config is RunConfig or group in fields_of(config))
        yield from (f"{key}=" for key in _options(before))


def _subjects(before: list[str]) -> Iterator[str]:
    if before[0] in ("study", "plan"):
        folders = [Path.cwd() / "sweeps", sweep_folder()]
        yield from (file.stem for folder in folders for file in folder.glob("*.yaml"))
    if before[0] in ("fit", "status", "report"):
        yield from (file.parent.name for file in Path(_said("studies", before, "./studies")).glob("*/study.json"))
    if before[0] in ("diff", "why", "export", "sync"):
        yield from _runs(before)
    if before[0] == "plugins":
        yield from {1: ["matrix", "new"], 2: KINDS if before[1:] == ["new"] else []}.get(len(before), [])
    if before[0] == "completion":
        yield from SHELLS


def _values(current: str, before: list[str]) -> Iterator[str]:
    """``key=value`` for each value that a key may have; in a list, for its last one."""
    key = current.partition("=")[0]
    start = current[: max(current.rfind("="), current.rfind(",")) + 1]
    if key in groups():
        values = [name for name, _ in group_options(key)]
    elif key == "run" or key.startswith("parents."):
        values = list(_runs(before))
    else:
        field = _options(before).get(key) if before[0] in CONFIGS else None
        values = _choices(field) if field is not None else []
    yield from (f"{start}{value}" for value in values)


def _choices(field: Field[Any]) -> list[str]:
    if "kind" in field.metadata:
        return registry().names(field.metadata["kind"])
    return ["true", "false"] if field.type in (bool, "bool") else [str(c) for c in field.metadata.get("choices") or ()]


def _runs(before: list[str]) -> Iterator[str]:
    folders = Path(_said("runs", before, "./runs")).glob("*/manifest.json")
    yield from (file.parent.name for file in folders if not file.parent.name.startswith("."))


def _said(key: str, before: list[str], default: str) -> str:
    return next((word.partition("=")[2] for word in reversed(before) if word.startswith(f"{key}=")), default)


# ------------------------------------------------------------------------------------------- options


def _options(before: list[str]) -> dict[str, Field[Any]]:
    """Every dotted key that can be set, with its field, where the plugins are chosen as on the line or by default."""
    config, name = CONFIGS[before[0]]
    said = dict(word.split("=", 1) for word in before if "=" in word)
    return {option.key: option.field for option in options_of(config, "", {**default_choices(name), **said})}
