"""What the comparison of conditions came to, in sentences; the first says what of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.reports.compared import BETTER, NOISE, WORSE, Compared, Comparison, Rung
from harness.reports.intervals import CONFIDENCE
from harness.reports.measured import Measure
from harness.reports.ranking import Arm, ranks
from harness.reports.trials import Trial
from harness.reports.words import signed
from harness.results.losses import INSTEAD, unlike

Row = dict[str, Any]


def sentences(found: Comparison, trends: Mapping[str, Sequence[Row]]) -> list[str]:
    """trends: of each kind, by what the others are compared with."""
    said = [_apart(found)] if len(found.kinds) > 1 else []
    for one in found.kinds:
        if len(one.top.arms) > 1:
            said += [_verdicts(one), _ranked(one.top), *_twins(one), *_moved(one, trends[one.top.reference.name])]
            said += [_meaning(one), *_loud(one)]
    return [*said, *_tuned(found), *_left(found)]


def _verdicts(one: Compared) -> str:
    rung, measure = one.top, one.measure
    documents = measure.documents(rung.trial)
    of = f" of the same {documents} documents" if documents else ""
    parts = []
    for verdict, words in ((BETTER, "better than it"), (WORSE, "worse"), (NOISE, "not told apart from it")):
        which = [_difference(rung, arm) for arm in rung.ranked() if rung.verdict(arm) == verdict]
        parts.append(f"{words}: {'; '.join(which) or 'none'}")
    return f"Beside {rung.reference.name}{_at(rung)}, by {measure.label}{of}: {'. '.join(map(_upper, parts))}."


def _difference(rung: Rung, arm: Arm) -> str:
    own = rung.gap(arm)
    interval = "" if own.low is None or own.high is None else f" [{signed(own.low)}, {signed(own.high)}]"
    return f"{arm.name} {signed(own.value)}{interval}"


def _ranked(rung: Rung) -> str:
    places = ranks(rung.arms, rung.noise)
    told = [f"{arm.name} ({_place(places[arm.name])})" for arm in rung.ranked()]
    return f"Ranked{_at(rung)}, in brackets the places that the intervals allow: {', '.join(told)}."


def _place(places: tuple[int, int]) -> str:
    return str(places[0]) if places[0] == places[1] else f"{places[0]}–{places[1]}"


def _twins(one: Compared) -> list[str]:
    """What an exact duplicate shows of the method: it is asked like any other."""
    said = []
    for name in one.twins:
        rungs = [(rung, arm) for rung in one.rungs for arm in rung.arms if arm.name == name]
        told = [f"{_difference(rung, arm)}{_at(rung)}" for rung, arm in rungs]
        end = "it is called noise, as it should be."
        if any(rung.verdict(arm) != NOISE for rung, arm in rungs):
            often = sum((1 - CONFIDENCE) / (len(rung.arms) - 1) for rung, _ in rungs)
            end = (
                f"it is told apart, which chance does once in {1 / often:.0f} such studies at most. Trust no "
                "difference of that size."
            )
        said.append(f"{name} is {one.top.reference.name} once more, from other seeds ({'; '.join(told)}): {end}")
    return said


def _moved(one: Compared, trend: Sequence[Row]) -> list[str]:
    if not trend:
        return []
    parts = []
    for word in ("falls behind", "catches up"):
        if which := [row for row in trend if row["verdict"] == word]:
            told = [f"{r['condition']} {signed(r['change'])} [{signed(r['low'])}, {signed(r['high'])}]" for r in which]
            parts.append(f"{word}: {'; '.join(told)}")
    if still := sum(row["verdict"] == NOISE for row in trend):
        parts.append(f"no change of the difference is told for {still} of {len(trend)} conditions")
    return [f"From {one.rungs[0].name} to {one.top.name}: {'. '.join(map(_upper, parts))}."]


def _meaning(one: Compared) -> str:
    rung, count = one.top, len(one.top.arms) - 1
    halves = sorted(half for arm in rung.arms[1:] if (half := rung.gap(arm).half) is not None)
    if not halves:
        return "There is one seed for each condition, and samples are not known: no interval can be told."
    held = f"Intervals hold together for the {count} comparisons of a rung at {CONFIDENCE:.0%} (Bonferroni)"
    held = held if count > 1 else f"The interval holds at {CONFIDENCE:.0%}"
    seeds = len(rung.reference.values)
    if rung.noise.between is None:
        return f"{held}. There is one seed for each condition: it says nothing of how another training would come out."
    own = rung.noise.within
    deviation, freedom = own or rung.noise.between
    paired = "differences of equal seeds" if own else "values within a condition"
    known = rung.reference.pulls_S is not None
    samples = "and of the same documents, paired one by one" if known else "and nothing of other held-out data"
    return (
        f"{held}. They know of {seeds} seeds, by {paired}, pooled over conditions (standard deviation "
        f"{deviation:.2g}, {freedom} d.f.), {samples}. So few seeds do not show a difference below about "
        f"{halves[len(halves) // 2]:.2g}."
    )


def _loud(one: Compared) -> list[str]:
    loud = list(dict.fromkeys(name for rung in one.rungs for name in sorted(rung.noise.loud)))
    if not loud:
        return []
    return [f"The seeds of {', '.join(loud)} differ more than others' do: judged by their own spread, more widely."]


def _tuned(found: Comparison) -> list[str]:
    choices = {key: choice for key, choice in found.choices.items() if choice and choice.setting}
    if not choices:
        return []
    keys = " and ".join(key for key, _ in next(iter(choices.values())).setting)
    alone = all(len(choice.trials) < 2 for choice in choices.values())
    how = (
        "With one seed the choice is made on what is compared: every condition looks better than it is."
        if alone
        else "Each seed is compared with what the other seeds choose, so that no condition wins by a lucky choice."
    )
    said = f"Each condition has its own best {keys} on each rung, by held-out loss. {how}"
    if ends := [f"{name}{_in(rung)}" for (name, rung), choice in choices.items() if choice.at_end]:
        said += f" At the end of what was tried, so that its best may lie outside: {', '.join(ends)}."
    if split := [f"{name}{_in(rung)}" for (name, rung), choice in choices.items() if choice.split]:
        said += f" The seeds do not agree: {', '.join(split)}."
    return [said]


def _apart(found: Comparison) -> str:
    """Why not all are ranked together."""
    kinds = [", ".join(arm.name for arm in one.top.arms) for one in found.kinds]
    measure, tops = found.kinds[0].measure, [one.top.trial for one in found.kinds]
    likelihoods = [asked[0] for trial in tops if (asked := measure.asked(trial))]
    if len(set(likelihoods)) == len(kinds):
        told = ", ".join(f"{kind} ({names})" for kind, names in zip(likelihoods, kinds, strict=True))
        apart = f"since their likelihoods differ in kind: {told}"
        return f"These are not ranked together, {apart}. They stand side by side below."
    names, why = ", and ".join(kinds), _why_apart(measure, *tops[:2])
    return f"These are not ranked together: {names}, since {why}. They stand side by side below."


def _why_apart(measure: Measure, first: Trial, other: Trial) -> str:
    one, two = measure.asked(first), measure.asked(other)
    if one is None or two is None:
        differ = unlike(first.manifest, other.manifest, first.condition, other.condition)
        return f"their losses are no values of one thing: {differ}; {INSTEAD}"
    if one[0] != two[0]:
        told = f"{one[0]} of {first.condition}, {two[0]} of {other.condition}"
        return f"their likelihoods are of several kinds ({told})"
    differ = "their suite had other settings" if one[1] != two[1] else "other documents are held out"
    return f"{measure.label} of {first.condition} and {other.condition} are not of the same questions: {differ}"


def _left(found: Comparison) -> list[str]:
    where = [f"{name}{_in(rung)}" for (name, rung), choice in found.choices.items() if choice is None]
    return [f"Not compared, since no setting came to a loss with every seed: {', '.join(where)}."] if where else []


def _at(rung: Rung) -> str:
    return f" at {rung.name}" if rung.name else ""


def _in(rung: str) -> str:
    return f" at {rung}" if rung else ""


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]
