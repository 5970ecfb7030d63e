"""harness plan and harness describe: what would be, without making it."""

from __future__ import annotations

import json
from typing import Any

from harness.cli import Verb
from harness.errors import UserError
from harness.help import verb_help
from harness.schema import RunConfig
from harness.verbs.arguments import asks_help, flags, settings
from harness.verbs.study import base_config, sweep_and_overrides, sweep_help
from harness.verbs.under_hydra import Task, carry_out


def plan(words: list[str], verb: Verb) -> int:
    if asks_help(words):
        print(sweep_help(words, verb))
        return 0
    own, words = settings(words, {"rate": ""})
    if "--cfg" in words:
        return base_config(words, "plan")
    given, words = flags(words, ["--json"])
    name, overrides = sweep_and_overrides(words, "plan")
    from harness.planning.cost import cost, machine_rate
    from harness.results.show import render
    from harness.studies.conditions import conditions_of, varied_of
    from harness.studies.overrides import with_overrides
    from harness.studies.stages import rows_of
    from harness.studies.sweep_file import load_sweep

    sweep = with_overrides(load_sweep(name), overrides)
    made = rows_of(sweep)
    conditions_of(sweep, made)  # what a study would refuse, its plan refuses
    plans, varied = [one.plan for one in made], varied_of(sweep, made)
    rate, source = (_number(own["rate"]), "as given") if own["rate"] else machine_rate(plans[0].config)
    rows = [{"run": one.id, "varied": varied[one.id], **cost(one, rate)} for one in plans]
    if "--json" in given:
        print(json.dumps({"rate": rate, "rate_source": source, "runs": rows}, indent=1))
        return 0
    idle = () if any(row["parents"] for row in rows) else ("own_steps", "own_flops", "parents")
    idle = idle if any(row["trained"] != row["parameters"] for row in rows) else (*idle, "trained")
    print(render([{key: value for key, value in row.items() if key not in idle} for row in rows], "table"))
    different = list({row["run"]: row for row in rows}.values())
    runs, flops, hours = len(different), sum(r["own_flops"] for r in different), sum(r["hours"] for r in different)
    print(f"{runs} runs, {flops:.3g} FLOPs, {hours:.2g} hours of one device at {rate:.3g} FLOP/s ({source}).")
    print("Nothing was launched.")
    return 0


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not value > 0:
        raise UserError(f"rate={text} is not a positive number of FLOP/s, such as rate=2e14.")
    return value


def describe(words: list[str], verb: Verb) -> int:
    if asks_help(words):
        print(verb_help(verb.usage, verb.summary, RunConfig, words=words))
        return 0
    as_json = "--json" in words
    return carry_out([w for w in words if w != "--json"], Task("run", lambda config: describe_one(config, as_json)))


def describe_one(config: RunConfig, as_json: bool) -> None:
    """Prints a model's account."""
    from harness.planning.cost import description
    from harness.results.show import render

    found = description(config)
    if as_json:
        print(json.dumps(found, indent=1))
        return
    print(render(found["parts"], "table"))
    print(render([_line(key, value) for key, value in found.items() if key != "parts"], "table"))


def _line(key: str, value: Any) -> dict[str, Any]:
    shown = f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else str(value)
    return {"what": key.replace("_", " "), "value": shown}
