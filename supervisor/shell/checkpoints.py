"""Moves what was committed from SQLite's log into its database, beside the beats.

By itself SQLite does this in the commit that fills the log, and one beat in a hundred waits for
thousands of pages and two syncs; on a busy disk, for seconds. Here a thread with a connection of
its own does it while commits go on. A log that is written all the time is never found at its end,
so the last few pages are moved by the one who writes: then the log begins again at its front,
stays small, and a commit need not make its file longer.
"""

from __future__ import annotations

import queue
import sqlite3
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Final

from ...protocol.classes import dataclass
from .paced_writing import write_out
from .precedence import go_along

PAGES: Final = 1_000  # SQLite's own measure of a log that is worth moving
LAST_PAGES_MAX: Final = 128  # that a beat moves
LOG_PAGES_MAX: Final = 65_536  # 256 MiB; then a beat moves what is left, whatever it takes
LOG_BYTES_KEPT: Final = 16 * 1024 * 1024  # of a log that was longer once
END_SECONDS_MAX: Final = 10.0
PAGES_AT_ONCE: Final = 2_048  # 8 MiB: more is sent to the disk a little at a time
NO_MORE: Final = -1
ROUNDS_MAX: Final = 8  # of moving, each what was written during the one before
NEWER_SECONDS_MAX: Final = 0.05  # when nothing is committed meanwhile, nobody waits for the disk


@dataclass(frozen=True, slots=True)
class Log:
    """SQLite's log after something of it was moved: its pages, and those that are still to move."""

    pages: int
    left: int


class Checkpoints:
    """Of one journal, for the thread that writes it. Owns the moving thread.

    What was written is guessed, as SQLite does not tell it for nothing: the guess decides when
    something is moved, never what.
    """

    def __init__(self, path: Path, sql: sqlite3.Connection, durability: str) -> None:
        """`sql` is the writer's connection; it makes no checkpoints by itself from now on."""
        self._path, self._sql = path, sql
        self._synchronous = int(sql.execute("PRAGMA synchronous").fetchone()[0])
        # Where commits are synced, the few pages cost a beat what one more commit does. Where they
        # are not, a beat never waits for the disk while that can be helped.
        self._ends_early = durability == "power"
        self._pages = 0
        self._is_moving = False
        self._left = 0  # pages that are to be moved
        self._asked: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._moved: queue.SimpleQueue[Log | None] = queue.SimpleQueue()
        self._newer = threading.Event()  # something was committed
        self._thread: threading.Thread | None = None
        sql.execute("PRAGMA wal_autocheckpoint = 0")
        sql.execute(f"PRAGMA journal_size_limit = {LOG_BYTES_KEPT}")

    def committed(self, pages: int) -> None:
        """A commit was made that wrote about so many pages. Takes a moment, seldom more."""
        self._pages += pages
        if self._is_moving:
            self._newer.set()
        if not self._moved.empty():
            self._has_moved(self._moved.get())
        if self._pages >= PAGES and not self._is_moving:
            self._ask()

    def _ask(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="checkpoints", daemon=True)
            self._thread.start()
        self._left += self._pages
        self._pages, self._is_moving = 0, True
        self._asked.put(self._left)

    def _has_moved(self, log: Log | None) -> None:
        """The thread is done with what the log held when it began; a rest may be left."""
        self._is_moving = False
        if log is not None:
            self._left = log.left
        if log is None or log.left > LAST_PAGES_MAX:
            return  # somebody who reads has hindered it: however long the log is, no beat moves it
        is_short = self._ends_early and self._pages <= LAST_PAGES_MAX
        if is_short or log.pages > LOG_PAGES_MAX:
            try:
                _move(self._sql)
            except sqlite3.Error as error:
                _tell(error)
            self._pages = 0

    def close(self) -> None:
        """Wait for what is being moved, at most 10 s; nothing is moved afterwards."""
        if self._thread is not None:
            self._asked.put(NO_MORE)
            self._thread.join(END_SECONDS_MAX)

    # -- the moving thread ------------------------------------------------------------------------

    def _serve(self) -> None:
        go_along()  # a log that is written faster than it is moved grows
        while (pages := self._asked.get()) != NO_MORE:
            log = None
            try:
                with closing(self._connect()) as sql:
                    sql.execute(f"PRAGMA synchronous = {self._synchronous}")
                    log = self._move_most(sql) if pages > PAGES_AT_ONCE else None
                    log = log or _move(sql)
            except (sqlite3.Error, OSError) as error:
                _tell(error)
            self._moved.put(log)

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, isolation_level=None, timeout=5.0)

    def _move_most(self, sql: sqlite3.Connection) -> Log | None:
        """Leave little to be moved; what there is, if somebody else who reads keeps it there.

        He may have ended now, but to move all of that at once is what is not to be done.
        """
        with closing(self._connect()) as reader:
            moved = -1
            for _ in range(ROUNDS_MAX):
                log = self._move_some(sql, reader)
                if log.left <= PAGES:
                    return None
                if log.pages - log.left == moved:
                    return log
                moved = log.pages - log.left
        return None

    def _move_some(self, sql: sqlite3.Connection, reader: sqlite3.Connection) -> Log:
        """Move what there is, and send it to the disk a little at a time.

        SQLite syncs its database when it has moved all of a log, and only then: whoever reads an
        older moment than the newest keeps it from that. (What it has moved so is in the log still,
        which is not begun anew before that sync.)
        """
        reader.execute("BEGIN")
        reader.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()
        try:
            self._newer.clear()
            self._newer.wait(NEWER_SECONDS_MAX)
            log = _move(sql)
            write_out(self._path)
        finally:
            reader.execute("COMMIT")
        return log


def _move(sql: sqlite3.Connection) -> Log:
    """Move what nobody hinders."""
    _, pages, moved = sql.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return Log(int(pages), int(pages) - int(moved))


def _tell(error: sqlite3.Error | OSError) -> None:
    # Nothing is lost, all of it is in the log. It is tried again; what is wrong with the disk the
    # next commit will meet, too.
    print(f"tidemark supervisor: no checkpoint: {error}", file=sys.stderr)
