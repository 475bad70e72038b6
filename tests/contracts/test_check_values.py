"""`check` finds values of the wrong type, output and versions that are promised and gone."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tidemark.protocol.ids import NO_REQUEST, cell_id
from tidemark.protocol.packed import CellKind, EventKind, Reason
from tidemark.supervisor.core import records as r
from tidemark.supervisor.core.facts import EventMark
from tidemark.supervisor.shell.check_report import Report
from tidemark.supervisor.shell.journal_check import check
from tidemark.supervisor.shell.snapshot import Snapshot
from tidemark.supervisor.shell.sqlite_store import SqliteStore

from fakes.journals import SCOPE, SESSION, created, output, said, write

CELL = cell_id(1, 7)
NOTICE = (r.NoticeMade("n", b"d" * 16), None)


def checked(path: Path) -> Report:
    with Snapshot(path) as snapshot:
        return check(snapshot, lambda *_: None)


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as sql, sql:
        for statement in statements:
            assert sql.execute(statement).rowcount > 0, "the test changes nothing"


def value(version: int, content: bytes) -> r.Entry:
    sizes = (("k", 1 + len(content)),)
    return r.Entry(SCOPE, r.StoredChanged(SESSION, version, sizes, "", NO_REQUEST, content))


def reader(version: int) -> r.Entry:
    made = created(CELL, CellKind.CONTINUING).record
    fields = {name: getattr(made, name) for name in r.CellCreated.__match_args__}
    return r.Entry(CELL, r.CellCreated(**fields | {"stored_version": version}))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "journal.db"
    with closing(SqliteStore(path, "crash")) as store:
        store.commit([r.Entry(SCOPE, r.SessionOpened(SESSION, "process", True))], 1)
    return path


def test_output_of_the_final_event_that_is_gone(path: Path) -> None:
    with closing(SqliteStore(path, "crash")) as store:
        store.commit([created(CELL, CellKind.CONTINUING)], 2)
        store.commit([said(CELL, 1, output(CELL, 0, "all that the cell has found out"))], 3)
        mark = EventMark(EventKind.COMPLETED, 1, 0, 1, reason=Reason.ENDED)
        store.commit([r.Entry(CELL, r.CellCompleted(mark, 0))], 4)
        store.commit([r.Entry(CELL, r.EventAcknowledged(1))], 5)
    assert checked(path).findings == []
    change(path, "DELETE FROM contents")
    assert "the last one, was removed" in checked(path).findings[0].problem


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE stored SET content = x'a3666f6f' WHERE version = 1",
        "DELETE FROM stored WHERE version = 1",
    ],
)
def test_a_version_that_a_cell_still_reads(path: Path, statement: str) -> None:
    with closing(SqliteStore(path, "crash")) as store:
        store.commit([value(1, b"\xa3old")], 2)
        store.commit([reader(1)], 3)
        store.commit([value(2, b"\xa3new")], 4)
    assert checked(path).findings == []
    change(path, statement)
    assert "version 1" in checked(path).findings[0].problem


def test_values_and_attachments_of_nobody(path: Path) -> None:
    change(path, f"INSERT INTO stored VALUES ('{SESSION}', 'k', 0, x'a3666f6f')")
    assert "no record has written it" in checked(path).findings[0].problem
    change(
        path,
        "UPDATE stored SET session = 'nobody'",
        "INSERT INTO attachments VALUES (99, 1000)",
    )
    assert [finding.problem for finding in checked(path).findings] == [
        "it has stored values, and no records",
        "attachment 99 is in its table, and no record has opened it",
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE stored SET content = 5",
        "UPDATE stored SET content = 'text'",
        "UPDATE contents SET body = x'01' WHERE kind = 'w'",
        "UPDATE contents SET body = x'9201a0' WHERE kind = 'w'",
        "UPDATE contents SET body = 7 WHERE kind = 'w'",
        "UPDATE contents SET cell = x'00'",
        "UPDATE events SET mark = 7",
        "UPDATE events SET number = 'x'",
        "UPDATE records SET contents = 7",
        "UPDATE records SET chain = 7",
        "UPDATE records SET at_ns = 'x'",
        "UPDATE records SET at_ns = 1.5",
        "UPDATE records SET scope = x'00ff' WHERE n = 3",
        "UPDATE cells SET state = 5",
        "UPDATE keys SET digest = 5",
        "UPDATE notices SET made = 'x'",
    ],
)
def test_a_value_of_the_wrong_type_is_a_finding(path: Path, statement: str) -> None:
    large = "x" * (600 << 10)
    with closing(SqliteStore(path, "crash")) as store:
        store.commit([value(1, b"\xa3old")], 1)
        store.commit([created(CELL, CellKind.CONTINUING, "key")], 2)
        first = [output(CELL, 0, large), output(CELL, 1, large), write(CELL, 1, "w", "value")]
        store.commit([said(CELL, 1, *first, NOTICE)], 3)
        store.commit([r.Entry(CELL, r.YieldMade(EventMark(EventKind.YIELDED, 1, 0, 2)))], 4)
        store.commit([said(CELL, 2, output(CELL, 2, "y" * 1_000))], 5)
        store.commit([r.Entry(CELL, r.YieldMade(EventMark(EventKind.YIELDED, 2, 2, 3)))], 6)
        store.commit([r.Entry(CELL, r.EventAcknowledged(2))], 7)
    assert checked(path).findings == []
    change(path, statement)
    assert not checked(path).is_sound
