"""What each record changes in the journal's other tables, in the same transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, Final

from ...protocol.packed import EventKind
from ..core import records as r
from ..core.facts import EventMark
from . import journal_schema as schema

PAGE_BYTES: Final = 4_096
PAGES_OF_COMMIT: Final = 4
PAGES_OF_RECORD: Final = 2  # in its own table, in those that follow from it, and in their indexes

FINAL: Final = (EventKind.COMPLETED, EventKind.TERMINATED)

Row = tuple[Any, ...]


class Rows:
    """The rows of one transaction; kinds that come in numbers are inserted together."""

    def __init__(
        self,
        sql: sqlite3.Connection,
        newest: Callable[[str], EventMark | None] = lambda cell: None,
    ) -> None:
        """`newest` knows the last event of a cell, this transaction's included; or it does not."""
        self._sql = sql
        self.newest = newest
        self.records: list[Row] = []
        self.contents: list[Row] = []
        self.written = PAGES_OF_COMMIT  # pages that go into the log, as far as can be guessed

    def flush(self) -> None:
        """Insert what was collected."""
        self.written += PAGES_OF_RECORD * len(self.records)
        large = sum(len(row[3]) for rows in (self.records, self.contents) for row in rows)
        self.written += large // PAGE_BYTES
        if self.records:
            self._sql.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?)", self.records)
        if self.contents:
            self._sql.executemany(
                "INSERT OR REPLACE INTO contents VALUES (?, ?, ?, ?)", self.contents
            )
        self.records, self.contents = [], []

    def project(self, record: r.Record, number: int, at_ns: int, scope: str) -> None:
        """Bring the other tables up to this record."""
        project = _PROJECT.get(type(record))
        if project is not None:
            project(self, record, number, at_ns, scope)

    def do(self, statement: str, *values: Any, **named: Any) -> None:
        """One statement, with values for its `?` or its `:name`s, but not for both."""
        self._sql.execute(statement, named or values)


def _created(rows: Rows, record: r.CellCreated, number: int, at_ns: int, scope: str) -> None:
    rows.do(
        "INSERT INTO cells VALUES (?, ?, ?, ?, '', 0, ?, ?, ?, 0)",
        record.cell,
        record.session,
        record.name,
        record.kind.value,
        record.created_us,
        at_ns,
        record.stored_version,
    )
    if record.key:
        rows.do(
            "INSERT INTO keys VALUES (?, ?, ?, ?, NULL)",
            record.session,
            record.key,
            record.cell,
            record.ask_digest,
        )


def _said(rows: Rows, record: r.WorkerSaid, number: int, at_ns: int, scope: str) -> None:
    made = sum(type(step) is r.NoticeMade for step in record.steps)
    if made:
        rows.do(
            "INSERT INTO notices VALUES (:cell, :made, 0) "
            "ON CONFLICT (cell) DO UPDATE SET made = made + :made",
            cell=scope,
            made=made,
        )


def _noticed(rows: Rows, record: r.NoticesDelivered, number: int, at_ns: int, scope: str) -> None:
    rows.do("UPDATE notices SET delivered = ? WHERE cell = ?", record.upto, scope)


def _event(rows: Rows, cell: str, event: EventMark, number: int) -> None:
    # Session streams have frontiers and ends only; a yield is its own cell's affair.
    yielded = event.kind is EventKind.YIELDED
    owner = "''" if yielded else "(SELECT session FROM cells WHERE id = :cell)"
    rows.do(
        f"INSERT INTO events VALUES (:cell, :event, :record, {owner}, :mark)",
        cell=cell,
        event=event.number,
        record=number,
        mark=schema.pack_mark(event),
    )


def _frontier(rows: Rows, record: r.FrontierReached, number: int, at_ns: int, scope: str) -> None:
    _event(rows, scope, record.event, number)
    generation = record.event.generation
    rows.do("UPDATE cells SET generation = ?, since_ns = ? WHERE id = ?", generation, at_ns, scope)


def _yielded(rows: Rows, record: r.YieldMade, number: int, at_ns: int, scope: str) -> None:
    _event(rows, scope, record.event, number)


def _seen(rows: Rows, record: r.EventAcknowledged, number: int, at_ns: int, scope: str) -> None:
    newest = rows.newest(scope)
    if newest is not None and newest.kind not in FINAL:
        return  # as nearly always: the cell has not ended
    rows.do(
        "UPDATE cells SET seen = 1 WHERE id = :cell AND state <> '' "
        "AND :event = (SELECT max(number) FROM events WHERE cell = :cell)",
        cell=scope,
        event=record.number,
    )


def _completed(rows: Rows, record: r.CellCompleted, number: int, at_ns: int, scope: str) -> None:
    _event(rows, scope, record.event, number)
    _end(rows, scope, "completed", at_ns, record.published)


def _terminated(rows: Rows, record: r.CellTerminated, number: int, at_ns: int, scope: str) -> None:
    _event(rows, scope, record.event, number)
    _end(rows, scope, "terminated", at_ns, 0)


def _end(rows: Rows, cell: str, state: str, at_ns: int, published: int) -> None:
    rows.do(
        "UPDATE cells SET state = ?, since_ns = ? WHERE id = ?",
        state,
        at_ns,
        cell,
    )
    if not published:
        rows.contents = [row for row in rows.contents if row[:2] != (cell, r.WRITE)]
        rows.do("DELETE FROM contents WHERE cell = ? AND kind = ?", cell, r.WRITE)


def _stored(rows: Rows, record: r.StoredChanged, number: int, at_ns: int, scope: str) -> None:
    rows.flush()
    if record.cell:
        written = _writes_of(rows, record.cell)
        rows.do("DELETE FROM contents WHERE cell = ? AND kind = ?", record.cell, r.WRITE)
    else:
        key, size = record.sizes[0]
        written = {key: None if size is None else record.content}
    for key, content in written.items():
        rows.do(
            "INSERT OR REPLACE INTO stored VALUES (?, ?, ?, ?)",
            record.session,
            key,
            record.version,
            content,
        )
        rows.written += len(content or b"") // PAGE_BYTES
        _drop_old(rows, record.session, key, record.version)


def _writes_of(rows: Rows, cell: str) -> dict[str, bytes | None]:
    query = "SELECT body FROM contents WHERE cell = ? AND kind = ? ORDER BY number"
    found = rows._sql.execute(query, (cell, r.WRITE)).fetchall()
    return dict(schema.unpack_write(body) for (body,) in found)


def _drop_old(rows: Rows, session: str, key: str, version: int) -> None:
    """Versions of this key that no unfinished cell can read any more, and no later one."""
    rows.do(
        "DELETE FROM stored AS old WHERE session = :session AND key = :key AND version < :version "
        "AND NOT EXISTS (SELECT 1 FROM cells WHERE session = :session AND state = '' "
        "AND stored_version >= old.version AND stored_version < "
        "(SELECT min(version) FROM stored AS next WHERE next.session = :session "
        "AND next.key = :key AND next.version > old.version))",
        session=session,
        key=key,
        version=version,
    )
    rows.do(  # a deletion is remembered for those who could still read what was there before
        "DELETE FROM stored WHERE session = :session AND key = :key AND version = :version "
        "AND content IS NULL AND NOT EXISTS (SELECT 1 FROM stored "
        "WHERE session = :session AND key = :key AND version < :version)",
        session=session,
        key=key,
        version=version,
    )


def _attached(rows: Rows, record: r.AttachmentOpened, number: int, at_ns: int, scope: str) -> None:
    rows.do("INSERT INTO attachments VALUES (?, ?)", record.attachment, number)


_PROJECT: dict[type, Callable[[Rows, Any, int, int, str], None]] = {
    r.CellCreated: _created,
    r.WorkerSaid: _said,
    r.NoticesDelivered: _noticed,
    r.FrontierReached: _frontier,
    r.YieldMade: _yielded,
    r.EventAcknowledged: _seen,
    r.CellCompleted: _completed,
    r.CellTerminated: _terminated,
    r.StoredChanged: _stored,
    r.AttachmentOpened: _attached,
}
