"""The journal: what every `Store` does, on a disk and in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tidemark.protocol.ids import NO_REQUEST, Incarnation, RequestRef, cell_id
from tidemark.protocol.limits import Limits
from tidemark.protocol.packed import CellKind, EventKind, OutputKind, Reason, Stepping
from tidemark.simulation.memory_store import Disk
from tidemark.supervisor.core import records as r
from tidemark.supervisor.core.facts import EventMark
from tidemark.supervisor.shell import journal_schema as schema
from tidemark.supervisor.shell.ports import Fenced, JournalFull, Store
from tidemark.supervisor.shell.sqlite_store import SqliteStore

REQUEST = RequestRef(1, 2)
D = b"d" * 16
A, B = cell_id(1, 7), cell_id(2, 7)


@dataclass
class Journal:
    """A journal that can be opened again, and whose disk can be full."""

    open: Callable[[], Store]
    fill: Callable[[Store], None]
    empty: Callable[[Store], None]


def _in_memory() -> Journal:
    disk = Disk()

    def full(store: Store) -> None:
        disk.full = True

    def free(store: Store) -> None:
        disk.full = False

    return Journal(disk.open, full, free)


def _in_sqlite(path: Path) -> Journal:
    opened: list[SqliteStore] = []

    def open_it() -> Store:
        opened.append(SqliteStore(path, "crash"))
        return opened[-1]

    def full(store: Store) -> None:
        pages = opened[-1]._sql.execute("PRAGMA page_count").fetchone()[0]
        opened[-1]._sql.execute(f"PRAGMA max_page_count = {pages}")

    def free(store: Store) -> None:
        opened[-1]._sql.execute("PRAGMA max_page_count = 1000000")

    return Journal(open_it, full, free)


@pytest.fixture(params=["memory", "sqlite"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Journal:
    return _in_memory() if request.param == "memory" else _in_sqlite(tmp_path / "journal.db")


@pytest.fixture
def store(journal: Journal) -> Iterator[Store]:
    opened = journal.open()
    yield opened
    opened.close()


def created(cell: str, *, session: str = "s", key: str = "", version: int = 0) -> r.Entry:
    record = r.CellCreated(
        cell=cell,
        session=session,
        kind=CellKind.PAUSABLE,
        stepping=Stepping.DRAIN,
        name="a name",
        limits=Limits(),
        created_us=5,
        request=REQUEST,
        key=key,
        ask_digest=D,
        stored_version=version,
        tools_of=1,
        source="text(1)",
        inputs=b"\x80",
    )
    return r.Entry(cell, record)


def said(cell: str, *steps: r.StreamStep, contents: tuple[r.Content, ...] = ()) -> r.Entry:
    record = r.WorkerSaid(Incarnation(1, 1), 1, ((1, 2),), steps)
    return r.Entry(cell, record, contents)


def frontier(cell: str, number: int, generation: int) -> r.Entry:
    mark = EventMark(EventKind.PENDING, number, 0, 0, generation)
    return r.Entry(cell, r.FrontierReached(mark))


def completed(cell: str, number: int, published: int = 0) -> r.Entry:
    mark = EventMark(EventKind.COMPLETED, number, 0, 0, reason=Reason.ENDED)
    return r.Entry(cell, r.CellCompleted(mark, published))


def terminated(cell: str, number: int) -> r.Entry:
    mark = EventMark(EventKind.TERMINATED, number, 0, 0)
    return r.Entry(cell, r.CellTerminated(mark, REQUEST))


def stored(version: int, key: str, content: bytes | None, cell: str = "") -> r.Entry:
    size = None if content is None else len(content)
    record = r.StoredChanged("s", version, ((key, size),), cell, NO_REQUEST, content or b"")
    return r.Entry("session:s", record)


def written(cell: str, key: str, content: bytes | None, number: int = 1) -> r.Entry:
    size = None if content is None else len(content)
    body = schema.pack_write(key, content)
    step = r.ValueWritten(key, size, D)
    return said(cell, step, contents=(r.Content(cell, r.WRITE, number, body),))


# -- records --------------------------------------------------------------------------------------


def test_records_are_numbered_in_order_and_read_back(store: Store) -> None:
    entries = [created(A), said(A, r.Put(OutputKind.TEXT, 3, D)), frontier(A, 1, 1)]
    assert store.last_number == 0
    assert store.commit(entries, 10) == 3
    assert store.commit([r.Entry(A, r.EventAcknowledged(1))], 20) == 4
    assert store.last_number == 4
    found = store.cell_records(A)
    assert [each.number for each in found] == [1, 2, 3, 4]
    assert [each.at_ns for each in found] == [10, 10, 10, 20]
    assert [each.record for each in found] == [
        *(entry.record for entry in entries),
        r.EventAcknowledged(1),
    ]
    assert [each.number for each in store.cell_records(A, after=2, limit=1)] == [3]
    assert store.created(A) == entries[0].record
    assert store.cell_records(B) == []


def test_a_life_finds_what_the_one_before_committed(journal: Journal) -> None:
    first = journal.open()
    first.commit([created(A), frontier(A, 1, 1)], 10)
    first.close()
    second = journal.open()
    assert second.epoch > first.epoch
    assert second.last_number == 2
    assert len(second.cell_records(A)) == 2
    assert second.commit([completed(A, 2)], 30) == 3
    second.close()


def test_an_earlier_life_is_fenced(journal: Journal) -> None:
    first = journal.open()
    first.commit([created(A)], 10)
    second = journal.open()
    with pytest.raises(Fenced):
        first.commit([created(B)], 20)
    assert second.cell_records(B) == []
    assert second.commit([created(B)], 30) == 2
    first.close()
    second.close()


def test_a_full_disk_takes_nothing_and_later_everything(journal: Journal) -> None:
    store = journal.open()
    store.commit([created(A)], 10)
    journal.fill(store)
    large = tuple(r.Content(A, r.OUTPUT, n, b"x" * 100_000) for n in range(20))
    batch = [created(B), r.Entry(A, said(A).record, large)]
    with pytest.raises(JournalFull):
        store.commit(batch, 20)
    assert store.last_number == 1
    assert store.cell_records(B) == []
    assert store.contents(A, r.OUTPUT, 0, 20) == []
    assert store.created(A).cell == A
    journal.empty(store)
    assert store.commit(batch, 30) == 3
    assert len(store.contents(A, r.OUTPUT, 0, 20)) == 20
    store.close()


def test_sessions_have_their_records(store: Store) -> None:
    opened = r.SessionOpened("s", "process", False)
    attached = r.AttachmentOpened(3, "s", b"t" * 16, 9, "host", 1, 2, (), Limits())
    nobody = r.AttachmentOpened(4, "", b"u" * 16, 9, "host", 1, 2, (), Limits())
    store.commit([r.Entry("session:s", opened), created(A), r.Entry("session:s", attached)], 10)
    store.commit([r.Entry("", nobody), r.Entry("", r.AttachmentEnded(4, "it left"))], 20)
    records = [each.record for each in store.session_records()]
    assert records == [opened, attached, nobody, r.AttachmentEnded(4, "it left")]
    assert store.tools(3) == ()


# -- contents, keys and cells ---------------------------------------------------------------------


def test_contents_come_by_kind_and_number(store: Store) -> None:
    rows = tuple(r.Content(A, r.OUTPUT, number, b"%d" % number) for number in range(5))
    other = r.Content(A, r.INPUT, 2, b"input")
    store.commit([created(A), r.Entry(A, said(A).record, (*rows, other))], 10)
    assert store.contents(A, r.OUTPUT, 1, 4) == [b"1", b"2", b"3"]
    assert store.contents(A, r.OUTPUT, 4, 9) == [b"4"]
    assert store.contents(A, r.INPUT, 0, 9) == [b"input"]
    assert store.contents(B, r.OUTPUT, 0, 9) == []


def test_a_key_belongs_to_the_cell_that_it_made(store: Store) -> None:
    store.commit([created(A, key="k"), created(B, session="other", key="k")], 10)
    assert store.key_owner("s", "k") == (A, D)
    assert store.key_owner("other", "k") == (B, D)
    assert store.key_owner("s", "no") is None


def test_cells_are_listed_newest_first(store: Store) -> None:
    cells = [cell_id(number, 7) for number in range(1, 6)]
    store.commit([created(cell) for cell in cells], 10)
    store.commit([frontier(cells[0], 1, 1), completed(cells[1], 1), terminated(cells[2], 1)], 20)
    listed = [each.cell for each in store.cells("s", "", 10, "")]
    assert listed == list(reversed(cells))
    assert [each.cell for each in store.cells("s", "", 2, cells[3])] == [cells[2], cells[1]]
    assert [each.cell for each in store.cells("", "completed", 9, "")] == [cells[1]]
    assert [each.cell for each in store.cells("s", "terminated", 9, "")] == [cells[2]]
    unfinished = store.cells("s", "unfinished", 9, "")
    assert [each.cell for each in unfinished] == [cells[4], cells[3], cells[0]]
    assert [each.generation for each in unfinished] == [0, 0, 1]
    assert [each.since_ns for each in unfinished] == [10, 10, 20]
    assert store.cells("elsewhere", "", 9, "") == []


def test_cells_that_are_not_over_are_recovered(store: Store) -> None:
    third, fourth = cell_id(3, 7), cell_id(4, 7)
    store.commit([created(cell) for cell in (A, B, third, fourth)], 10)
    notice = r.NoticeMade("look", D)
    store.commit([completed(B, 1), said(third, notice), completed(third, 1)], 20)
    store.commit([said(fourth, notice, notice), completed(fourth, 1)], 30)

    def cells() -> list[str]:
        first = [records[0].record for records in map(store.cell_records, store.unfinished_cells())]
        return [record.cell for record in first if isinstance(record, r.CellCreated)]

    assert cells() == [A, third, fourth]
    delivered = [r.Entry(third, r.NoticesDelivered(1)), r.Entry(fourth, r.NoticesDelivered(1))]
    store.commit(delivered, 40)
    assert cells() == [A, fourth]


def test_finished_cells_are_retired_in_their_time(journal: Journal) -> None:
    store = journal.open()
    third = cell_id(3, 7)
    store.commit([created(A, key="k"), created(B), created(third)], 10)
    store.commit([completed(A, 1), terminated(B, 1)], 20)
    store.commit([r.Entry(A, r.EventAcknowledged(1))], 30)
    day_ns = 86_400 * 1_000_000_000
    assert store.retire(7 * day_ns) == []
    assert store.retire(8 * day_ns) == [A]
    assert store.retire(8 * day_ns) == []
    assert store.cell_records(A) == []
    assert store.cell_events(A, 0, 9) == []
    assert [each.cell for each in store.session_events("s", 0, 9)] == [B]
    assert [each.cell for each in store.cells("s", "", 9, "")] == [third, B]
    assert store.key_owner("s", "k") == (A, D)
    assert store.retire(31 * day_ns) == [B]
    store.close()
    again = journal.open()
    assert again.last_number == 6
    assert again.retire(99 * day_ns) == []
    again.close()


# -- events ---------------------------------------------------------------------------------------


def test_events_by_cell_and_by_session(store: Store) -> None:
    store.commit([created(A), created(B)], 10)
    given = EventMark(EventKind.YIELDED, 1, 0, 0)
    store.commit([r.Entry(A, r.YieldMade(given)), frontier(B, 1, 1), completed(A, 2)], 20)
    found = store.cell_events(A, 0, 10)
    assert [(each.record, each.event.number) for each in found] == [(3, 1), (5, 2)]
    assert found[0].event == given
    assert [each.event.number for each in store.cell_events(A, 1, 10)] == [2]
    assert len(store.cell_events(A, 0, 1)) == 1
    # A yield is its own cell's affair.
    assert [(each.cell, each.record) for each in store.session_events("s", 0, 9)] == [
        (B, 4),
        (A, 5),
    ]
    assert [each.record for each in store.session_events("s", 4, 9)] == [5]


# -- stored values --------------------------------------------------------------------------------


def test_values_are_read_as_of_a_version(store: Store) -> None:
    store.commit([created(A, version=0)], 10)
    store.commit([stored(1, "k", b"one"), created(B, version=1)], 10)
    store.commit([stored(2, "k", b"two"), stored(3, "l", b"three")], 10)
    store.commit([created(cell_id(3, 7), version=3)], 10)
    store.commit([stored(4, "k", None)], 10)
    assert store.stored("s", "k", 0) is None
    assert store.stored("s", "k", 1) == b"one"
    assert store.stored("s", "k", 3) == b"two"
    assert store.stored("s", "k", 4) is None
    assert store.stored_keys("s", 0) == []
    assert store.stored_keys("s", 3) == ["k", "l"]
    assert store.stored_keys("s", 4) == ["l"]
    assert store.stored("other", "k", 4) is None


def test_a_completion_publishes_its_writes(store: Store) -> None:
    store.commit([created(A), written(A, "k", b"old", 1), written(A, "k", b"new", 2)], 10)
    assert store.stored_keys("s", 9) == []
    store.commit([completed(A, 1, published=1), stored(1, "k", b"new", cell=A)], 20)
    assert store.stored("s", "k", 1) == b"new"
    assert store.contents(A, r.WRITE, 0, 9) == []


def test_a_terminated_cell_leaves_no_writes(store: Store) -> None:
    store.commit([created(A), written(A, "k", b"never")], 10)
    store.commit([terminated(A, 1)], 20)
    assert store.contents(A, r.WRITE, 0, 9) == []
    assert store.stored_keys("s", 9) == []


# -- output that has been acknowledged ------------------------------------------------------------

ITEM = 300 * 1024


def put_out(store: Store, cell: str, first: int, stop: int, size: int = ITEM) -> None:
    """Output items of a running cell."""
    contents = tuple(r.Content(cell, r.OUTPUT, n, b"x" * size) for n in range(first, stop))
    steps = tuple(r.Put(OutputKind.TEXT, size, D) for _ in contents)
    store.commit([said(cell, *steps, contents=contents)], 10)


def carrying(kind: EventKind, number: int, start: int, stop: int) -> EventMark:
    generation = number if kind is EventKind.PENDING else 0
    return EventMark(kind, number, start, stop, generation)


def yielded(store: Store, cell: str, number: int, start: int, stop: int) -> None:
    mark = carrying(EventKind.YIELDED, number, start, stop)
    store.commit([r.Entry(cell, r.YieldMade(mark))], 10)


def seen(store: Store, cell: str, number: int) -> None:
    store.commit([r.Entry(cell, r.EventAcknowledged(number))], 10)


def kept_items(store: Store, cell: str) -> int:
    return len(store.contents(cell, r.OUTPUT, 0, 1_000))


def test_acknowledged_output_is_kept_up_to_a_mebibyte(store: Store) -> None:
    store.commit([created(A)], 10)
    for number in range(1, 11):
        put_out(store, A, number - 1, number)
        yielded(store, A, number, number - 1, number)
        if number < 10:
            seen(store, A, number)
    # Items 0 to 8 are acknowledged, three of them fit; item 9 has nobody yet.
    assert store.contents(A, r.OUTPUT, 0, 6) == []
    assert kept_items(store, A) == 4
    events = store.cell_events(A, 0, 99)
    assert [each.event.number for each in events] == [7, 8, 9, 10]
    assert all(each.event.stop - each.event.start == 1 for each in events)
    assert len(store.cell_records(A)) == 1 + 10 + 10 + 9


def test_output_that_nobody_acknowledged_stays(store: Store) -> None:
    store.commit([created(A)], 10)
    put_out(store, A, 0, 10)
    yielded(store, A, 1, 0, 9)
    mark = EventMark(EventKind.COMPLETED, 2, 9, 10, reason=Reason.ENDED)
    store.commit([r.Entry(A, r.CellCompleted(mark, 0))], 10)
    assert kept_items(store, A) == 10
    seen(store, A, 1)  # the event itself is whole until more is acknowledged
    assert kept_items(store, A) == 10
    seen(store, A, 2)
    assert kept_items(store, A) == 3
    assert [each.event.number for each in store.cell_events(A, 0, 99)] == [2]


def test_a_frontier_stays_whole_while_it_is_the_last(store: Store) -> None:
    store.commit([created(A), created(B)], 10)
    for cell in (A, B):
        put_out(store, cell, 0, 8)
        first = carrying(EventKind.PENDING, 1, 0, 8)
        store.commit([r.Entry(cell, r.FrontierReached(first))], 10)
        seen(store, cell, 1)
        store.commit([r.Entry(cell, r.GenerationConsumed(1, 1, REQUEST, 1))], 20)
        put_out(store, cell, 8, 12)
        assert kept_items(store, cell) == 12
    second = carrying(EventKind.PENDING, 2, 8, 12)
    store.commit([r.Entry(A, r.FrontierReached(second))], 30)
    store.commit([r.Entry(A, r.GenerationConsumed(2, 2, REQUEST, 2))], 40)
    assert kept_items(store, A) == 4
    assert [each.event for each in store.session_events("s", 0, 9) if each.cell == A] == [second]
    final = EventMark(EventKind.TERMINATED, 2, 8, 12)
    store.commit([r.Entry(B, r.CellTerminated(final, REQUEST))], 30)
    seen(store, B, 2)
    assert kept_items(store, B) == 12  # its last frontier can still be asked for


def test_a_skipped_frontier_is_not_taken_for_acknowledged(store: Store) -> None:
    store.commit([created(A)], 10)
    put_out(store, A, 0, 8)
    first = carrying(EventKind.PENDING, 1, 0, 8)
    store.commit([r.Entry(A, r.FrontierReached(first))], 10)
    store.commit([r.Entry(A, r.GenerationConsumed(1, 1, REQUEST, 0))], 20)
    second = carrying(EventKind.PENDING, 2, 0, 8)
    store.commit([r.Entry(A, r.FrontierReached(second))], 30)
    seen(store, A, 2)
    assert kept_items(store, A) == 8
    assert [each.event.number for each in store.cell_events(A, 0, 9)] == [1, 2]


def test_a_later_life_goes_on_removing_where_the_earlier_stopped(journal: Journal) -> None:
    first = journal.open()
    first.commit([created(A)], 10)
    for number in range(1, 4):
        put_out(first, A, number - 1, number)
        yielded(first, A, number, number - 1, number)
        seen(first, A, number)
    first.close()
    second = journal.open()
    assert kept_items(second, A) == 3
    put_out(second, A, 3, 4)
    yielded(second, A, 4, 3, 4)
    seen(second, A, 4)
    seen(second, A, 1)  # a repeat of what is gone
    assert kept_items(second, A) == 3
    second.close()
