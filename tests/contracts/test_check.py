"""`check` finds nothing in a journal as it is written, and every change that is made to it."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tidemark.protocol.errors import JournalError
from tidemark.supervisor.core import records as r
from tidemark.supervisor.shell.check_report import FINDINGS_MAX, Report
from tidemark.supervisor.shell.journal_check import check
from tidemark.supervisor.shell.snapshot import Snapshot
from tidemark.supervisor.shell.sqlite_store import SqliteStore

from fakes.journals import ENDED, GONE, PAUSED, SESSION, write_journal


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("written") / "journal.db"
    write_journal(path)
    return path


@pytest.fixture
def journal(written: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copy(written, tmp_path / "journal.db"))


def quiet(stage: str, done: int, total: int) -> None:
    """Nobody looks."""


def checked(path: Path) -> Report:
    with Snapshot(path) as snapshot:
        return check(snapshot, quiet)


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as sql, sql:
        sql.create_function("flipped", 1, lambda body: body[:-1] + bytes([body[-1] ^ 1]))
        assert sql.execute(statement).rowcount > 0, "the test changes nothing"


def test_a_journal_as_it_is_written_is_sound(journal: Path) -> None:
    report = checked(journal)
    assert report.findings == []
    assert report.is_sound
    assert report.cells == 3
    assert report.records == report.last == 29
    # Two of the paused cell, its arguments, its input and its write; the rest of the ended one.
    assert report.contents == 5 + 2 + 1
    assert report.removed == 1 + 1 + 1


PAST = "record before it is not as written"
CHANGES = {
    "a record's time": (
        "UPDATE records SET at_ns = at_ns + 1 WHERE n = 7",
        [f"cell {PAUSED}, record 7: ", PAST],
    ),
    "a record's bytes": (
        "UPDATE records SET body = substr(body, 1, length(body) - 1) || x'00' WHERE n = 8",
        [f"cell {PAUSED}, record 8: a field of this record is of a kind that none"],
    ),
    "one bit of a record": (
        "UPDATE records SET body = flipped(body) WHERE n = 8",
        [f"cell {PAUSED}, record 8: ", PAST],
    ),
    "a record that no version could have written": (
        "UPDATE records SET body = x'c1' WHERE n = 8",
        [f"cell {PAUSED}, record 8: it cannot be read"],
    ),
    "a record that is gone": (
        f"DELETE FROM records WHERE scope = '{PAUSED}' AND n = 6",
        [f"cell {PAUSED}, record 7: ", PAST],
    ),
    "a session's record": (
        "UPDATE records SET at_ns = 0 WHERE n = 2",
        [f"session {SESSION}, record 2: "],
    ),
    "a digest of contents": (
        f"UPDATE records SET contents = x'00' WHERE scope = '{PAUSED}' AND n = 5",
        [f"cell {PAUSED}, record 5: ", PAST, "output 0, arguments 1", "not those of its digest"],
    ),
    "an output": (
        f"UPDATE contents SET body = x'00' WHERE cell = '{PAUSED}' AND kind = 'o' AND number = 1",
        [f"cell {PAUSED}, record 10: ", "output 1, written value 1", "not those of its digest"],
    ),
    "what is left of contents that were written together": (
        f"UPDATE contents SET body = x'a0' WHERE cell = '{GONE}' AND kind = 'a'",
        [f"cell {GONE}, record 27: its arguments 1 is not that of the digest"],
    ),
    "an input that is gone": (
        f"DELETE FROM contents WHERE cell = '{PAUSED}' AND kind = 'i'",
        [f"cell {PAUSED}, record 8: its input 1 is not there"],
    ),
    "a write that is gone": (
        f"DELETE FROM contents WHERE cell = '{PAUSED}' AND kind = 'w'",
        [f"cell {PAUSED}, record 10: its written value 1 is not there"],
    ),
    "output that nobody has acknowledged": (
        f"DELETE FROM contents WHERE cell = '{PAUSED}' AND kind = 'o'",
        ["output that nobody has acknowledged was removed", "at most 1, found 2"],
    ),
    "output in the middle": (
        f"DELETE FROM contents WHERE cell = '{ENDED}' AND kind = 'o' AND number = 2",
        [f"cell {ENDED}, record 21: its output 2 is not there"],
    ),
    "a content of nobody": (
        f"INSERT INTO contents VALUES ('{PAUSED}', 'i', 2, x'00')",
        ["the number of contents (input): expected 1, found 2"],
    ),
    "contents of no cell": (
        "INSERT INTO contents VALUES ('c-none', 'i', 1, x'00')",
        ["cell c-none: table contents has rows of a cell that is not in the table of cells"],
    ),
    "a write of a terminated cell": (
        f"INSERT INTO contents VALUES ('{GONE}', 'w', 1, x'00')",
        ["the number of contents (written value): expected 0, found 1"],
    ),
    "a cell's state": (
        f"UPDATE cells SET state = '' WHERE id = '{ENDED}'",
        ["state in the table of cells: expected 'completed', found ''"],
    ),
    "whether its end was read": (
        f"UPDATE cells SET seen = 1 WHERE id = '{GONE}'",
        ["seen in the table of cells: expected 0, found 1"],
    ),
    "a cell that is not listed": (
        f"DELETE FROM cells WHERE id = '{ENDED}'",
        [f"cell {ENDED}: it is not in the table of cells"],
    ),
    "a cell without records": (
        f"DELETE FROM records WHERE scope = '{GONE}'",
        [f"cell {GONE}: it is in the table of cells, and has no records"],
    ),
    "an event": (
        f"UPDATE events SET mark = x'00' WHERE cell = '{PAUSED}' AND number = 2",
        ["event 2 in the table of events is not that of its record"],
    ),
    "an event that is gone": (
        f"DELETE FROM events WHERE cell = '{PAUSED}' AND number = 1",
        ["event 1 is not in the table of events"],
    ),
    "an event of nobody": (
        f"INSERT INTO events VALUES ('{PAUSED}', 3, 99, '', x'00')",
        [f"cell {PAUSED}, record 99: event 3 is in the table of events, and no record made it"],
    ),
    "a key": (
        f"UPDATE keys SET cell = '{GONE}'",
        [f"idempotency key 'once' has made: expected {PAUSED}, found {GONE}"],
    ),
    "a key of no cell": (
        "INSERT INTO keys VALUES ('tides', 'k', 'c-none', x'00', NULL)",
        [f"session {SESSION}: idempotency key 'k' is of cell c-none, which is not there"],
    ),
    "notifications": (
        "UPDATE notices SET delivered = 0",
        ["notifications made and delivered, in their table: expected (1, 1), found (1, 0)"],
    ),
    "an attachment": ("DELETE FROM attachments", ["the record of attachment 1", "found nothing"]),
    "a stored value of a cell": (
        "UPDATE stored SET content = x'81a16102' WHERE key = 'k'",
        [f"cell {ENDED}: stored value 'k' is not what the cell has written"],
    ),
    "a stored value of a host": (
        "UPDATE stored SET content = replace(content, 'host', 'tide') WHERE key = 'note'",
        [f"session {SESSION}: ", "stored value 'note'"],
    ),
    "a stored value that is gone": (
        "DELETE FROM stored WHERE key = 'note'",
        ["the newest version of stored value 'note': expected 2, found nothing"],
    ),
    "a stored value of nobody": (
        "INSERT INTO stored VALUES ('tides', 'x', 2, x'00')",
        ["stored value 'x' is there, and no record has written it"],
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_is_found(name: str, journal: Path) -> None:
    statement, texts = CHANGES[name]
    change(journal, statement)
    found = "\n".join(map(str, checked(journal).findings))
    for text in texts:
        assert text in found


def test_one_changed_record_is_one_finding(journal: Path) -> None:
    change(journal, "UPDATE records SET at_ns = at_ns + 1 WHERE n = 8")
    (finding,) = checked(journal).findings
    assert (finding.where, finding.record) == (f"cell {PAUSED}", 8)
    assert len(finding.expected) == len(finding.found) == 32


def test_a_file_that_sqlite_finds_damaged(journal: Path) -> None:
    with closing(sqlite3.connect(journal)) as sql:
        query = "SELECT rootpage FROM sqlite_master WHERE name = 'records'"
        page = sql.execute(query).fetchone()[0]
        size = sql.execute("PRAGMA page_size").fetchone()[0]
    content = bytearray(journal.read_bytes())
    content[(page - 1) * size : page * size] = bytes(size)
    journal.write_bytes(content)
    report = checked(journal)
    assert report.findings[0].where == "the file"
    assert "SQLite" in str(report.findings[0])


def test_what_is_no_journal_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="is not there; name the state directory"):
        Snapshot(tmp_path / "journal.db")
    text = tmp_path / "text.db"
    text.write_text("no database at all\n" * 100)
    with pytest.raises(JournalError, match="cannot be read as a journal"):
        Snapshot(text)
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as sql, sql:
        sql.execute("CREATE TABLE t (a)")
    with pytest.raises(JournalError, match="not a journal of Tidemark"):
        Snapshot(other)


def test_a_journal_of_a_newer_version_is_refused(journal: Path) -> None:
    with closing(sqlite3.connect(journal)) as sql, sql:
        sql.execute("PRAGMA user_version = 99")
    with pytest.raises(JournalError, match="newer Tidemark"):
        Snapshot(journal)


def test_a_journal_that_is_written_meanwhile_stands_still(journal: Path) -> None:
    store = SqliteStore(journal, "crash")
    with Snapshot(journal) as snapshot:
        store.commit([r.Entry(GONE, r.EventAcknowledged(1))], 10**18)
        report = check(snapshot, quiet)
    assert report.is_sound
    assert report.last == 29
    assert store.last_number == 30
    assert checked(journal).last == 30
    store.close()


def test_a_journal_on_a_disk_that_cannot_be_written(journal: Path) -> None:
    journal.chmod(0o400)
    journal.parent.chmod(0o500)
    try:
        assert checked(journal).is_sound
    finally:
        journal.parent.chmod(0o700)


def test_findings_beyond_those_that_are_kept_are_counted(journal: Path) -> None:
    with closing(sqlite3.connect(journal)) as sql, sql:
        rows = [(f"c-{number}",) for number in range(FINDINGS_MAX + 5)]
        sql.executemany("INSERT INTO events VALUES (?, 1, 1, '', x'00')", rows)
    report = checked(journal)
    assert len(report.findings) == FINDINGS_MAX
    assert report.unkept == 5


def test_a_cut_end_is_not_noticed_and_the_last_number_tells(journal: Path) -> None:
    """As the documents say: whoever noted the number can compare."""
    before = checked(journal).last
    with closing(sqlite3.connect(journal)) as sql, sql:
        sql.execute("DELETE FROM records WHERE n = 29")
        sql.execute("DELETE FROM stored WHERE key = 'note'")
    report = checked(journal)
    assert report.is_sound
    assert report.last < before
