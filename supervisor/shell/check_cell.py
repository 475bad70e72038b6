"""One cell of a journal: its records, the facts that follow from them, and the other tables."""

from __future__ import annotations

import sqlite3
from typing import Final

from ...protocol import values
from ...protocol.classes import dataclass, field
from ...protocol.packed import EventKind
from ..core import records as r
from ..core.apply import IMPOSSIBLE, apply, created
from ..core.facts import Cell, EventMark
from . import journal_schema as schema
from .check_contents import ContentsCheck
from .check_report import Report, place_of
from .check_scope import chained
from .kept_output import acknowledged

_COLUMNS: Final = (
    *("session", "name", "kind", "state", "generation", "created_us", "since_ns"),
    *("stored_version", "seen"),
)
_EVENTS: Final = (r.FrontierReached, r.YieldMade, r.CellCompleted, r.CellTerminated)
_OF_SESSIONS: Final = (r.SessionOpened, r.AttachmentOpened, r.AttachmentEnded, r.StoredChanged)


@dataclass(slots=True)
class _Seen:
    """What the records of a cell amount to."""

    first: r.CellCreated | None = None
    cell: Cell | None = None
    since_ns: int = 0
    published: int = 0
    delivered: int = 0
    acknowledged: int = 0
    events: dict[int, tuple[int, EventMark]] = field(default_factory=dict)


def check_cell(sql: sqlite3.Connection, name: str, report: Report) -> None:
    """Everything that the journal has of this cell."""
    place = place_of(name)
    seen = _Seen()
    contents = ContentsCheck(sql, name, place, report)
    report.cells += 1
    broken = False
    for stored, rest in chained(sql, name, report):
        record = stored.record
        contents.take(stored.number, record, rest)
        if broken:
            continue
        try:
            _take(seen, stored.number, stored.at_ns, record)
        except IMPOSSIBLE as error:
            broken = True  # nothing after it has a meaning
            reason = f"{type(error).__name__}: {error}"
            problem = f"{type(record).__name__} cannot follow the records before it ({reason})"
            report.add(place, stored.number, problem)
    kept_from = contents.finish(None if seen.cell is None else seen.cell.phase)
    if seen.cell is None or seen.first is None:
        report.add(place, 0, "no record creates this cell")
    elif not broken:
        _compare_row(sql, seen.first, seen, report)
        _compare_events(sql, name, seen, kept_from, report)
        _compare_notices(sql, seen.cell, seen, report)
        _compare_published(sql, seen.cell, seen, contents.mentions.writes_by_key, report)


def _take(seen: _Seen, number: int, at_ns: int, record: r.Record) -> None:
    if isinstance(record, _OF_SESSIONS):
        raise ValueError("it belongs to a session")
    if isinstance(record, r.CellCreated):
        if seen.cell is not None:
            raise ValueError("the cell was created before")
        seen.first, seen.cell, seen.since_ns = record, created(record, at_ns), at_ns
        return
    if seen.cell is None:
        raise ValueError("the cell was not created yet")
    seen.cell = apply(seen.cell, record, at_ns)
    known = seen.events.get(acknowledged(record))
    if known is not None:
        seen.acknowledged = max(seen.acknowledged, known[1].stop)
    if isinstance(record, _EVENTS):
        seen.events[record.event.number] = (number, record.event)
        if not isinstance(record, r.YieldMade):
            seen.since_ns = at_ns
    if isinstance(record, r.NoticesDelivered):
        seen.delivered = record.upto
    elif isinstance(record, r.CellCompleted):
        seen.published = record.published


def _compare_row(
    sql: sqlite3.Connection, first: r.CellCreated, seen: _Seen, report: Report
) -> None:
    cell = seen.cell
    assert cell is not None
    place = place_of(cell.id)
    query = f"SELECT {', '.join(_COLUMNS)} FROM cells WHERE id = ?"
    row = sql.execute(query, (cell.id,)).fetchone()
    if row is None:
        report.add(place, 0, "it is not in the table of cells")
        return
    state = ""
    if cell.final is not None:
        state = "terminated" if cell.final.kind is EventKind.TERMINATED else "completed"
    expected = (
        *(cell.session, cell.name, cell.kind.value, state, cell.generation, cell.created_us),
        *(seen.since_ns, cell.stored_version, int(cell.final_seen)),
    )
    for column, wanted, found in zip(_COLUMNS, expected, row, strict=True):
        report.compare(place, 0, f"{column} in the table of cells", repr(wanted), repr(found))
    if first.key:
        query = "SELECT cell, digest FROM keys WHERE session = ? AND key = ?"
        owner, digest = sql.execute(query, (cell.session, first.key)).fetchone() or (None, None)
        problem = f"the cell that idempotency key {first.key!r} has made"
        report.compare(place, 0, problem, cell.id, owner)
        if owner == cell.id:
            problem = f"the request's digest of idempotency key {first.key!r}"
            report.compare(place, 0, problem, first.ask_digest, digest)


def _compare_events(
    sql: sqlite3.Connection, cell: str, seen: _Seen, kept_from: int, report: Report
) -> None:
    place = place_of(cell)
    if kept_from > seen.acknowledged:
        problem = "output that nobody has acknowledged was removed: the first item that is kept"
        report.add(place, 0, problem, f"at most {seen.acknowledged}", kept_from)
    last = max(seen.events, default=0)
    if last and kept_from > seen.events[last][1].start:
        number, mark = seen.events[last]
        problem = f"output of event {last}, the last one, was removed: the first item that is kept"
        report.add(place, number, problem, f"at most {mark.start}", kept_from)
    rows = sql.execute("SELECT number, n, session, mark FROM events WHERE cell = ?", (cell,))
    found = {number: (n, session, mark) for number, n, session, mark in rows}
    assert seen.cell is not None
    for number, (n, mark) in seen.events.items():
        row = found.pop(number, None)
        if mark.start < kept_from and number != last:
            if row is not None:
                report.add(place, n, f"event {number} is listed, and its output was removed")
            continue
        owner = "" if mark.kind is EventKind.YIELDED else seen.cell.session
        if row is None:
            report.add(place, n, f"event {number} is not in the table of events")
        elif row != (n, owner, schema.pack_mark(mark)):
            report.add(place, n, f"event {number} in the table of events is not that of its record")
    for number, (n, _, _) in found.items():
        report.add(place, n, f"event {number} is in the table of events, and no record made it")


def _compare_notices(sql: sqlite3.Connection, cell: Cell, seen: _Seen, report: Report) -> None:
    row = sql.execute("SELECT made, delivered FROM notices WHERE cell = ?", (cell.id,)).fetchone()
    made = cell.notices_made
    expected = (made, seen.delivered) if made else None
    problem = "notifications made and delivered, in their table"
    report.compare(place_of(cell.id), 0, problem, expected, row)


def _compare_published(
    sql: sqlite3.Connection, cell: Cell, seen: _Seen, writes: dict[str, bytes], report: Report
) -> None:
    """Stored values that are still those which this cell has written."""
    if not seen.published:
        return
    for key, digest in writes.items():
        row = sql.execute(
            "SELECT content FROM stored WHERE session = ? AND key = ? AND version = ?",
            (cell.session, key, seen.published),
        ).fetchone()
        if row is not None and values.digest(row[0] or b"") != digest:
            problem = f"stored value {key!r} is not what the cell has written"
            report.add(place_of(cell.id), 0, problem)
