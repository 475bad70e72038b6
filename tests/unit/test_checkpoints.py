"""The log is moved into the database beside the commits, and stays small."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tidemark.supervisor.shell import checkpoints
from tidemark.supervisor.shell.checkpoints import Checkpoints, Log
from tidemark.supervisor.shell.paced_writing import PART_BYTES, write_out

from fakes.waiting import until

PAGE = b"x" * 4_000


class Journal:
    """A database that is written like the journal, a page a commit."""

    def __init__(self, path: Path, durability: str) -> None:
        self.path = path
        self.sql = sqlite3.connect(path, isolation_level=None)
        self.sql.execute("PRAGMA journal_mode = WAL")
        self.sql.execute("CREATE TABLE pages (number INTEGER PRIMARY KEY, body BLOB)")
        self.checkpoints = Checkpoints(path, self.sql, durability)

    def commit(self, pages: int = 1) -> None:
        self.sql.execute("BEGIN")
        self.sql.executemany("INSERT INTO pages (body) VALUES (?)", [[PAGE]] * pages)
        self.sql.execute("COMMIT")
        self.checkpoints.committed(pages + 1)

    @property
    def log_bytes(self) -> int:
        return self.path.with_name(f"{self.path.name}-wal").stat().st_size

    @property
    def moved_bytes(self) -> int:
        return self.path.stat().st_size

    def close(self) -> None:
        self.checkpoints.close()
        self.sql.close()


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[str], Journal]]:
    journals: list[Journal] = []

    def open_it(durability: str) -> Journal:
        journals.append(Journal(tmp_path / "journal.db", durability))
        return journals[-1]

    yield open_it
    for journal in journals:
        journal.close()


def test_nothing_is_moved_by_a_commit_that_is_not_synced(opened: Callable[[str], Journal]) -> None:
    journal = opened("crash")
    before = journal.moved_bytes
    journal.commit(checkpoints.PAGES - 10)
    assert journal.moved_bytes == before
    journal.commit(10)
    until(lambda: journal.moved_bytes > before, what="the thread")


@pytest.mark.parametrize("durability", ["power", "crash"])
def test_the_log_of_one_who_never_rests_stays_small(
    opened: Callable[[str], Journal], durability: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "LOG_PAGES_MAX", 4_000)
    journal = opened(durability)
    for _ in range(2_000):
        journal.commit(20)  # 160 MiB
    assert journal.log_bytes < 64 * 2**20
    assert journal.sql.execute("SELECT count(*) FROM pages").fetchone() == (40_000,)


@pytest.mark.parametrize("durability", ["power", "crash"])
def test_what_a_reader_kept_in_the_log_is_not_moved_by_a_commit(
    opened: Callable[[str], Journal], durability: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "LOG_PAGES_MAX", 1_000)
    moves: list[tuple[bool, Log]] = []
    journal = opened(durability)

    def move(sql: sqlite3.Connection) -> Log:
        log = real_move(sql)
        moves.append((sql is journal.sql, log))
        return log

    real_move = checkpoints._move
    monkeypatch.setattr(checkpoints, "_move", move)
    with closing(sqlite3.connect(journal.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM pages").fetchone()
        journal.commit(checkpoints.PAGES * 2)
        until(lambda: moves, what="the thread")
    while len(moves) < 2:
        journal.commit()
    (first_in_commit, first), (second_in_commit, second) = moves[:2]
    assert not first_in_commit
    assert first.left > checkpoints.PAGES
    assert not second_in_commit
    assert second.left <= checkpoints.LAST_PAGES_MAX


def test_a_checkpoint_that_fails_is_told_and_tried_again(
    tmp_path: Path, opened: Callable[[str], Journal], capfd: pytest.CaptureFixture[str]
) -> None:
    journal = opened("crash")
    journal.checkpoints = Checkpoints(tmp_path / "none" / "journal.db", journal.sql, "crash")
    for _ in range(2):
        journal.commit(checkpoints.PAGES)
        until(lambda: "no checkpoint" in capfd.readouterr().err, what="a word about it")


def test_much_is_sent_to_the_disk_before_it_is_synced(
    opened: Callable[[str], Journal], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite syncs all that it has moved at once; a commit that comes then waits for all of it."""
    journal = opened("power")
    sent: list[tuple[int, int]] = []

    def note(path: Path) -> None:
        write_out(path)
        sent.append((journal.moved_bytes, journal.log_bytes))

    monkeypatch.setattr(checkpoints, "write_out", note)
    monkeypatch.setattr(checkpoints, "NEWER_SECONDS_MAX", 20.0)
    journal.commit(checkpoints.PAGES)
    assert not sent, "what is little is moved at once"
    journal.commit(2 * checkpoints.PAGES_AT_ONCE)

    def is_moved() -> bool:
        journal.commit()
        return bool(sent) and not journal.checkpoints._is_moving

    until(is_moved, what="the thread")
    moved, whole = sent[0]
    assert moved > checkpoints.PAGES_AT_ONCE * len(PAGE)
    assert whole > moved, "SQLite has not synced, and could need all of the log"
    numbers = journal.sql.execute("SELECT count(*) FROM pages").fetchone()
    assert numbers[0] > checkpoints.PAGES + 2 * checkpoints.PAGES_AT_ONCE


def test_what_cannot_be_sent_is_told_and_lost_for_nobody(
    opened: Callable[[str], Journal],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def fail(path: Path) -> None:
        raise OSError(5, "the disk", str(path))

    journal = opened("power")
    monkeypatch.setattr(checkpoints, "write_out", fail)
    journal.commit(2 * checkpoints.PAGES_AT_ONCE)

    def is_told() -> bool:
        journal.commit()
        return "no checkpoint: [Errno 5] the disk" in capfd.readouterr().err

    until(is_told, what="what went wrong")
    monkeypatch.undo()
    count = journal.sql.execute("SELECT count(*) FROM pages").fetchone()
    assert count[0] > 2 * checkpoints.PAGES_AT_ONCE


def test_a_file_is_written_out_with_what_it_has(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with pytest.raises(FileNotFoundError):
        write_out(file)
    file.touch()
    write_out(file)
    file.write_bytes(b"x" * (3 * PART_BYTES + 1))
    write_out(file)
    assert file.read_bytes() == b"x" * (3 * PART_BYTES + 1)


def test_who_reads_is_not_waited_for_again_and_again(
    opened: Callable[[str], Journal], monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = opened("power")
    sent: list[Path] = []
    monkeypatch.setattr(checkpoints, "write_out", sent.append)
    monkeypatch.setattr(checkpoints, "ROUNDS_MAX", 100)
    with closing(sqlite3.connect(journal.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM pages").fetchone()
        journal.commit(2 * checkpoints.PAGES_AT_ONCE)
        until(lambda: not journal.checkpoints._moved.empty(), what="the thread")
    assert 1 <= len(sent) <= 2


def test_what_somebody_kept_is_not_moved_at_once_when_he_ends(
    opened: Callable[[str], Journal], monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = opened("power")
    sent: list[Path] = []
    with closing(
        sqlite3.connect(journal.path, isolation_level=None, check_same_thread=False)
    ) as reader:

        def and_he_ends(path: Path) -> None:
            sent.append(path)
            if len(sent) == 2:
                reader.execute("COMMIT")

        monkeypatch.setattr(checkpoints, "write_out", and_he_ends)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM pages").fetchone()
        journal.commit(2 * checkpoints.PAGES_AT_ONCE)
        until(lambda: not journal.checkpoints._moved.empty(), what="the thread")
    assert journal.moved_bytes < checkpoints.PAGES_AT_ONCE * 4_096
    journal.commit(checkpoints.PAGES)
    journal.commit()
    until(lambda: journal.moved_bytes > 2 * checkpoints.PAGES_AT_ONCE * 4_000, what="the next time")
    until(lambda: len(sent) > 2, what="a little at a time")
