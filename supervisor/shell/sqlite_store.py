"""The journal in SQLite: one transaction per beat, each of which checks its epoch."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from ...protocol.errors import JournalError
from ...protocol.hashing import blake2b
from ...protocol.ids import SECRET_BYTES
from ..core import records as r
from ..core.facts import EventMark
from . import journal_schema as schema
from . import retention
from .checkpoints import Checkpoints
from .journal_rows import Rows
from .kept_output import Tail, acknowledged, event_of, trim
from .ports import Fenced, JournalBroken, JournalFull
from .sqlite_reading import SqliteReading

CHAINS_MAX: Final = 20_000
PAGES_OF_REMOVED: Final = 10  # that go into the log for a finished cell; a guess, as for commits
# Some builds of SQLite fill what is deleted with zeros, and so write each page of it once more.
# With the usual 2 MiB of pages in memory a busy writer reads back what it has written.
SETTINGS: Final = ("journal_mode = WAL", "secure_delete = FAST", "cache_size = -8192")
SYNCHRONOUS: Final = {"power": "FULL", "crash": "NORMAL"}


class SqliteStore(SqliteReading):
    """See `ports.Store`. One connection, used by one thread; another process may only read.

    With `in_thread` a second one moves the log into the database (see `checkpoints`).

    `durability` "power": a commit survives a power cut (WAL, synchronous=FULL); "crash": the death
    of any process.
    """

    def __init__(self, path: Path, durability: str, *, in_thread: bool = False) -> None:
        """Open or make the journal, and begin a new epoch.

        Raises:
            JournalError: not a journal, one of a newer version, or not writable.
        """
        self.path = path
        self._chains: dict[str, bytes] = {}
        self._tails: dict[str, Tail] = {}
        self._newest: dict[str, EventMark] = {}  # of each cell its last event
        try:
            if not path.exists():  # what SQLite puts beside it gets the same mode
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._sql = sqlite3.connect(path, isolation_level=None, timeout=5.0)
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(error) from None
        try:
            self._prepare(durability)
            self._checkpoints = Checkpoints(path, self._sql, durability) if in_thread else None
            self.journal_id, self.secret = self._identity()
            self._epoch = self._new_epoch()
            kept = int(self._one("SELECT value FROM meta WHERE key = 'last'") or 0)
            self._last = max(kept, int(self._one("SELECT coalesce(max(n), 0) FROM records")))
        except sqlite3.Error as error:
            self._sql.close()
            raise self._unusable(error) from None
        except JournalError:
            self._sql.close()  # it leaves nothing beside a journal that is not ours
            raise

    def _unusable(self, error: Exception) -> JournalError:
        what = "move it away or name another state directory"
        if _is_full(error):
            what = "free space on its disk, and start again: it is whole"
        return JournalError(f"{self.path} cannot be used as a journal ({error}); {what}")

    def _prepare(self, durability: str) -> None:
        application = self._one("PRAGMA application_id")
        version = self._one("PRAGMA user_version")
        tables = self._one("SELECT count(*) FROM sqlite_master")
        if tables and application != schema.APPLICATION_ID:
            raise JournalError(
                f"{self.path} is a database, but not a journal of Tidemark; "
                "move it away or name another state directory"
            )
        if version > schema.JOURNAL_VERSION:
            raise JournalError(
                f"{self.path} was written by a newer Tidemark (journal version {version}, this one "
                f"reads up to {schema.JOURNAL_VERSION}); upgrade tidemark"
            )
        for setting in (*SETTINGS, f"synchronous = {SYNCHRONOUS[durability]}"):
            self._sql.execute(f"PRAGMA {setting}")
        if not tables:
            statements = f"BEGIN IMMEDIATE; {schema.SCHEMA}"
            self._sql.executescript(
                f"{statements} PRAGMA application_id = {schema.APPLICATION_ID}; "
                f"PRAGMA user_version = {schema.JOURNAL_VERSION}; COMMIT;"
            )
        for statement in schema.INDEXES:
            self._sql.execute(statement)

    def _identity(self) -> tuple[int, bytes]:
        self._sql.execute(
            "INSERT OR IGNORE INTO meta VALUES ('journal', ?), ('secret', ?), ('epoch', 0), "
            "('born_ns', ?)",
            (int.from_bytes(os.urandom(4), "big"), os.urandom(SECRET_BYTES), time.time_ns()),
        )
        journal = self._one("SELECT value FROM meta WHERE key = 'journal'")
        secret = self._one("SELECT value FROM meta WHERE key = 'secret'")
        return int(journal), bytes(secret)

    def _new_epoch(self) -> int:
        self._sql.execute("BEGIN IMMEDIATE")
        self._sql.execute("UPDATE meta SET value = value + 1 WHERE key = 'epoch'")
        epoch = self._one("SELECT value FROM meta WHERE key = 'epoch'")
        self._sql.execute("COMMIT")
        return int(epoch)

    # -- writing ----------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        return self._epoch

    @property
    def last_number(self) -> int:
        return self._last

    @property
    def last_at_ns(self) -> int:
        """When the last record was written: the clock must not begin before it."""
        return int(self._one("SELECT at_ns FROM records ORDER BY n DESC LIMIT 1") or 0)

    def commit(self, entries: Sequence[r.Entry], at_ns: int) -> int:
        number = self._last
        chains: dict[str, bytes] = {}
        marks = {e.scope: mark for e in entries if (mark := event_of(e.record))}
        with self._transaction():
            rows = Rows(self._sql, lambda cell: marks.get(cell) or self._newest.get(cell))
            for entry in entries:
                number += 1
                self._write(rows, number, at_ns, entry, chains)
            rows.flush()
            tails = self._trim(entries)
        kept: tuple[dict[str, Any], ...] = (self._chains, self._tails, self._newest)
        for known in kept:
            if len(known) > CHAINS_MAX:
                known.clear()  # it is read back when it is needed
        self._newest.update(marks)
        self._chains.update(chains)
        self._tails.update(tails)
        self._last = number
        if self._checkpoints is not None:
            self._checkpoints.committed(rows.written)
        return number

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing, in our epoch only."""
        try:
            self._sql.execute("BEGIN IMMEDIATE")
            if int(self._one("SELECT value FROM meta WHERE key = 'epoch'")) != self._epoch:
                raise Fenced("a newer supervisor has taken this journal")
            yield
            self._sql.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise (JournalFull if _is_full(error) else JournalBroken)(str(error)) from error
        except BaseException:
            self._roll_back()
            raise

    def retire(self, now_ns: int) -> list[str]:
        try:
            cells = retention.retired(self._sql, now_ns)
        except sqlite3.Error as error:
            raise JournalBroken(str(error)) from error
        if cells:
            with self._transaction():
                retention.remove(self._sql, cells, now_ns)
                # Numbers are never used again, also when the newest records are gone.
                self._sql.execute("INSERT OR REPLACE INTO meta VALUES ('last', ?)", (self._last,))
            if self._checkpoints is not None:
                self._checkpoints.committed(PAGES_OF_REMOVED * len(cells))
            for cell in cells:
                for known in (self._chains, self._tails, self._newest):
                    known.pop(cell, None)
        return cells

    def _trim(self, entries: Sequence[r.Entry]) -> dict[str, Tail]:
        """Let go of old output of the cells of which something is acknowledged now."""
        seen = {e.scope: number for e in entries if (number := acknowledged(e.record))}
        tails = {}
        for cell, number in seen.items():
            tail = trim(self._sql, cell, number, self._tails.get(cell), self._newest.get(cell))
            if tail is not None:
                tails[cell] = tail
        return tails

    def _write(
        self, rows: Rows, number: int, at_ns: int, entry: r.Entry, chains: dict[str, bytes]
    ) -> None:
        body = schema.pack_record(entry.record)
        rest = b""
        if entry.contents:
            hasher = blake2b(digest_size=schema.CHAIN_BYTES)
            for content in entry.contents:
                hasher.update(content.body)
            rest = hasher.digest()
        scope = entry.scope
        previous = chains.get(scope) or self._chain(scope)
        chain = schema.link(previous, number, at_ns, scope, body, rest)
        chains[scope] = chain
        rows.records.append((number, scope, at_ns, body, rest, chain))
        for content in entry.contents:
            rows.contents.append((content.cell, content.kind, content.number, content.body))
        rows.project(entry.record, number, at_ns, entry.scope)

    def _chain(self, scope: str) -> bytes:
        query = "SELECT chain FROM records WHERE scope = ? ORDER BY n DESC LIMIT 1"
        known = self._chains.get(scope)
        return (self._one(query, scope) or b"") if known is None else known

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):  # SQLite may have rolled back by itself
            self._sql.execute("ROLLBACK")

    def close(self) -> None:
        if self._checkpoints is not None:
            self._checkpoints.close()
        self._sql.close()


def _is_full(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", 0)
    # The second is of the log's index, which is a file, too.
    return bool(code & 0xFF == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_SHMSIZE)
