"""One self-contained page: honest about what is missing, traceable to the runs, the same bytes for the same content."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from harness.interfaces.analysis import Drawing, Finding
from harness.reports import write
from harness.reports.content import rungs
from harness.reports.words import si

SVG = "{http://www.w3.org/2000/svg}"


class Page(HTMLParser):
    """What a reader's browser makes of the file: text, links, ids, elements that are still open at the end."""

    VOID = {"meta", "link", "br", "img", "hr", "input"}

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text, self.links, self.ids, self.open, self.tags = "", [], [], [], set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        found = dict(attributes)
        self.links += [found[key] for key in ("href", "src", "xlink:href") if key in found]
        self.ids += [found["id"]] if "id" in found else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text += data


@pytest.fixture(scope="module")
def whole(quickstart):
    """The full study's report, written once: content, path, page."""
    report, folder = quickstart
    path = write(report, folder / "studies" / report.name)
    return report, path, Page(path)


def test_the_page_is_whole(whole):
    _, _, page = whole
    assert page.open == []
    assert len(page.ids) == len(set(page.ids)), "figures share a page without sharing ids"


def test_the_question_comes_first_then_what_was_found_then_the_evidence(whole):
    report, _, page = whole
    body = page.text[page.text.index("Study quickstart") :]
    answer = report.findings[0].sentences[0]
    evidence = ["Key figures", "Loss over tokens", "Capabilities", "Where the numbers come from"]
    places = [body.index(part) for part in (report.question, answer, *evidence, report.command)]
    assert places == sorted(places)


def test_every_run_stands_in_the_report_with_its_whole_id_and_leads_to_its_folder(whole):
    report, path, page = whole
    for run in report.runs:
        assert run["id"] in page.text
        (link,) = {link for link in page.links if run["id"] in link}
        assert (path.parent / link / "manifest.json").is_file()
        assert not Path(link).is_absolute()


def test_it_opens_offline(whole):
    _, path, page = whole
    assert not [link for link in page.links if re.match(r"(\w+:)?//", link)]
    assert not page.tags & {"script", "link", "iframe", "object"}
    assert not re.search(r"@import|url\((?!#)", path.read_text())


def test_every_link_leads_somewhere(whole):
    _, path, page = whole
    for link in page.links:
        assert link.removeprefix("#") in page.ids if link.startswith("#") else (path.parent / link).exists(), link


def test_the_references_inside_figures_hold(whole):
    _, path, page = whole
    assert set(re.findall(r"url\(#([^)]+)\)", path.read_text())) <= set(page.ids)


def test_figures_also_stand_alone_and_their_text_is_text(whole):
    _, path, _ = whole
    files = sorted((path.parent / "figures").glob("*.svg"))
    assert {"loss-over-tokens", "loss-against-compute-by-size", "power-law-predicted-against-seen"} <= {
        f.stem for f in files
    }
    for file in files:
        drawn = ElementTree.parse(file).getroot()
        assert drawn.tag == f"{SVG}svg"
        assert [text for text in drawn.iter(f"{SVG}text") if "".join(text.itertext()).strip()]


def test_a_discrete_metric_stands_beside_its_twins_and_before_them(whole):
    _, _, page = whole
    panels = [id for id in page.ids if re.fullmatch(r"score-addition-two-digits-[a-z-]*", id) and id in page.ids]
    named = [id.removeprefix("score-addition-two-digits-") for id in panels]
    assert [name for name in named if name in ("exact-match", "token-accuracy", "edit-distance", "log-likelihood")] == [
        "exact-match", "token-accuracy", "edit-distance", "log-likelihood",
    ]  # fmt: skip


def test_numbers_carry_their_interval_sample_count_and_convention(whole):
    report, _, page = whole
    assert "2.774 ± 0.009" in page.text
    assert "200 samples for each run" in page.text
    for key, meaning in report.conventions.items():
        assert key in page.text
        assert meaning in page.text


def test_not_enough_data_is_said_openly(whole):
    _, _, page = whole
    assert "not enough data" in page.text[: page.text.index("Key figures")]


def test_a_law_that_does_not_fit_is_not_shown_as_one_that_does(study, tmp_path):
    finding = replace(study().findings[0], values={"fits": False}, drawings=[])
    page = Page(write(study(scores=[], curves={}, findings=[finding]), tmp_path / "report"))
    assert "enough data, but the law does not fit" in page.text


def test_a_column_of_numbers_is_one_though_its_first_row_has_none(study, tmp_path):
    rows = [{"ranks": "1", "low": None, "C, 6ND": 331_087_872}, {"ranks": "2", "low": -0.5, "C, 6ND": 2.48e9}]
    finding = replace(study().findings[0], tables={"rung": rows}, drawings=[])
    page = write(study(scores=[], curves={}, findings=[finding]), tmp_path / "report").read_text()
    assert '<th>ranks</th><th class="n">low</th><th class="n">C, 6ND</th>' in page
    assert '<td class="n">3.31 × 10⁸</td>' in page


def test_what_counting_reaches_stands_in_the_figure_of_the_same_samples_only(whole):
    _, path, _ = whole
    drawn = {f.stem: f.read_text() for f in (path.parent / "figures").glob("*.svg")}
    assert {name for name, svg in drawn.items() if "byte trigram" in svg} == {"score-held-out-bits-per-byte"}
    assert {name for name, svg in drawn.items() if "chance" in svg} == {"score-pairs-bracket-acc"}


def test_the_same_content_twice_is_the_same_bytes(study, tmp_path):
    report = study(scores=[])
    first, second = (write(report, tmp_path / name / "report") for name in ("a", "b"))
    for one in [first, *sorted(first.parent.rglob("*.svg"))]:
        other = second.parent / one.relative_to(first.parent)
        assert one.read_bytes() == other.read_bytes()


def test_figures_of_an_earlier_report_are_removed(study, tmp_path):
    write(study(scores=[]), tmp_path / "report")
    write(study(scores=[], findings=[], curves={}), tmp_path / "report")
    assert [path.name for path in (tmp_path / "report" / "figures").iterdir()] == ["loss-against-compute-by-size.svg"]


def test_text_of_others_is_shown_and_never_run(study, tmp_path):
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
    drawing = Drawing(evil, evil, study().findings[0].drawings[0].draw)
    score = {"checkpoint": 1, "suite": evil, "task": evil, "metric": evil, "value": 0.5, "n": 3, "likelihood": evil}
    report = study(
        name=evil,
        question=evil,
        created=evil,
        command=evil,
        sweep=evil,
        notes=[evil],
        conventions={evil: evil},
        findings=[Finding(evil, evil, [evil], {}, {evil: [{evil: evil}]}, [drawing])],
        scores=[{**score, "run": study().runs[0]["id"], "stderr": None}],
        levels=[{"task": evil, "metric": evil, "name": f"{evil} $x", "value": 0.4}],
    )
    report.runs[0].update(state=evil, error=evil, code={evil: evil}, fingerprint={evil: evil})
    page = Page(write(report, tmp_path / "report"))
    assert not page.tags & {"script", "img"}
    assert page.text.count(evil) >= 15
    assert "cannot be drawn" not in page.text


def test_nothing_yet_is_a_report_too(study, tmp_path):
    page = Page(write(study(runs=[], curves={}, scores=[], findings=[], levels=[], notes=[]), tmp_path / "report"))
    assert "There are no runs yet" in page.text
    assert not (tmp_path / "report" / "figures").exists()


def test_one_run_is_a_report(study, tmp_path):
    one = study().runs[:1]
    report = study(runs=one, curves={one[0]["id"]: [(1, 1024, 5.0)]}, findings=[], scores=[])
    page = Page(write(report, tmp_path / "report"))
    assert one[0]["id"] in page.text
    assert (tmp_path / "report" / "figures" / "loss-over-tokens.svg").exists()


def test_a_trunk_is_paid_for_once_and_is_no_point_of_the_curve(study, tmp_path):
    trunk, *branches = [run for run in study().runs if run["model"]["non_embedding"] == 7_000]
    for branch in branches:
        branch["identity"] = {"parents": {"continue": f"{trunk['id']}@400"}}
        branch["budget"]["own_steps"] = branch["budget"]["steps"] // 4
    report = study(runs=[trunk, *branches], findings=[], scores=[], curves={})
    page = Page(write(report, tmp_path / "report"))
    tokens = trunk["budget"]["tokens"] + sum(branch["budget"]["tokens"] / 4 for branch in branches)
    assert f"{si(tokens)} tokens; " in page.text
    assert "Held-out loss of 2 finished runs" in page.text
    assert "Runs that others continue are left out" in page.text


def test_runs_without_a_result_are_named_and_do_not_win(study, tmp_path):
    report = study(scores=[], findings=[])
    failed, diverged, missing = report.runs[0], report.runs[11], report.runs[5]
    failed.update(state="failed", result={}, error="out of memory at step 3")
    diverged["result"] = {"held_out_loss": math.nan}
    report.curves[diverged["id"]] = [(1, 1024, 6.0), (2, 2048, math.nan), (3, 3072, math.inf)]
    for key in set(missing) - {"id"}:
        del missing[key]
    missing["state"] = "missing"
    page = Page(write(report, tmp_path / "report"))
    warned = page.text[page.text.index("Before you trust it") : page.text.index("Key figures")]
    assert "3 of 12 runs" in warned
    for run in (failed, diverged, missing):
        assert run["id"] in warned
    assert "out of memory at step 3" in page.text
    assert "2.938 ± 0.009" in page.text[page.text.index("Key figures") :][:200], "the best of those that have a result"
    assert not re.search(r"\bnan\b|\bNone\b", page.text)


def test_runs_made_under_different_conditions_are_flagged(study, tmp_path):
    report = study(scores=[], findings=[], curves={})
    assert "Before you trust it" not in Page(write(report, tmp_path / "report")).text
    report.runs[3]["fingerprint"] = {**report.runs[3]["fingerprint"], "threads": 2}
    report.runs[4]["code"] = {**report.runs[4]["code"], "digest": "another", "digests": {"harness": "other"}}
    page = Page(write(report, tmp_path / "report"))
    warned = page.text[page.text.index("Before you trust it") : page.text.index("Key figures")]
    assert "do not share one numerics fingerprint: they differ in threads; below stands which." in warned
    assert "do not share one code: they differ in harness; below stands which." in warned
    numerics = page.text[page.text.index("under 2 numerics fingerprints") :]
    assert re.search(rf"threads\s*2\s*1\s*{report.runs[3]['id']}", numerics), "the value, how many runs, and which"
    assert "Numerics fingerprint 2 of 2" in numerics


def test_what_only_some_runs_use_is_no_difference_of_code_or_numerics(study, tmp_path):
    """Runs of one study choose different plugins, and a quantized one adds what it quantizes with."""
    report = study(scores=[], findings=[], curves={})
    code, fingerprint = report.runs[4]["code"], report.runs[4]["fingerprint"]
    report.runs[4]["code"] = {**code, "digest": "another", "digests": {**code["digests"], "one.plugin": "17"}}
    report.runs[4]["fingerprint"] = {**fingerprint, "torchao": "1.0"}
    assert "do not share one" not in Page(write(report, tmp_path / "report")).text


def test_a_run_that_went_on_under_another_fingerprint_is_flagged_though_it_is_alone(study, tmp_path):
    one = study().runs[:1]
    one[0]["fingerprint"] = {**one[0]["fingerprint"], "threads": "1, then 4"}
    page = Page(write(study(runs=one, scores=[], findings=[], curves={}), tmp_path / "report"))
    assert "they differ in threads" in page.text
    assert "which changed on the way" in page.text


def test_runs_of_one_fingerprint_are_said_to_be(whole):
    assert "All runs share one numerics fingerprint" in whole[2].text


def test_a_drawing_that_fails_costs_only_itself(study, tmp_path, caplog):
    def fails():
        raise ZeroDivisionError("no points")

    finding = replace(study().findings[0], drawings=[Drawing("Broken", "…", fails)])
    page = Page(write(study(scores=[], findings=[finding]), tmp_path / "report"))
    assert "This figure cannot be drawn: ZeroDivisionError: no points" in page.text
    assert "Loss over tokens" in page.text
    assert "Broken" in caplog.text


def told_in(run, method, unit):
    run["config"] = {**run["config"], "method": {"name": method}}
    run["model"] = {**run["model"], "loss_in": unit}


def test_losses_stand_with_what_they_are_told_in(study, tmp_path):
    report = study(findings=[], scores=[])
    for run in report.runs:
        told_in(run, "sft", "nats per answer token")
    path = write(report, tmp_path / "report")
    page = Page(path)
    assert page.text.count("nats per answer token") > len(report.runs), "each run's, the best one's and the axes'"
    assert "nats per token" not in page.text[page.text.index("Key figures") : page.text.index("Conventions")]
    for name in ("loss-over-tokens", "loss-against-compute-by-size"):
        assert "(nats per answer token)" in (path.parent / "figures" / f"{name}.svg").read_text()


def test_what_was_varied_and_which_suite_asked_stand_beside_runs_and_scores(study, tmp_path):
    report = study()
    report.varied = {run["id"]: f"alibi seed={i}" for i, run in enumerate(report.runs)}
    page = write(report, tmp_path).read_text()
    runs, scores = page[page.index('id="runs"') :].split("<details>")[:2]
    assert all(f"<td>alibi seed={i}</td>" in runs for i in range(len(report.runs)))
    assert "<th>varied</th>" in scores
    assert scores.count("<td>offline</td>") == len(report.scores)


def test_unlike_losses_are_neither_drawn_together_nor_ranked(study, tmp_path):
    report = study(findings=[])
    for run in report.runs[:6]:
        told_in(run, "dpo", "nats per pair")
    page = Page(write(report, tmp_path / "report"))
    warned = page.text[page.text.index("Before you trust it") : page.text.index("Key figures")]
    assert "The losses are of 2 kinds" in warned
    assert "dpo (nats per pair)" in warned
    assert "clm (nats per token)" in warned
    assert "Loss over tokens" not in page.text
    assert re.search(r"best held-out loss\s*–", page.text)
    assert "Capabilities" in page.text, "scores are of the same samples whatever the loss is of"


@pytest.mark.parametrize(
    ("identity", "said"),
    [
        ({"data": "in subwords"}, "the corpus, what is held out of it, or the tokenizer is another one"),
        ({"config": {"method": {"name": "clm", "z": 1}}}, r"clm has other options in \w+ \(z=1\) than in \w+ \(none\)"),
    ],
)
def test_losses_of_other_data_or_options_are_neither_drawn_together_nor_ranked(study, tmp_path, identity, said):
    report = study(findings=[], scores=[])
    for run in report.runs[:6]:
        told_in(run, "clm", "nats per token")
        run["identity"] = identity
    page = Page(write(report, tmp_path / "report"))
    assert re.search(rf"The losses are of 2 kinds, clm \(nats per token\): {said}", page.text)
    assert "Loss over tokens" not in page.text
    assert re.search(r"best held-out loss\s*–", page.text)


def test_n_is_what_one_token_uses_so_that_6nd_holds(study, tmp_path):
    report = study(findings=[], scores=[])
    for run in report.runs:  # as if 3 of 4 parameters outside the table were of experts that a token is not given to
        table, size = run["model"]["parameters"] - run["model"]["non_embedding"], run["model"]["non_embedding"]
        run["model"] = {"parameters": table + 4 * size, "non_embedding": 4 * size, "active": table + size}
    for row in rungs(report):
        assert row["flops_6nd"] == 6 * row["active_non_embedding"] * row["tokens"]
        assert row["D_per_N"] == row["tokens"] / row["active_non_embedding"]
    page = Page(write(report, tmp_path / "report"))
    assert re.search(r"N = 195 k, D = 2 M", page.text), "the best run's"
    assert "of experts those that one token uses" in page.text
