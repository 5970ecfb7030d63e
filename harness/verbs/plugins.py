"""harness plugins: what is installed, and how it does."""

from __future__ import annotations

import json

from harness.cli import Verb
from harness.plugins import load
from harness.verbs.arguments import asks_help, flags, only

ROW = "{:<14} {:<22} {:<10} {:<16} {}"


def plugins(words: list[str], verb: Verb) -> int:
    if asks_help(words):
        print(f"{verb.summary}\n\nusage: {verb.usage}")
        return 0
    given, rest = flags(words, ["--json"])
    only(rest)
    rows = [
        {"kind": kind, "name": name, "version": p.version, "from": p.distribution, "health": p.error or "healthy"}
        for p in load().found
        for kind, name in (p.registered or [("-", p.name)])
    ]
    if "--json" in given:
        print(json.dumps(rows, indent=1))
        return 0
    print(ROW.format("kind", "name", "version", "from", "health"))
    for row in sorted(rows, key=lambda row: (row["kind"], row["name"])):
        print(ROW.format(row["kind"], row["name"], row["version"], row["from"], row["health"]))
    if not rows:
        print("No plugin is loaded: none is installed, or HARNESS_PLUGINS=none turns all off.")
    return 0
