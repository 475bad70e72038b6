"""What one commit reads and writes does not depend on how much the journal keeps, or lets go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tidemark.protocol import limits
from tidemark.protocol.ids import NO_REQUEST
from tidemark.protocol.limits import Limits
from tidemark.protocol.packed import CellKind, EventKind, Reason, Stepping
from tidemark.supervisor.core import records as r
from tidemark.supervisor.core.facts import EventMark
from tidemark.supervisor.shell.sqlite_store import SqliteStore

LARGE = b"x" * (4 * limits.MIB)  # more than SQLite keeps of a file in memory
READ_MAX = limits.MIB


def read_by(work: Callable[[], object]) -> int:
    """The bytes that this process reads from files meanwhile."""
    before = _counted("rchar")
    work()
    return _counted("rchar") - before


def written_by(work: Callable[[], object]) -> int:
    """The bytes that this process writes to files meanwhile."""
    before = _counted("wchar")
    work()
    return _counted("wchar") - before


def _counted(what: str) -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(what)]
    return int(line.split()[1])


def write_output(store: SqliteStore, cell: str, number: int, body: bytes) -> None:
    event = EventMark(EventKind.YIELDED, number + 1, number, number + 1)
    content = r.Content(cell, r.OUTPUT, number, body)
    store.commit([r.Entry(cell, r.YieldMade(event), (content,))], number)


def set_value(store: SqliteStore, key: str, version: int, content: bytes) -> None:
    sizes = ((key, len(content)),)
    changed = r.StoredChanged("tides", version, sizes, "", NO_REQUEST, content)
    store.commit([r.Entry(r.session_scope("tides"), changed)], version)


@pytest.mark.parametrize("cell", ["aft", "bow", "cap"])
def test_a_commit_does_not_read_what_other_cells_have_put_out(
    store: SqliteStore, cell: str
) -> None:
    for number in range(8):
        write_output(store, "bow", number, LARGE)
    assert read_by(lambda: write_output(store, cell, 100, b"small")) < READ_MAX


@pytest.mark.parametrize("cell", ["aft", "bow", "cap"])
def test_a_commit_does_not_read_the_values_of_other_cells(store: SqliteStore, cell: str) -> None:
    made = r.CellCreated(
        "bow", "tides", CellKind.CONTINUING, Stepping.DRAIN, "", Limits(), 1, NO_REQUEST,
        "", bytes(16), 0, 1, "1", b"\x80",
    )  # fmt: skip
    store.commit([r.Entry("bow", made)], 0)
    for number in range(1, 9):
        event = EventMark(EventKind.COMPLETED, number, 0, 0, reason=Reason.ENDED, value=LARGE)
        store.commit([r.Entry("bow", r.CellCompleted(event, 0))], number)
    assert read_by(lambda: write_output(store, cell, 100, b"small")) < READ_MAX


@pytest.mark.parametrize("key", ["aft", "bowing", "cap"])
def test_a_commit_does_not_read_other_stored_values(store: SqliteStore, key: str) -> None:
    set_value(store, "bow", 1, LARGE)
    set_value(store, "bowl", 2, LARGE)
    assert read_by(lambda: set_value(store, key, 3, b"small")) < READ_MAX


def test_a_stored_value_is_found_without_reading_the_others(store: SqliteStore) -> None:
    for version, key in enumerate(("aft", "bow", "bowl"), 1):
        set_value(store, key, version, LARGE)
    set_value(store, "box", 4, b"small")
    assert read_by(lambda: store.stored("tides", "box", 9)) < READ_MAX
    assert read_by(lambda: store.stored_keys("tides", 9)) < READ_MAX


def test_output_that_goes_is_not_written_once_more(store: SqliteStore) -> None:
    """As it is where SQLite is built to fill with zeros what is deleted."""
    for number in range(4):
        write_output(store, "bow", number, LARGE)

    def acknowledge() -> None:
        store.commit([r.Entry("bow", r.EventAcknowledged(4))], 9)

    assert written_by(acknowledge) < len(LARGE)
    assert len(store.contents("bow", r.OUTPUT, 0, 4)) == 1
