"""harness diff: two runs side by side."""

from __future__ import annotations

import json
from typing import Any

from harness.cli import Verb
from harness.errors import UserError
from harness.verbs.arguments import asks_help, flags, settings


def diff(words: list[str], verb: Verb) -> int:
    if asks_help(words):
        print(f"{verb.summary}\n\nusage: {verb.usage}")
        return 0
    own, words = settings(words, {"runs": "./runs"})
    given, words = flags(words, ["--json"])
    if len(words) != 2:
        raise UserError(f"This verb needs two runs, as ids or folders; found {' and '.join(words) or 'none'}.")
    from harness.results.compare import compare
    from harness.results.show import finite
    from harness.rundir import open_run

    found = compare(*(open_run(word, own["runs"]) for word in words))
    print(json.dumps(finite(found), indent=1) if "--json" in given else _text(found))
    return 0


def _text(found: dict[str, Any]) -> str:
    from harness.results.show import render

    parts = [f"a: {found['a']}\nb: {found['b']}"]
    for name, said in (("config", "Their configs are the same."), ("fingerprint", "")):
        if found[name]:
            parts.append(f"{name}: what differs\n{render(found[name])}")
        elif said:
            parts.append(said)
    parts.append(f"figures\n{render([row for row in found['figures'] if (row['a'], row['b']) != (None, None)])}")
    if found["measures"]:
        parts.append(f"measures of held-out data\n{render(found['measures'])}")
    if found["unlike"]:
        parts.append(found["unlike"])
    if not found["scores"]:
        return "\n\n".join([*parts, "No score is there for both."])
    steps = "step {} of a and {} of b".format(*found["steps"])
    rows = [{**row, "paired": "yes" if row["paired"] else "no"} for row in found["scores"]]
    return "\n\n".join([*parts, f"scores at {steps}\n{render(rows)}"])
