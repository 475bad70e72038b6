"""A journal as it is at one moment, for those who only look: check and export.

It needs no supervisor and disturbs none: a journal that is written meanwhile goes on, and this
moment stays as it was until the snapshot is closed (the write-ahead log cannot be shortened for so
long).
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Final

from ...protocol.errors import JournalError
from . import journal_schema as schema
from .sqlite_reading import SqliteReading

_WAIT_SECONDS: Final = 5.0


class Snapshot(SqliteReading):
    """The half of the store that changes nothing, on one moment of a journal.

    Raises:
        JournalError: there is no journal, or it cannot be read as one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise JournalError(
                f"{path} is not there; name the state directory of a supervisor with --state DIR"
            )
        try:
            self._sql = self._opened()
        except sqlite3.Error as error:
            raise self._unreadable(error) from None
        try:
            self._refuse_strangers()
        except sqlite3.Error as error:
            self._sql.close()
            raise self._unreadable(error) from None
        except JournalError:
            self._sql.close()
            raise

    @property
    def sql(self) -> sqlite3.Connection:
        """For questions that only those who look have."""
        return self._sql

    def _opened(self) -> sqlite3.Connection:
        uri = self.path.absolute().as_uri()
        try:
            return _begun(f"{uri}?mode=ro")
        except sqlite3.OperationalError:
            # On a disk that cannot be written, the index of the log cannot be made. Without a log
            # there is nothing to be indexed, and nobody who could write.
            log = self.path.with_name(f"{self.path.name}-wal")
            if log.exists() and log.stat().st_size:
                raise
        return _begun(f"{uri}?mode=ro&immutable=1")

    def _refuse_strangers(self) -> None:
        if self._one("PRAGMA application_id") != schema.APPLICATION_ID:
            raise JournalError(
                f"{self.path} is a database, but not a journal of Tidemark; "
                "name the state directory of a supervisor with --state DIR"
            )
        version = self._one("PRAGMA user_version")
        if version > schema.JOURNAL_VERSION:
            raise JournalError(
                f"{self.path} was written by a newer Tidemark (journal version {version}, this one "
                f"reads up to {schema.JOURNAL_VERSION}); upgrade tidemark"
            )

    def _unreadable(self, error: sqlite3.Error) -> JournalError:
        return JournalError(
            f"{self.path} cannot be read as a journal ({error}); "
            "restore the state directory from a backup, or name another one"
        )

    def close(self) -> None:
        """Let the moment go."""
        self._sql.close()

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _begun(uri: str) -> sqlite3.Connection:
    sql = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_WAIT_SECONDS)
    # Damaged text is still to be told from what should be there.
    sql.text_factory = lambda text: text.decode(errors="replace")
    try:
        sql.execute("BEGIN")
        sql.execute("SELECT count(*) FROM sqlite_master").fetchone()  # from now on it stands still
    except sqlite3.Error:
        sql.close()
        raise
    return sql
