"""One table of all runs, and SQL over it: no server and no shared database, only the run directories."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.results.columns import MEASURES, OPTIONS, RUNS, SCORES, Column, Row
from harness.results.rows import measure_rows, option_rows, run_columns, run_manifests, run_rows, score_rows
from harness.results.varied import told_apart

#: What `harness results` shows of the runs on a terminal when no SQL is given: what was asked for, and what came of it.
ASKED = ("architecture", "method", "adapter", "quantizer", "width", "layers", "tokens", "seed")
CAME = ("non_embedding", "flops_6nd", "held_out_loss", "held_out_stderr", "loss_in")
#: Of --csv and --json.
EVERYTHING = "SELECT * FROM runs ORDER BY created, id"

TABLES = {
    "runs": (RUNS, run_rows),
    "scores": (SCORES, score_rows),
    "measures": (MEASURES, measure_rows),
    "options": (OPTIONS, option_rows),
}


def tables_told() -> str:
    """The tables and their columns, for the help."""
    parts = []
    for name, (columns, _) in TABLES.items():
        widest = max(len(column.name) for column in columns)
        parts += [f"{name}:", *(f"  {column.name:<{widest}}  {column.meaning}" for column in columns), ""]
    return "\n".join(parts).rstrip()


def overview(runs: str | Path) -> list[Row]:
    """The runs as a terminal shows them, small to large, without the columns of which no run says anything. `varied`:
    in what else they differ."""
    manifests = list(run_manifests(runs))
    columns = [run_columns(manifest) for manifest in manifests]
    beside = [tuple(row[name] for name in ASKED) for row in columns]
    varied = told_apart([manifest["config"] for manifest in manifests], beside)
    rows = [
        {name: row[name] for name in ("id", "state", *ASKED)}
        | {"varied": what or None}
        | {name: row[name] for name in CAME}
        for row, what in zip(columns, varied, strict=True)
    ]
    rows.sort(key=lambda row: (row["flops_6nd"] is None, row["flops_6nd"], row["id"]))
    said = [name for name in (rows[0] if rows else ()) if any(row[name] is not None for row in rows)]
    return [{name: row[name] for name in said} for row in rows]


def query(runs: str | Path, sql: str) -> list[Row]:
    """The answer to a SQL query over the tables `runs`, `scores`, `measures` and `options` of a folder of runs.

    The query sees these tables and nothing else: neither files, nor extensions, nor this process.
    Raises UserError with DuckDB's own message.
    """
    if not sql.strip(" \n\t;"):
        raise UserError(_told("It is empty."))
    import duckdb

    # Only the tables that the query names are read; a name inside a string costs time, not truth.
    wanted = {name: table for name, table in TABLES.items() if name in sql.casefold()}
    with duckdb.connect(config={"enable_external_access": "false"}) as connection:
        connection.execute("SET python_enable_replacements = false")
        for name, (columns, rows) in wanted.items():
            _create(connection, name, columns, rows(runs))
        connection.execute("SET lock_configuration = true")
        try:
            connection.execute(sql)
            names = _distinct([column[0] for column in connection.description or ()])
            return [dict(zip(names, row, strict=True)) for row in connection.fetchall()]
        except duckdb.Error as error:
            raise UserError(_told(str(error))) from None


def _create(connection: Any, name: str, columns: tuple[Column, ...], rows: Iterable[Row]) -> None:
    """Whole columns at a time: DuckDB takes a millisecond for each row that is inserted on its own."""
    values = list(rows)
    select = ", ".join(f'unnest(${i}::{c.type}[]) AS "{c.name}"' for i, c in enumerate(columns, start=1))
    connection.execute(f"CREATE TABLE {name} AS SELECT {select}", [[row[c.name] for row in values] for c in columns])


def _told(message: str) -> str:
    """DuckDB's message in one paragraph, without its drawing of the place, and what there is to ask."""
    said = " ".join(message.partition("\nLINE ")[0].split())
    tables = "; ".join(f"{name} ({', '.join(c.name for c in columns)})" for name, (columns, _) in TABLES.items())
    stop = "" if said.endswith((".", "?", "!")) else "."
    return f"The query cannot be answered. {said}{stop} The tables are {tables}."


def _distinct(names: list[str]) -> list[str]:
    """Names of a result's columns, told apart where a query gives one twice."""
    return [name if name not in names[:i] else f"{name}_{names[:i].count(name)}" for i, name in enumerate(names)]
