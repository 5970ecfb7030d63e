"""What would be done for a run that is asked for: train, resume, reuse, or refuse with a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.identity import code
from harness.planning.plan import Plan
from harness.rundir import RunDir


@dataclass(frozen=True)
class Decision:
    """action: train, resume, reuse or refuse; reason: a sentence."""

    action: str
    reason: str
    run: RunDir


def decide(plan: Plan) -> Decision:
    """Looks at the run directory; changes nothing."""
    run = RunDir(Path(plan.config.runs) / plan.id)
    if plan.config.retrain and run.exists():
        return Decision("train", "retrain=true: the old directory is moved aside.", run)
    state = run.state()
    if state == "new":
        return Decision("train", "There is no such run yet.", run)
    last = run.last_whole_checkpoint()
    if state != "finished" and last is None:
        return Decision("train", f"It is {state}, without a whole checkpoint.", run)
    if last is None and plan.config.method is None:
        return Decision("train", "Its checkpoint is gone or damaged; it is made again.", run)
    different = _different_code(run.manifest().get("code", {}), code(plan.config))
    if different and plan.config.reuse != "any":
        return Decision("refuse", f"{different} Say reuse=any to take it all the same, or retrain=true.", run)
    end = run.manifest().get("result", {}).get("steps")
    if state == "finished" and last and end and last[0] < end:
        return Decision("resume", f"Its last checkpoint is gone or damaged; it goes on from step {last[0]}.", run)
    if state == "finished":
        return Decision("reuse", "It is finished.", run)
    assert last is not None
    return Decision("resume", f"It is {state} and goes on from step {last[0]}.", run)


def _different_code(made_by: dict[str, Any], now: dict[str, Any]) -> str:
    if made_by.get("released") and now["released"]:
        return ""  # released versions are trusted: results_version stands in the id
    was = made_by.get("digests", {})
    changed = [name for name, digest in now["digests"].items() if was.get(name) != digest]
    return f"It was made by other code of {', '.join(changed)} than is installed now." if changed else ""


def allowed(plan: Plan) -> Decision:
    """The decision. Raises UserError where reuse is refused."""
    decision = decide(plan)
    if decision.action == "refuse":
        raise UserError(f"Run {plan.id} in {decision.run.path}: {decision.reason}")
    return decision


def start(plan: Plan, held: RunDir) -> Decision:
    """The decision, carried out under a lease as far as the directory goes: an old one is moved aside for
    retrain=true."""
    decision = allowed(plan)
    if plan.config.retrain and decision.run.exists():
        held.move_aside()
    return decision
