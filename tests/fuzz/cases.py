"""Random cases: words for the command line, sensible and senseless, and damage done to files."""

from __future__ import annotations

import functools
import json
import random
import shutil
from pathlib import Path
from typing import Any

from harness.cli import VERBS
from harness.help import group_options, groups
from harness.verbs.completion import candidates
from tests.fuzz.world import TINY, runs_of

VALUES = (
    "", "0", "1", "2", "-1", "0.5", "1e-3", "1e400", "-1e30", "99999999999999999999999", "nan", "inf", "-0.0", "1e-320",
    "1_000", "0x10", "true", "false", "null", "none", "???", "${seed}", "${nothing}", "${oc.env:NOTHING}", "${a",
    "${ratio:1,0}", "${root:-1}", "${whole_ratio:x,0}", "[]", "[1,2]", "[1,[2,{}]]", "{}", "{a: 1}", "{name: x}",
    "{name: adamw}", "{name: null}", "{name: [1]}", "word", "two words", "é😀", "\ud800", "\x00", "'", '"', "\\", "\n",
    "(", ")", ",", "=", "1,2", "a,b", "range(1,3)", "choice(1,2)", "glob(*)", "int(3)", "str(null)", "interval(0,1)",
    "..", "../..", "/", "/dev/null", "~", "$(ls)", "a" * 5000, "[" * 200, "{a: " * 100, "runs", "corpus", "table.csv",
    "corpus/a.txt", "corpus/rows.jsonl", "1e5@3", "@", "a@b@c", "now", "0123456789ab", "true,false", "-", "--", "%s", "{0}",
)  # fmt: skip

#: What a large number rightly makes long, heavy or many.
LEGITIMATE = (
    "corpus.documents", "corpus.problems", "corpus.bytes", "data.workers", "launcher.", "trainer.devices", "threads",
    "tensor_parallel", "suite.", "analysis.bootstraps", "tokens", "tokenizer.size",
)  # fmt: skip

#: Names that go to the network, or load for many seconds.
SLOW = ("hf", "lm_eval", "wandb")


@functools.cache
def keys() -> list[str]:
    """Every group and every dotted key of a run by default, and those of the other verbs."""
    words = [
        w for verb in ("train", "score", "generate", "fit") for w in candidates(f"harness {verb} ") if w[-1] == "="
    ]
    return sorted({word[:-1] for word in words})


def override(rng: random.Random) -> str:
    """One word: mostly key=value, often wrong."""
    if rng.random() < 0.1:
        return rng.choice([*VALUES, "=", "=1", "a=", "seed", "~seed", "~architecture", "+a=1", "++a.b=1", "+seed=1"])
    key = rng.choice(keys())
    if rng.random() < 0.1:
        key = rng.choice([key[:-1], f"{key}.x", f"+{key}", f"++{key}", f"~{key}", f"{key}@x", key.upper(), f".{key}"])
    if key in groups() and rng.random() < 0.7:
        names = [name for name, _ in group_options(key) if name not in SLOW]
        return f"{key}={rng.choice([*names, 'null', 'no_such'])}"
    return f"{key}={_value(rng, key)}"


def _value(rng: random.Random, key: str) -> str:
    known = [word.partition("=")[2] for word in candidates(f"harness train {key}=")]
    if known and rng.random() < 0.5:
        return rng.choice(known)
    values = [v for v in VALUES if "9999" not in v] if any(part in key for part in LEGITIMATE) else VALUES
    return rng.choice([*values, str(rng.randint(-3, 300))])


def words(rng: random.Random, folder: Path) -> list[str]:
    """A whole command line. `train` and `study` are only asked what they would do."""
    verb = rng.choice([*VERBS, "describe", "plan", "why", "train", "score", "generate", "fit"])
    ids = [run.id for run in runs_of(folder)]
    some = [override(rng) for _ in range(rng.choice([0, 1, 1, 1, 2, 3]))]
    first = {
        "train": ["--cfg", "job"],
        "study": [rng.choice(["own", "quickstart", "x"]), "--cfg", "job"],
        "plan": [rng.choice(["own", "sweeps/own.yaml", "table.csv", "x"])],
        "score": [f"run={rng.choice([*ids, ids[0][:3], 'x', ''])}", "suite.tasks=null"],
        "generate": [f"run={rng.choice(ids)}", f"prompt={rng.choice(VALUES)}", "tokens=3"],
        "fit": [rng.choice(["table.csv", "own", "corpus/a.txt", "x"]), "analysis.bootstraps=3"],
        "diff": [rng.choice([*ids, "x"]), rng.choice([*ids, ""])],
        "why": rng.choice([[], [ids[0]], [rng.choice(VALUES)], list(TINY)]),
        "describe": rng.choice([[], list(TINY)]),
        "results": [
            "--sql",
            rng.choice([*VALUES, "select * from runs", "drop table runs", "select * from 'table.csv'"]),
        ],
        "status": rng.choice([[], ["own"], ["x"]]),
        "report": [rng.choice(["own", "x", "../own"])],
        "export": [ids[0], f"to={rng.choice(['out', 'corpus', 'table.csv', '', '/dev/null/x'])}"],
        "import": [rng.choice(["corpus", "x", "table.csv", "runs"])],
    }.get(verb, [])
    if verb in ("results", "status", "report", "export", "import", "diff", "plugins", "completion", "sync", "gc"):
        some = [rng.choice([*VALUES, f"runs={rng.choice(VALUES)}", "--json", "--csv"]) for _ in some]
    return [verb, *first, *some, *(["--json"] if rng.random() < 0.1 else [])]


# -------------------------------------------------------------------------------------------- damage

SHAPES: tuple[Any, ...] = (
    None, True, 0, -1, 1e300, 10**30, "", "x", "\ud800", [], [1], [[]], [{}], ["x"], {}, {"a": 1}, {"name": "x"},
    {"name": 3}, "../../x", "9" * 5000,
)  # fmt: skip


def damage(rng: random.Random, folder: Path) -> tuple[Path, str]:
    """Damages one file of a folder; which, and what was done."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and ".locks" not in path.parts)
    plain = [path for path in files if path.suffix in (".json", ".jsonl", ".yaml", ".csv", ".gz", ".txt")]
    path = rng.choice(rng.choice([files, plain, [path for path in plain if path.suffix == ".json"]]))
    done = rng.choice(["flipped", "cut", "emptied", "removed", "a folder", "garbage behind", "shape", "shape", "shape"])
    content = path.read_bytes()
    if done == "shape" and path.suffix == ".json" and content:
        path.write_text(_reshaped(rng, json.loads(content)))
    elif done in ("flipped", "shape") and content:
        changed = bytearray(content)
        for _ in range(rng.choice([1, 1, 8])):
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
    elif done == "cut":
        path.write_bytes(content[: rng.randrange(len(content) + 1)])
    elif done == "garbage behind":
        path.write_bytes(content + rng.randbytes(20))
    elif done == "emptied":
        path.write_bytes(b"")
    else:
        path.unlink()
        if done == "a folder":
            path.mkdir()
    return path.relative_to(folder), done


def _reshaped(rng: random.Random, value: Any) -> str:
    """JSON in which something, somewhere, is of another kind or gone."""
    if rng.random() < 0.15:
        return rng.choice([json.dumps(rng.choice(SHAPES)), "[" * 100_000, "NaN", '{"a": 1, "a": 2}', "\ufeff{}"])
    place, key = value, None
    inner = value
    while isinstance(inner, (dict, list)) and inner and (key is None or rng.random() < 0.8):
        place, key = inner, rng.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
        inner = place[key]
    if key is None or rng.random() < 0.2:
        return json.dumps(rng.choice(SHAPES))
    if rng.random() < 0.3:
        del place[key]
    else:
        place[key] = rng.choice(SHAPES)
    return json.dumps(value)


def readers(rng: random.Random, damaged: Path, ids: list[str]) -> list[list[str]]:
    """Command lines that read what may have been damaged. ids: of the runs before that."""
    one, other = rng.sample(ids, 2)
    text = ["suite=null", "corpus=text", f"corpus.path={rng.choice(['corpus', 'corpus/rows.jsonl', 'corpus/a.txt'])}"]
    every = [
        ["status"], ["status", "own"], ["results"], ["results", "--json"], ["results", "--sql", "select * from scores"],
        ["results", "--sql", "select * from options"], ["why", one], ["diff", one, other], ["report", "own"],
        ["generate", f"run={one}", "tokens=2"], ["fit", "table.csv", "analysis.bootstraps=3"], ["fit", "own"],
        ["plan", "own"], ["plan", "sweeps/own.yaml", "--json"], ["why", "tokenizer=bytes", *text], ["train", *TINY],
        ["study", "own", "launcher.workers=1"], ["train", *TINY, "seed=1", "reuse=any"], ["export", one, "to=out"],
        ["score", f"run={one}", "suite=offline", "suite.limit=1", "suite.problems=1", "suite.pairs=1"],
        ["train", *TINY, "retrain=true"],
    ]  # fmt: skip
    if damaged.parts[0] == "sweeps":  # it may ask for a long training now, rightly
        every = [line for line in every if line[0] != "study"]
    return rng.sample(every, 3)


def clean(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
