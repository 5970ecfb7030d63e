"""Rows for people and for programs."""

from __future__ import annotations

import csv
import io
import json
import math

import pytest

from harness.results.show import LONGEST_TABLE, render

ROWS = [{"id": "aa", "N": 6912, "loss": 3.5814}, {"id": "bb", "N": None, "loss": math.nan}]


def test_json_is_json_for_every_reader():
    assert json.loads(render(ROWS, "json"), parse_constant=pytest.fail) == [
        ROWS[0],
        {"id": "bb", "N": None, "loss": None},
    ]


def test_csv_reads_back():
    back = list(csv.DictReader(io.StringIO(render(ROWS, "csv"))))
    assert [row["id"] for row in back] == ["aa", "bb"]
    assert float(back[0]["loss"]) == 3.5814
    assert back[1]["N"] == ""


def test_a_table_shows_every_row_and_column_uncut_in_a_pipe():
    rows = [{"id": "f" * 40, "question": "why? " * 60}]
    shown = render(rows, "table")
    assert "f" * 40 in shown
    assert "why? " * 59 in shown


def test_markup_in_a_name_is_text():
    assert "[red]x[/red]" in render([{"name": "[red]x[/red]"}], "table")


def test_a_very_long_table_says_what_it_leaves_out():
    shown = render([{"i": i} for i in range(LONGEST_TABLE + 7)], "table")
    assert "7 more rows" in shown
    assert len(render([{"i": i} for i in range(LONGEST_TABLE + 7)], "csv").splitlines()) == LONGEST_TABLE + 8


@pytest.mark.parametrize("format", ["table", "csv", "json"])
def test_no_rows_are_no_error(format):
    assert isinstance(render([], format), str)
