"""Finished cells that the journal lets go of, by age, by number and by whether they were read."""

from __future__ import annotations

from pathlib import Path

import pytest
from tidemark.protocol.ids import NO_REQUEST, cell_id
from tidemark.protocol.limits import Limits
from tidemark.protocol.packed import CellKind, EventKind, Reason, Stepping
from tidemark.supervisor.core import records as r
from tidemark.supervisor.core.facts import EventMark
from tidemark.supervisor.shell import retention
from tidemark.supervisor.shell.sqlite_store import SqliteStore

DAY_NS = retention.DAY_NS


def cell(store: SqliteStore, number: int, ended_ns: int, *, seen: bool, key: str = "") -> str:
    """A cell that ended at this time, in the journal."""
    name = cell_id(number, 1)
    made = r.CellCreated(
        name, "tides", CellKind.CONTINUING, Stepping.DRAIN, "", Limits(), number, NO_REQUEST,
        key, bytes(16), 0, 1, "1", b"\x80",
    )  # fmt: skip
    event = EventMark(EventKind.COMPLETED, 1, 0, 1, reason=Reason.ENDED)
    output = r.Content(name, r.OUTPUT, 0, b"body")
    records: list[r.Record] = [made, r.CellCompleted(event, 0)]
    if seen:
        records.append(r.EventAcknowledged(1))
    entries = [r.Entry(name, record) for record in records]
    entries[0] = r.Entry(name, made, (output,))
    store.commit(entries, ended_ns)
    return name


def left(store: SqliteStore) -> list[str]:
    return [summary.cell for summary in reversed(store.cells("", "", 100_000, ""))]


def test_read_cells_go_after_seven_days_and_unread_ones_after_thirty(store: SqliteStore) -> None:
    read, unread = cell(store, 1, 0, seen=True), cell(store, 2, 0, seen=False)
    assert store.retire(7 * DAY_NS) == []
    assert store.retire(7 * DAY_NS + 1) == [read]
    assert store.retire(30 * DAY_NS) == []
    assert left(store) == [unread]
    assert store.retire(30 * DAY_NS + 1) == [unread]
    assert left(store) == []


def test_nothing_of_a_removed_cell_stays_but_its_key(store: SqliteStore) -> None:
    name = cell(store, 1, 0, seen=True, key="once")
    store.retire(8 * DAY_NS)
    assert store.cell_records(name) == []
    assert store.contents(name, r.OUTPUT, 0, 1) == []
    assert store.cell_events(name, 0, 10) == []
    assert store.key_owner("tides", "once") == (name, bytes(16))


def test_a_key_goes_thirty_days_after_its_cell(store: SqliteStore) -> None:
    cell(store, 1, 0, seen=True, key="once")
    store.retire(8 * DAY_NS)
    cell(store, 2, 31 * DAY_NS, seen=True)
    store.retire(39 * DAY_NS)
    assert store.key_owner("tides", "once") is None


def test_beyond_the_bound_the_oldest_read_ones_go(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "SEEN_CELLS_MAX", 3)
    unread = cell(store, 1, 0, seen=False)
    read = [cell(store, number, number, seen=True) for number in range(2, 8)]
    assert store.retire(DAY_NS) == read[:3]
    assert left(store) == [unread, *read[3:]]
    assert store.retire(DAY_NS) == []


def test_unfinished_cells_stay(store: SqliteStore) -> None:
    name = cell_id(1, 1)
    made = r.CellCreated(
        name, "tides", CellKind.PAUSABLE, Stepping.DRAIN, "", Limits(), 1, NO_REQUEST,
        "", bytes(16), 0, 1, "1", b"\x80",
    )  # fmt: skip
    store.commit([r.Entry(name, made)], 0)
    assert store.retire(1_000 * DAY_NS) == []


def test_numbers_are_not_used_again_after_the_newest_records_are_gone(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "journal.db", "crash")
    cell(store, 1, 0, seen=True)
    before = store.last_number
    store.retire(8 * DAY_NS)
    store.close()
    again = SqliteStore(tmp_path / "journal.db", "crash")
    assert again.last_number == before
    again.close()


def stored(version: int, key: str, content: bytes | None) -> r.Entry:
    size = None if content is None else len(key) + len(content)
    record = r.StoredChanged("tides", version, ((key, size),), "", NO_REQUEST, content or b"")
    return r.Entry(r.session_scope("tides"), record)


def reader(number: int, version: int) -> r.Entry:
    name = cell_id(number, 1)
    made = r.CellCreated(
        name, "tides", CellKind.PAUSABLE, Stepping.DRAIN, "", Limits(), number, NO_REQUEST,
        "", bytes(16), version, 1, "1", b"\x80",
    )  # fmt: skip
    return r.Entry(name, made)


def versions(store: SqliteStore) -> list[tuple[str, int]]:
    return store._sql.execute("SELECT key, version FROM stored ORDER BY key, version").fetchall()


def test_of_a_value_those_versions_stay_that_a_cell_reads_and_the_newest(
    store: SqliteStore,
) -> None:
    for version in range(1, 10):
        entries = [stored(version, "k", b"%d" % version)]
        if version in (2, 3, 6):
            entries.append(reader(version, version))
        store.commit(entries, 0)
    assert versions(store) == [("k", 2), ("k", 3), ("k", 6), ("k", 9)]


def test_a_deleted_value_leaves_nothing_that_nobody_reads(store: SqliteStore) -> None:
    store.commit([stored(1, "k", b"1"), stored(2, "k", None)], 0)
    assert versions(store) == []
    store.commit([stored(3, "k", b"3"), reader(1, 3)], 0)
    store.commit([stored(4, "k", None)], 0)
    assert versions(store) == [("k", 3), ("k", 4)]
    assert (store.stored("tides", "k", 3), store.stored("tides", "k", 4)) == (b"3", None)
