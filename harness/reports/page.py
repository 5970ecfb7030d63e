"""A report as one self-contained HTML file that opens offline, and its figures as SVG files beside it."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.files import write_atomic
from harness.interfaces.analysis import Finding
from harness.reports import figures, words
from harness.reports.content import (
    Report,
    Row,
    best,
    comparable,
    differences,
    finished,
    last_scores,
    of_one_loss,
    rungs,
    same,
    warnings,
    with_result,
)
from harness.reports.stages import meaning
from harness.reports.svg import inline, to_svg
from harness.results.show import duration
from harness.scoring.metrics import METRICS, Metric

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shown:
    """A figure on the page. name: its file in figures/, without the ending. svg: inline; empty where it failed."""

    name: str
    title: str
    caption: str
    svg: str


@dataclass(frozen=True)
class Capability:
    """One task's figures: the discrete metric first, its continuous twins on the same samples after it."""

    task: str
    samples: str
    panels: list[Shown]


def write(report: Report, folder: Path) -> Path:
    """Writes ``report.html`` and ``figures/*.svg`` into the folder and returns the page's path.

    The same report twice is the same bytes. A figure that an analysis fails to draw is named on the page.
    """
    from jinja2 import Environment, StrictUndefined

    env = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    env.filters |= {"si": words.si, "sci": words.scientific, "number": words.number, "verdict": _verdict}
    env.filters["numeric"] = _numeric
    here = files("harness.reports")
    gallery = _Gallery(folder / "figures")
    context = _context(report, gallery, folder)
    page = env.from_string(here.joinpath("report.html.j2").read_text("utf-8")).render(
        style=here.joinpath("style.css").read_text("utf-8"), plus_minus=words.plus_minus, duration=duration, **context
    )
    gallery.forget_others()
    write_atomic(folder / "report.html", page)
    return folder / "report.html"


def _context(report: Report, gallery: _Gallery, folder: Path) -> dict[str, Any]:
    rows = rungs(report)
    scores = last_scores(report)
    return {
        "report": report,
        "rows": rows,
        "with_result": with_result(rows),
        "best": best(rows),
        "best_bits": _bits_of(best(rows), scores),
        "totals": {key: sum((row[key] or 0) * _own(row) for row in rows) for key in ("tokens", "flops_6nd")}
        | {"seconds": sum(row["seconds"] or 0 for row in rows)},
        "links": {row["id"]: _link(report.runs_folder / row["id"], folder) for row in rows},
        "curves": _curves(report, of_one_loss(rows), gallery),
        "compute": _compute(of_one_loss(rows), gallery),
        "drawn": [(finding, list(_drawings(finding, gallery))) for finding in report.findings],
        "stages_meaning": meaning(report.stages) if report.stages else "",
        "capabilities": list(_capabilities(report, comparable(rows), scores, gallery)),
        "varied": {row["id"]: row["varied"] for row in rows},
        "scores": sorted(
            scores,
            key=lambda s: (s["task"], s["metric"], [row["id"] for row in rows if row["id"] == s["run"]], s["run"]),
        ),
        "fingerprints": same(report, "fingerprint"),
        "codes": same(report, "code"),
        "differing": {key: differences(report, key) for key in ("fingerprint", "code")},
        "warnings": warnings(report),
    }


def _own(row: Row) -> float:
    """The share of a run's steps that it made itself: what it continues is counted where it was made."""
    return float(row["own_steps"] / row["steps"]) if row["own_steps"] is not None and row["steps"] else 1.0


class _Gallery:
    """The figures of one report: drawn once, written beside the page, shown on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: list[str] = []

    def show(self, title: str, caption: str, draw: Callable[[], Figure], name: str = "") -> Shown:
        name = self._unused(re.sub(r"[^a-z0-9]+", "-", (name or title).lower()).strip("-") or "figure")
        try:
            svg = to_svg(draw)
        except Exception as error:  # a plugin's drawing must not cost the report
            log.warning("The figure %s cannot be drawn: %s.", title, error)
            return Shown(name, title, f"This figure cannot be drawn: {type(error).__name__}: {error}.", "")
        write_atomic(self.folder / f"{name}.svg", svg)
        return Shown(name, title, caption, inline(svg, name, f"{title}. {caption}"))

    def _unused(self, name: str) -> str:
        free = next(
            n for k in range(1, len(self.names) + 2) if (n := name if k == 1 else f"{name}-{k}") not in self.names
        )
        self.names.append(free)
        return free

    def forget_others(self) -> None:
        """Figures of an earlier report in the same folder are no longer of this one."""
        for path in self.folder.glob("*.svg"):
            if path.stem not in self.names:
                path.unlink()


def _curves(report: Report, rows: list[Row], gallery: _Gallery) -> Shown | None:
    curves = {row["id"]: report.curves[row["id"]] for row in rows if report.curves.get(row["id"])}
    if not curves:
        return None
    caption = f"Training loss of {len(curves)} runs, coloured by size N; dots: held-out loss at the end of each run."
    return gallery.show("Loss over tokens", caption, lambda: figures.loss_curves(rows, curves))


def _compute(rows: list[Row], gallery: _Gallery) -> Shown | None:
    continued = {row["continues"].partition("@")[0] for row in rows if row["continues"]}
    done = [row for row in finished(rows) if row["flops_6nd"] and row["id"] not in continued]
    if not done:
        return None
    caption = (
        f"Held-out loss of {len(done)} finished runs; bars, often smaller than the dots, are 95 % intervals over "
        "held-out samples; lines join runs of one size, seed and condition."
        + (" Runs that others continue are left out: their rate never came down." if continued else "")
    )
    return gallery.show("Loss against compute, by size", caption, lambda: figures.loss_against_compute(rows, done))


def _verdict(finding: Finding) -> str:
    """What a reader must see before the sentences: whether there was enough data, and whether the law holds."""
    if finding.verdict != "ok":
        return finding.verdict
    return "enough data, but the law does not fit" if finding.values.get("fits") is False else "enough data"


def _numeric(rows: Sequence[Mapping[str, Any]], key: str) -> bool:
    """Whether a column holds numbers; a row without one, such as the reference's, says nothing."""
    return any(isinstance(row[key], (int, float)) for row in rows)


def _drawings(finding: Finding, gallery: _Gallery) -> Iterator[Shown]:
    for drawing in finding.drawings:
        yield gallery.show(drawing.title, drawing.caption, drawing.figure, name=f"{finding.analysis}-{drawing.title}")


def _capabilities(report: Report, rows: list[Row], scores: Sequence[Row], gallery: _Gallery) -> Iterator[Capability]:
    if report.stages and len({row["flops_6nd"] for row in rows}) < 2:
        return  # a chain of one size, which its own section tells of: there is nothing to draw over compute
    shown = {row["id"] for row in rows}
    scores = [score for score in scores if score["run"] in shown]
    for task in sorted({score["task"] for score in scores}):
        of_task = [score for score in scores if score["task"] == task]
        counts = sorted({score["n"] for score in of_task if score.get("n")})
        panels = [
            _panel(report, rows, task, metric, [s for s in of_task if s["metric"] == metric], gallery)
            for metric in _in_order({score["metric"] for score in of_task})
        ]
        yield Capability(task, " or ".join(f"{count:,}" for count in counts), panels)


def _panel(report: Report, rows: list[Row], task: str, metric: str, scores: list[Row], gallery: _Gallery) -> Shown:
    known = _metric(metric)
    title = "discrete" if known.discrete else "continuous"
    label = f"{known.label} {'↑' if known.higher_is_better else '↓'}" if metric.partition(",")[0] in METRICS else metric
    levels = [(row["name"], row["value"]) for row in report.levels if (row["task"], row["metric"]) == (task, metric)]
    caption = f"{task}: {known.label}"
    return gallery.show(
        title, caption,
        lambda: figures.score_panel(rows, scores, label, levels, proportion=known.discrete),
        name=f"score-{task}-{metric}",
    )  # fmt: skip


def _metric(name: str) -> Metric:
    """A metric's meaning, also of one with lm-eval's filter behind a comma; unknown ones count as continuous."""
    return METRICS.get(name.partition(",")[0], Metric(name, True))


def _in_order(metrics: set[str]) -> list[str]:
    """The discrete ones first, then the continuous in the order of the table of metrics."""
    order = list(METRICS)
    known = {name: order.index(base) if (base := name.partition(",")[0]) in order else len(order) for name in metrics}
    return sorted(metrics, key=lambda name: (not _metric(name).discrete, known[name], name))


def _bits_of(winner: Row | None, scores: Sequence[Row]) -> list[Row]:
    """The best run's bits per byte, one score for each task that measures it."""
    return [s for s in scores if winner and s["run"] == winner["id"] and s["metric"] == "bits_per_byte"]


def _link(run: Path, folder: Path) -> str:
    """From the report to a run's directory; empty where there is none."""
    return Path(os.path.relpath(run, folder)).as_posix() + "/" if run.is_dir() else ""
