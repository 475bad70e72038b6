"""Which acknowledged output the journal keeps.

What a host has acknowledged is wanted only by those who look back (`watch`), so of it the newest
1 MiB stays. Older items go in the transaction that acknowledges more, and with them the events that
can no longer be shown whole. Their records stay: history, the chain of digests and replay need no
contents of output. What is not acknowledged stays, and so do whole the event that was acknowledged
last, the last frontier and the final event, however large they are.

Arguments of calls are not removed: earlier frontiers and an export show them, and results, of which
there are as many, have to stay for replay.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final

from ...protocol.classes import dataclass
from ...protocol.packed import EventKind
from ..core import records as r
from ..core.facts import EventMark
from . import journal_schema as schema

KEPT_BYTES_MAX: Final = 1024 * 1024
_ROOM_BYTES: Final = 64 * 1024  # made at once, so that small items do not go one by one

_BYTES: Final = (
    "SELECT coalesce(sum(length(body)), 0) FROM contents "
    "WHERE cell = ? AND kind = ? AND number >= ? AND number < ?"
)
_SIZES: Final = (
    "SELECT number, length(body) FROM contents "
    "WHERE cell = ? AND kind = ? AND number >= ? AND number < ? ORDER BY number"
)


_MAKE_EVENTS: Final = (r.FrontierReached, r.YieldMade, r.CellCompleted, r.CellTerminated)


@dataclass(frozen=True, slots=True)
class Tail:
    """The acknowledged output of a cell that is still there: items `first` up to `stop`."""

    first: int
    stop: int
    bytes: int


def acknowledged(record: r.Record) -> int:
    """The number of the event that this record acknowledges, or 0."""
    if isinstance(record, r.EventAcknowledged):
        return record.number
    if isinstance(record, r.GenerationConsumed):
        return record.acknowledged
    return 0


def first_kept(sizes: Iterable[tuple[int, int]], first: int, total: int) -> tuple[int, int]:
    """Where the output begins that may stay, and how many bytes stay.

    Args:
        sizes: number and bytes of the items that may go, oldest first.
        first: the oldest item that is there.
        total: bytes of all acknowledged items that are there.
    """
    if total <= KEPT_BYTES_MAX:
        return first, total
    for number, size in sizes:
        if total <= KEPT_BYTES_MAX - _ROOM_BYTES:
            break
        first, total = number + 1, total - size
    return first, total


def floor_of(asked: EventMark, newest: list[EventMark]) -> int:
    """No item from here on may go: it belongs to an event that is still shown whole.

    Args:
        asked: the event that has been acknowledged. Whoever asked for it in the same moment is
            answered after the commit.
        newest: the cell's last event, and the one before it.
    """
    starts = [asked.start, *(mark.start for mark in newest[:1])]
    if len(newest) > 1 and newest[0].kind is not EventKind.PENDING:
        before = newest[1]
        if before.kind is EventKind.PENDING:  # the last frontier outlives the end of its cell
            starts.append(before.start)
    return min(starts)


def event_of(record: r.Record) -> EventMark | None:
    """The event that this record has made."""
    return record.event if isinstance(record, _MAKE_EVENTS) else None


def trim(
    sql: sqlite3.Connection, cell: str, number: int, tail: Tail | None, newest: EventMark | None
) -> Tail | None:
    """Remove what need not stay now that event `number` is acknowledged.

    `newest` is the cell's newest event before this transaction, if that is known; it is nearly
    always the one.

    Each item is measured once and deleted once; what is known of the cell is the returned `Tail`,
    which must not be used again when the transaction fails.
    """
    asked = newest
    if asked is None or asked.number != number:
        marks = _marks(sql, "cell = ? AND number = ?", cell, number)
        if not marks:
            return tail  # a repeat of an acknowledgement whose event is gone
        asked = marks[0]
    if tail is None:
        query = "SELECT min(number) FROM contents WHERE cell = ? AND kind = ?"
        first = sql.execute(query, (cell, r.OUTPUT)).fetchone()[0]
        first = asked.stop if first is None else first
        tail = Tail(first, first, 0)
    if asked.stop > tail.stop:
        new = sql.execute(_BYTES, (cell, r.OUTPUT, tail.stop, asked.stop)).fetchone()[0]
        tail = Tail(tail.first, asked.stop, tail.bytes + new)
    if tail.bytes <= KEPT_BYTES_MAX:
        return tail  # as nearly always
    last = _marks(sql, "cell = ? ORDER BY number DESC LIMIT 2", cell)
    floor = min(floor_of(asked, last), tail.stop)
    sizes = sql.execute(_SIZES, (cell, r.OUTPUT, tail.first, floor))
    first, kept = first_kept(sizes, tail.first, tail.bytes)
    sizes.close()
    if first > tail.first:
        _remove(sql, cell, first)
    return Tail(first, tail.stop, kept)


def _marks(sql: sqlite3.Connection, where: str, *values: object) -> list[EventMark]:
    rows = sql.execute(f"SELECT mark FROM events WHERE {where}", values)
    return [schema.unpack_mark(mark) for (mark,) in rows]


def _remove(sql: sqlite3.Connection, cell: str, first: int) -> None:
    """The output before `first`, and the events that had any of it."""
    sql.execute(
        "DELETE FROM contents WHERE cell = ? AND kind = ? AND number < ?", (cell, r.OUTPUT, first)
    )
    last = 0
    rows = sql.execute("SELECT number, mark FROM events WHERE cell = ? ORDER BY number", (cell,))
    for number, mark in rows:
        if schema.unpack_mark(mark).start >= first:
            break
        last = number
    rows.close()
    sql.execute("DELETE FROM events WHERE cell = ? AND number <= ?", (cell, last))
