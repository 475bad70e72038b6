"""Verifies a journal: SQLite's own check, every chain of digests, and every table beside it.

What it cannot notice: records that were cut off at the end together with what they changed, and
whole cells that were removed. A journal that was put back to an earlier state is sound in itself.
Those who were told more notice it (workers and hosts remember the highest number they were told);
so does whoever has noted the last record's number, which the report names.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from ..core import records as r
from .check_cell import check_cell
from .check_report import Progress, Report, place_of
from .check_scope import chained
from .check_stored import StoredCheck
from .snapshot import Snapshot

_SQLITE_FINDINGS_MAX: Final = 20
_LOOK: Final = 1_000_000  # steps of SQLite's machine between two signs of life
# What a value of the wrong type leads to: SQLite lets anything stand in any column.
_STRANGE: Final = (TypeError, ValueError, AttributeError, LookupError)
_CELLS_OF: Final = ("contents", "events", "notices")


def check(snapshot: Snapshot, progress: Progress) -> Report:
    """Read all of it; findings are in the report, and nothing is changed."""
    report = Report()
    sql = snapshot.sql
    _check_file(sql, report, progress)
    try:
        _check_scopes(sql, report, progress)
        _check_leftovers(sql, report)
    except sqlite3.DatabaseError as error:
        report.add("the file", 0, f"SQLite cannot read on ({error})")
    except _STRANGE as error:
        what = f"{type(error).__name__}: {error}"
        report.add("the file", 0, f"a table has a name that is none ({what})")
    return report


def _place(scope: object) -> str:
    return place_of(scope if isinstance(scope, str) else repr(scope))


def _check_file(sql: sqlite3.Connection, report: Report, progress: Progress) -> None:
    def alive() -> int:
        progress("SQLite's own check", 0, 0)
        return 0

    sql.set_progress_handler(alive, _LOOK)
    try:
        rows = sql.execute(f"PRAGMA integrity_check({_SQLITE_FINDINGS_MAX})").fetchall()
    except sqlite3.DatabaseError as error:
        rows = [(str(error),)]
    finally:
        sql.set_progress_handler(None, 0)
    for (text,) in rows:
        if text != "ok":
            report.add("the file", 0, f"SQLite's own check says: {text}")


def _distinct(sql: sqlite3.Connection, table: str, column: str) -> list[str]:
    """The different values of an indexed column, without reading every row."""
    query = (
        f"WITH RECURSIVE each(x) AS (SELECT min({column}) FROM {table} UNION ALL "
        f"SELECT (SELECT min({column}) FROM {table} WHERE {column} > x) FROM each "
        "WHERE x IS NOT NULL) SELECT x FROM each WHERE x IS NOT NULL"
    )
    return [name for (name,) in sql.execute(query)]


def _check_scopes(sql: sqlite3.Connection, report: Report, progress: Progress) -> None:
    total, report.last, first = sql.execute(
        "SELECT count(*), coalesce(max(n), 0), coalesce(min(n), 1) FROM records"
    ).fetchone()
    if first < 1:
        report.add("the file", first, "records are numbered from 1")
    scopes = _distinct(sql, "records", "scope")
    for scope in scopes:
        progress("records", report.records, total)
        try:
            if not scope or scope.startswith("session:"):
                _check_session(sql, scope, report)
            else:
                check_cell(sql, scope, report)
        except _STRANGE as error:
            what = f"{type(error).__name__}: {error}"
            report.add(
                _place(scope), 0, f"it has a value that nothing can be compared with ({what})"
            )
    report.compare("the file", 0, "the number of records by their scopes", total, report.records)
    progress("records", report.records, total)


# -- sessions -------------------------------------------------------------------------------------


def _check_session(sql: sqlite3.Connection, scope: str, report: Report) -> None:
    place = place_of(scope)
    values = StoredCheck(scope.removeprefix("session:"), report)
    for stored, _ in chained(sql, scope, report):
        record = stored.record
        if isinstance(record, r.StoredChanged):
            values.take(stored.number, record)
        elif isinstance(record, r.AttachmentOpened):
            query = "SELECT n FROM attachments WHERE number = ?"
            row = sql.execute(query, (record.attachment,)).fetchone()
            problem = f"the record of attachment {record.attachment}, in the table of attachments"
            report.compare(place, stored.number, problem, (stored.number,), row)
        elif not isinstance(record, r.SessionOpened | r.AttachmentEnded):
            report.add(place, stored.number, f"{type(record).__name__} belongs to a cell")
    if scope:
        values.finish(sql)


# -- what belongs to nothing ----------------------------------------------------------------------


def _check_leftovers(sql: sqlite3.Connection, report: Report) -> None:
    without = sql.execute(
        "SELECT id FROM cells WHERE NOT EXISTS (SELECT 1 FROM records WHERE scope = id)"
    )
    for (cell,) in without:
        report.add(place_of(cell), 0, "it is in the table of cells, and has no records")
    for table in _CELLS_OF:
        for cell in _distinct(sql, table, "cell"):
            if sql.execute("SELECT 1 FROM cells WHERE id = ?", (cell,)).fetchone() is None:
                problem = f"table {table} has rows of a cell that is not in the table of cells"
                report.add(place_of(cell), 0, problem)
    strays = sql.execute(
        "SELECT DISTINCT session FROM stored "
        "WHERE NOT EXISTS (SELECT 1 FROM records WHERE scope = 'session:' || session)"
    )
    for (session,) in strays:
        report.add(_place(f"session:{session}"), 0, "it has stored values, and no records")
    strays = sql.execute(
        "SELECT number FROM attachments AS a WHERE NOT EXISTS (SELECT 1 FROM records WHERE n = a.n)"
    )
    for (number,) in strays:
        report.add("hosts", 0, f"attachment {number} is in its table, and no record has opened it")
    orphans = sql.execute(
        "SELECT session, key, cell FROM keys WHERE gone_ns IS NULL "
        "AND NOT EXISTS (SELECT 1 FROM cells WHERE id = cell)"
    )
    for session, key, cell in orphans:
        problem = f"idempotency key {key!r} is of cell {cell}, which is not there"
        report.add(place_of(f"session:{session}"), 0, problem)
