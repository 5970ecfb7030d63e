"""harness gc: what nothing needs any more, listed first and deleted when told."""

from __future__ import annotations

from pathlib import Path

from harness.cli import Verb
from harness.errors import UserError
from harness.verbs.arguments import asks_help, flags, only, settings

HELP = """
Listed are what killed attempts left behind, damaged checkpoints of runs that have a whole one, and runs that
retrain=true has moved aside. Nothing is deleted without --delete; the last whole checkpoint of a run never is.

  runs=<folder>      where the runs are (./runs)
  checkpoints=true   also finished runs' checkpoints before the last, unless another run started from them
  cache=true         also the tokenised corpora and tokenizers that are kept between runs
  --delete           delete what is listed"""


def gc(words: list[str], verb: Verb) -> int:
    if asks_help(words):
        print(f"{verb.summary}\n\nusage: {verb.usage}\n{HELP}")
        return 0
    own, words = settings(words, {"runs": "./runs", "checkpoints": "false", "cache": "false"})
    given, words = flags(words, ["--delete"])
    only(words, ["runs=", "checkpoints=", "cache=", "--delete"])
    if not Path(own["runs"]).is_dir():
        raise UserError(f"runs={own['runs']}: there is no such folder. Say runs=<folder>.")
    from harness.results.garbage import find, remove

    asked = {name: _yes(name, own[name]) for name in ("checkpoints", "cache")}
    found = find(Path(own["runs"]), **asked)
    for one in found:
        print(f"{_size(one.bytes):>10}  {one.path}  ({one.reason})")
        if "--delete" in given:
            remove(one)
    total = _size(sum(one.bytes for one in found))
    if not found:
        print("There is nothing to delete.")
    elif "--delete" in given:
        print(f"{total:>10}  deleted.")
    else:
        print(f"{total:>10}  in all. Nothing is deleted yet: say --delete.")
    return 0


def _yes(name: str, value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise UserError(f"{name}={value}: say true or false.")
    return value.lower() == "true"


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
