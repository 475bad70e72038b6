"""Compares a session's stored values with the records that have written them."""

from __future__ import annotations

import sqlite3

from ...protocol.classes import dataclass
from ..core import records as r
from . import journal_schema as schema
from .check_report import Report, place_of


@dataclass(frozen=True, slots=True)
class Written:
    """One version of one value: `size` with its key, None where it was deleted.

    `digest` is None where a cell has written it: its contents go when it ends.
    """

    size: int | None
    digest: bytes | None


class StoredCheck:
    """Follows the records of one session; `finish` compares every version that is kept."""

    def __init__(self, session: str, report: Report) -> None:
        self._session, self._report = session, report
        self._place = place_of(f"session:{session}")
        self._version = 0
        self._values: dict[str, dict[int, Written]] = {}

    def take(self, number: int, record: r.StoredChanged) -> None:
        """The next version."""
        problem = "the version of the stored values"
        self._report.compare(self._place, number, problem, self._version + 1, record.version)
        self._version = record.version
        digest = None if record.cell else schema.digest(record.content)
        for key, size in record.sizes:
            self._values.setdefault(key, {})[record.version] = Written(size, digest)

    def finish(self, sql: sqlite3.Connection) -> None:
        """Everything was taken."""
        rows = sql.execute(
            "SELECT key, version, content FROM stored WHERE session = ? ORDER BY key, version",
            (self._session,),
        )
        newest: dict[str, int] = {}
        kept: set[tuple[str, int]] = set()
        for key, version, content in rows:
            newest[key] = version
            kept.add((key, version))
            self._compare(key, version, content)
        self._compare_readers(sql, kept)
        for key, versions in self._values.items():
            last = max(versions)
            # A key that was deleted, and that no cell reads any more, has left nothing.
            if versions[last].size is not None or key in newest:
                problem = f"the newest version of stored value {key!r}"
                self._report.compare(self._place, 0, problem, last, newest.get(key))

    def _compare_readers(self, sql: sqlite3.Connection, kept: set[tuple[str, int]]) -> None:
        """What unfinished cells may still read is there."""
        query = "SELECT DISTINCT stored_version FROM cells WHERE session = ? AND state = ''"
        for (reads,) in sql.execute(query, (self._session,)):
            for key, versions in self._values.items():
                read = max((version for version in versions if version <= reads), default=0)
                if read and versions[read].size is not None and (key, read) not in kept:
                    text = f"version {read} of stored value {key!r}, which a cell reads, is gone"
                    self._report.add(self._place, 0, text)

    def _compare(self, key: str, version: int, content: object) -> None:
        if key not in self._values:
            text = f"stored value {key!r} is there, and no record has written it"
            self._report.add(self._place, 0, text)
            return
        written = self._values[key].get(version)
        if written is None:
            return  # if it is the newest, that is told
        if content is not None and not isinstance(content, bytes):
            self._report.add(self._place, 0, f"stored value {key!r} is no bytes")
            return
        found = None if content is None else len(key.encode()) + len(content)
        problem = f"the size of stored value {key!r}, version {version}"
        self._report.compare(self._place, 0, problem, written.size, found)
        digest = written.digest
        if digest is not None and found == written.size and schema.digest(content or b"") != digest:
            text = f"stored value {key!r}, version {version}, is not that of its record"
            self._report.add(self._place, 0, text)
