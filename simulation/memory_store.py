"""The journal in memory: a `Disk` outlives supervisors, a `MemoryStore` is one life on it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..protocol.packed import EventKind, ToolSpec
from ..supervisor.core import records as r
from ..supervisor.core.facts import EventMark
from ..supervisor.shell import journal_schema as schema
from ..supervisor.shell import kept_output, retention
from ..supervisor.shell.ports import (
    CellSummary,
    Fenced,
    JournalBroken,
    JournalFull,
    StoredEvent,
    StoredRecord,
)

Numbered = list[tuple[int, r.Entry]]


@dataclass
class Disk:
    """What is on the disk.

    Attributes:
        full: commits are refused as on a full disk.
        broken: the next commit fails, and "kept" or "lost" says whether it was written.
        watchers: told of every commit, once it is on the disk.
    """

    journal_id: int = 7
    secret: bytes = b"s" * 32
    epoch: int = 0
    full: bool = False
    broken: str = ""
    watchers: list[Callable[[int, Numbered], None]] = field(default_factory=list)
    last: int = 0
    scopes: dict[str, list[StoredRecord]] = field(default_factory=dict)
    session_log: list[StoredRecord] = field(default_factory=list)
    contents: dict[tuple[str, str], dict[int, bytes]] = field(default_factory=dict)
    cells: dict[str, CellSummary] = field(default_factory=dict)
    events: dict[str, list[StoredEvent]] = field(default_factory=dict)
    session_events: dict[str, list[StoredEvent]] = field(default_factory=dict)
    keys: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)
    stored: dict[tuple[str, str], list[tuple[int, bytes | None]]] = field(default_factory=dict)
    tools: dict[int, tuple[ToolSpec, ...]] = field(default_factory=dict)
    notices_made: dict[str, int] = field(default_factory=dict)
    notices_had: dict[str, int] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    keys_gone: dict[tuple[str, str], int] = field(default_factory=dict)

    def open(self) -> MemoryStore:
        """A new life with a new epoch; earlier ones are fenced."""
        self.epoch += 1
        return MemoryStore(self)

    def remove(self, cell: str, now_ns: int) -> None:
        """Everything of a finished cell but its idempotency key, for a while."""
        session = self.cells.pop(cell).session
        for rows in (self.scopes, self.events, self.notices_made, self.notices_had):
            rows.pop(cell, None)
        for key in [key for key in self.contents if key[0] == cell]:
            del self.contents[key]
        events = self.session_events.get(session, [])
        self.session_events[session] = [each for each in events if each.cell != cell]
        for owned in [key for key, owner in self.keys.items() if owner[0] == cell]:
            self.keys_gone[owned] = now_ns
        for key, gone_ns in list(self.keys_gone.items()):
            if now_ns - gone_ns > retention.KEY_NS_MAX:
                del self.keys[key], self.keys_gone[key]

    def write(self, entries: Sequence[r.Entry], at_ns: int) -> Numbered:
        """Every entry, and what follows from it."""
        numbered = []
        for entry in entries:
            self.last += 1
            numbered.append((self.last, entry))
            stored = StoredRecord(self.last, at_ns, entry.record)
            self.scopes.setdefault(entry.scope, []).append(stored)
            for content in entry.contents:
                rows = self.contents.setdefault((content.cell, content.kind), {})
                rows[content.number] = content.body
            project = _PROJECT.get(type(entry.record))
            if project is not None:
                project(self, entry.record, stored, entry.scope)
        for entry in entries:
            number = kept_output.acknowledged(entry.record)
            if number:
                self.trim(entry.scope, number)
        return numbered

    def trim(self, cell: str, number: int) -> None:
        """Acknowledged output beyond the newest MiB goes, and events that had any of it."""
        events = self.events.get(cell, [])
        asked = next((each.event for each in events if each.event.number == number), None)
        rows = self.contents.get((cell, r.OUTPUT), {})
        if asked is None or not rows:
            return
        seen = [(n, len(rows[n])) for n in sorted(rows) if n < asked.stop]
        floor = kept_output.floor_of(asked, [each.event for each in events[:-3:-1]])
        total = sum(size for _, size in seen)
        may_go = [row for row in seen if row[0] < floor]
        first, _ = kept_output.first_kept(may_go, min(rows), total)
        if first == min(rows):
            return
        for gone in [n for n in rows if n < first]:
            del rows[gone]
        left = [each for each in events if each.event.start >= first]
        self.events[cell] = left
        session = self.cells[cell].session
        of_session = self.session_events.get(session, [])
        self.session_events[session] = [e for e in of_session if e.cell != cell or e in left]


class MemoryStore:
    """See `ports.Store`."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self._epoch = disk.epoch

    @property
    def epoch(self) -> int:
        return self._epoch

    @property
    def last_number(self) -> int:
        return self.disk.last

    def commit(self, entries: Sequence[r.Entry], at_ns: int) -> int:
        disk = self.disk
        if disk.epoch != self._epoch:
            raise Fenced("a newer supervisor has taken this journal")
        if disk.full:
            raise JournalFull("database or disk is full")
        broken, disk.broken = disk.broken, ""
        if broken == "lost":
            raise JournalBroken("disk I/O error")
        numbered = disk.write(entries, at_ns)
        for watcher in disk.watchers:
            watcher(self._epoch, numbered)
        if broken:
            raise JournalBroken("disk I/O error")
        return disk.last

    def retire(self, now_ns: int) -> list[str]:
        disk = self.disk
        finished = sorted((each.since_ns, name) for name, each in disk.cells.items() if each.state)
        gone = [
            name
            for since_ns, name in finished
            if now_ns - since_ns
            > (retention.SEEN_NS_MAX if name in disk.seen else retention.UNSEEN_NS_MAX)
        ]
        if not gone:
            seen = [name for _, name in finished if name in disk.seen]
            gone = seen[: max(0, len(seen) - retention.SEEN_CELLS_MAX)]
        gone = gone[: retention.BATCH]
        for name in gone:
            disk.remove(name, now_ns)
        return gone

    def close(self) -> None:
        """Nothing to let go of."""

    # -- reading ----------------------------------------------------------------------------------

    def session_records(self) -> Iterator[StoredRecord]:
        yield from self.disk.session_log

    def unfinished_cells(self) -> Iterator[str]:
        for name in sorted(self.disk.cells):
            made, had = self.disk.notices_made.get(name, 0), self.disk.notices_had.get(name, 0)
            if not self.disk.cells[name].state or made > had:
                yield name

    def cell_records(self, cell: str, after: int = 0, limit: int = -1) -> list[StoredRecord]:
        records = self.disk.scopes.get(cell, [])
        if not after and limit < 0:
            return list(records)
        found = [record for record in records if record.number > after]
        return found if limit < 0 else found[:limit]

    def created(self, cell: str) -> r.CellCreated:
        first = self.disk.scopes[cell][0].record
        assert isinstance(first, r.CellCreated)
        return first

    def tools(self, attachment: int) -> tuple[ToolSpec, ...]:
        return self.disk.tools.get(attachment, ())

    def contents(self, cell: str, kind: str, first: int, stop: int) -> list[bytes]:
        rows = self.disk.contents.get((cell, kind), {})
        return [rows[number] for number in range(first, stop) if number in rows]

    def key_owner(self, session: str, key: str) -> tuple[str, bytes] | None:
        return self.disk.keys.get((session, key))

    def cell_events(self, cell: str, after: int, limit: int) -> list[StoredEvent]:
        found = self.disk.events.get(cell, [])
        return [event for event in found if event.event.number > after][:limit]

    def session_events(self, session: str, after: int, limit: int) -> list[StoredEvent]:
        found = self.disk.session_events.get(session, [])
        return [event for event in found if event.record > after][:limit]

    def cells(self, session: str, state: str, limit: int, before: str) -> list[CellSummary]:
        wanted = "" if state == "unfinished" else state
        found = [
            self.disk.cells[name]
            for name in sorted(self.disk.cells, reverse=True)
            if not before or name < before
        ]
        kept = [
            each
            for each in found
            if session in ("", each.session) and (not state or each.state == wanted)
        ]
        return kept[:limit]

    def stored(self, session: str, key: str, version: int) -> bytes | None:
        versions = self.disk.stored.get((session, key), [])
        place = bisect_right(versions, version, key=lambda row: row[0])
        return versions[place - 1][1] if place else None

    def stored_keys(self, session: str, version: int) -> list[str]:
        keys = [key for owner, key in self.disk.stored if owner == session]
        return sorted(key for key in keys if self.stored(session, key, version) is not None)


# -- what each record changes beside the log ------------------------------------------------------


def _created(disk: Disk, record: r.CellCreated, stored: StoredRecord, scope: str) -> None:
    disk.cells[record.cell] = CellSummary(
        cell=record.cell,
        session=record.session,
        name=record.name,
        kind=record.kind.value,
        state="",
        generation=0,
        created_us=record.created_us,
        since_ns=stored.at_ns,
    )
    if record.key:
        assert (record.session, record.key) not in disk.keys, "UNIQUE constraint failed: keys"
        disk.keys[(record.session, record.key)] = (record.cell, record.ask_digest)


def _said(disk: Disk, record: r.WorkerSaid, stored: StoredRecord, scope: str) -> None:
    made = sum(isinstance(step, r.NoticeMade) for step in record.steps)
    if made:
        disk.notices_made[scope] = disk.notices_made.get(scope, 0) + made


def _noticed(disk: Disk, record: r.NoticesDelivered, stored: StoredRecord, scope: str) -> None:
    disk.notices_had[scope] = record.upto


def _seen(disk: Disk, record: r.EventAcknowledged, stored: StoredRecord, scope: str) -> None:
    if disk.cells[scope].state and record.number == disk.events[scope][-1].event.number:
        disk.seen.add(scope)


def _event(disk: Disk, cell: str, mark: EventMark, number: int) -> None:
    rows = disk.events.setdefault(cell, [])
    assert all(row.event.number != mark.number for row in rows), "UNIQUE constraint failed: events"
    event = StoredEvent(cell, number, mark)
    rows.append(event)
    rows.sort(key=lambda row: row.event.number)
    if mark.kind is not EventKind.YIELDED:
        disk.session_events.setdefault(disk.cells[cell].session, []).append(event)


def _frontier(disk: Disk, record: r.FrontierReached, stored: StoredRecord, scope: str) -> None:
    _event(disk, scope, record.event, stored.number)
    generation = record.event.generation
    summary = disk.cells[scope]
    disk.cells[scope] = replace(summary, generation=generation, since_ns=stored.at_ns)


def _yielded(disk: Disk, record: r.YieldMade, stored: StoredRecord, scope: str) -> None:
    _event(disk, scope, record.event, stored.number)


def _completed(disk: Disk, record: r.CellCompleted, stored: StoredRecord, scope: str) -> None:
    _end(disk, record.event, stored, scope, "completed")
    if not record.published:
        disk.contents.pop((scope, r.WRITE), None)


def _terminated(disk: Disk, record: r.CellTerminated, stored: StoredRecord, scope: str) -> None:
    _end(disk, record.event, stored, scope, "terminated")
    disk.contents.pop((scope, r.WRITE), None)


def _end(disk: Disk, mark: EventMark, stored: StoredRecord, cell: str, state: str) -> None:
    _event(disk, cell, mark, stored.number)
    disk.cells[cell] = replace(disk.cells[cell], state=state, since_ns=stored.at_ns)


def _stored(disk: Disk, record: r.StoredChanged, stored: StoredRecord, scope: str) -> None:
    disk.session_log.append(stored)
    if record.cell:
        rows = disk.contents.pop((record.cell, r.WRITE), {})
        written = dict(schema.unpack_write(rows[number]) for number in sorted(rows))
    else:
        key, size = record.sizes[0]
        written = {key: None if size is None else record.content}
    for key, content in written.items():
        versions = disk.stored.setdefault((record.session, key), [])
        versions.append((record.version, content))


def _attached(disk: Disk, record: r.AttachmentOpened, stored: StoredRecord, scope: str) -> None:
    disk.session_log.append(stored)
    disk.tools[record.attachment] = record.tools


def _logged(disk: Disk, record: r.Record, stored: StoredRecord, scope: str) -> None:
    disk.session_log.append(stored)


_PROJECT: dict[type, Callable[[Disk, Any, StoredRecord, str], None]] = {
    r.CellCreated: _created,
    r.WorkerSaid: _said,
    r.NoticesDelivered: _noticed,
    r.EventAcknowledged: _seen,
    r.FrontierReached: _frontier,
    r.YieldMade: _yielded,
    r.CellCompleted: _completed,
    r.CellTerminated: _terminated,
    r.StoredChanged: _stored,
    r.AttachmentOpened: _attached,
    r.AttachmentEnded: _logged,
    r.SessionOpened: _logged,
}
