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
from . import journal_schema as schema
from .check_cell import check_cell
from .check_report import Progress, Report, place_of
from .check_scope import chained
from .snapshot import Snapshot

_SQLITE_FINDINGS_MAX: Final = 20
_LOOK: Final = 1_000_000  # steps of SQLite's machine between two signs of life
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
    return report


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
        if not scope or scope.startswith("session:"):
            _check_session(sql, scope, report)
        else:
            check_cell(sql, scope, report)
    report.compare("the file", 0, "the number of records by their scopes", total, report.records)
    progress("records", report.records, total)


# -- sessions -------------------------------------------------------------------------------------


def _check_session(sql: sqlite3.Connection, scope: str, report: Report) -> None:
    place = place_of(scope)
    version = 0
    values: dict[str, tuple[int, int | None, bytes | None]] = {}
    for stored, _ in chained(sql, scope, report):
        record = stored.record
        if isinstance(record, r.StoredChanged):
            problem = "the version of the stored values"
            report.compare(place, stored.number, problem, version + 1, record.version)
            version = record.version
            content = None if record.cell else schema.digest(record.content)
            for key, size in record.sizes:
                values[key] = (version, size, content)
        elif isinstance(record, r.AttachmentOpened):
            query = "SELECT n FROM attachments WHERE number = ?"
            row = sql.execute(query, (record.attachment,)).fetchone()
            problem = f"the record of attachment {record.attachment}, in the table of attachments"
            report.compare(place, stored.number, problem, (stored.number,), row)
        elif not isinstance(record, r.SessionOpened | r.AttachmentEnded):
            report.add(place, stored.number, f"{type(record).__name__} belongs to a cell")
    if values:
        _compare_stored(sql, scope.removeprefix("session:"), values, report)


def _compare_stored(
    sql: sqlite3.Connection,
    session: str,
    values: dict[str, tuple[int, int | None, bytes | None]],
    report: Report,
) -> None:
    place = place_of(f"session:{session}")
    query = (
        "SELECT version, content FROM stored WHERE session = ? AND key = ? "
        "ORDER BY version DESC LIMIT 1"
    )
    for key, (version, size, digest) in values.items():
        newest, content = sql.execute(query, (session, key)).fetchone() or (None, None)
        report.compare(place, 0, f"the newest version of stored value {key!r}", version, newest)
        if newest != version:
            continue
        found = None if content is None else len(key.encode()) + len(content)
        report.compare(place, 0, f"the size of stored value {key!r}", size, found)
        if digest is not None and found == size and schema.digest(content or b"") != digest:
            report.add(place, 0, f"stored value {key!r} is not that of its record")
    for key in _keys_of(sql, session):
        if key not in values:
            report.add(place, 0, f"stored value {key!r} is there, and no record has written it")


def _keys_of(sql: sqlite3.Connection, session: str) -> list[str]:
    rows = sql.execute("SELECT DISTINCT key FROM stored WHERE session = ?", (session,))
    return [key for (key,) in rows]


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
    orphans = sql.execute(
        "SELECT session, key, cell FROM keys WHERE gone_ns IS NULL "
        "AND NOT EXISTS (SELECT 1 FROM cells WHERE id = cell)"
    )
    for session, key, cell in orphans:
        problem = f"idempotency key {key!r} is of cell {cell}, which is not there"
        report.add(place_of(f"session:{session}"), 0, problem)
