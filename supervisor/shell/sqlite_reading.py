"""Questions to the journal; see `ports.Store`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

from ...protocol.codec import BadFrame
from ...protocol.packed import ToolSpec
from ..core import records as r
from . import journal_schema as schema
from .ports import CellSummary, JournalBroken, StoredEvent, StoredRecord


class SqliteReading:
    """The half of the store that changes nothing."""

    _sql: sqlite3.Connection

    def _one(self, query: str, *values: Any) -> Any:
        row = self._sql.execute(query, values).fetchone()
        return None if row is None else row[0]

    def _records(self, query: str, *values: Any) -> list[StoredRecord]:
        rows = self._sql.execute(query, values).fetchall()
        return [StoredRecord(n, at_ns, schema.unpack_record(body)) for n, at_ns, body in rows]

    def session_records(self) -> Iterator[StoredRecord]:
        query = (
            "SELECT n, at_ns, body FROM records WHERE scope = '' "
            "OR (scope >= 'session:' AND scope < 'session;') ORDER BY n"
        )
        for number, at_ns, body in self._sql.execute(query):  # not all of them at once in memory
            yield StoredRecord(number, at_ns, schema.unpack_record(body))

    def unfinished_cells(self) -> Iterator[str]:
        query = (
            "SELECT id FROM cells WHERE state = '' "
            "UNION SELECT cell FROM notices WHERE made > delivered ORDER BY 1"
        )
        for (name,) in self._sql.execute(query).fetchall():
            yield name

    def cell_records(self, cell: str, after: int = 0, limit: int = -1) -> list[StoredRecord]:
        query = "SELECT n, at_ns, body FROM records WHERE scope = ? AND n > ? ORDER BY n LIMIT ?"
        try:
            return self._records(query, cell, after, limit)
        except (BadFrame, sqlite3.DatabaseError) as error:
            raise r.Unreadable(f"records of cell {cell} cannot be read: {error}") from error

    def created(self, cell: str) -> r.CellCreated:
        first = self.cell_records(cell, limit=1)[0].record
        if not isinstance(first, r.CellCreated):
            raise JournalBroken(f"the first record of {cell} does not create it")
        return first

    def tools(self, attachment: int) -> tuple[ToolSpec, ...]:
        query = (
            "SELECT r.n, r.at_ns, r.body FROM attachments a JOIN records r ON r.n = a.n "
            "WHERE a.number = ?"
        )
        found = self._records(query, attachment)
        record = found[0].record if found else None
        return record.tools if isinstance(record, r.AttachmentOpened) else ()

    def contents(self, cell: str, kind: str, first: int, stop: int) -> list[bytes]:
        rows = self._sql.execute(
            "SELECT body FROM contents WHERE cell = ? AND kind = ? AND number >= ? AND number < ? "
            "ORDER BY number",
            (cell, kind, first, stop),
        )
        return [body for (body,) in rows]

    def key_owner(self, session: str, key: str) -> tuple[str, bytes] | None:
        query = "SELECT cell, digest FROM keys WHERE session = ? AND key = ?"
        row = self._sql.execute(query, (session, key)).fetchone()
        return None if row is None else (row[0], row[1])

    def cell_events(self, cell: str, after: int, limit: int) -> list[StoredEvent]:
        query = (
            "SELECT cell, n, mark FROM events WHERE cell = ? AND number > ? ORDER BY number LIMIT ?"
        )
        return self._events(query, cell, after, limit)

    def session_events(self, session: str, after: int, limit: int) -> list[StoredEvent]:
        query = "SELECT cell, n, mark FROM events WHERE session = ? AND n > ? ORDER BY n LIMIT ?"
        return self._events(query, session, after, limit)

    def _events(self, query: str, *values: Any) -> list[StoredEvent]:
        rows = self._sql.execute(query, values).fetchall()
        return [StoredEvent(cell, n, schema.unpack_mark(mark)) for cell, n, mark in rows]

    def cells(self, session: str, state: str, limit: int, before: str) -> list[CellSummary]:
        clauses, values = ["1"], []
        for clause, value in (("session = ?", session), ("id < ?", before)):
            if value:
                clauses.append(clause)
                values.append(value)
        if state:
            clauses.append("state = ?")
            values.append("" if state == "unfinished" else state)
        query = (
            "SELECT id, session, name, kind, state, generation, created_us, since_ns FROM cells "
            f"WHERE {' AND '.join(clauses)} ORDER BY id DESC LIMIT ?"
        )
        return [CellSummary(*row) for row in self._sql.execute(query, (*values, limit))]

    def stored(self, session: str, key: str, version: int) -> bytes | None:
        content: bytes | None = self._one(
            "SELECT content FROM stored WHERE session = ? AND key = ? AND version <= ? "
            "ORDER BY version DESC LIMIT 1",
            session,
            key,
            version,
        )
        return content

    def stored_keys(self, session: str, version: int) -> list[str]:
        rows = self._sql.execute(
            "SELECT key FROM stored AS s WHERE session = :session AND content IS NOT NULL "
            "AND version = (SELECT max(version) FROM stored "
            "WHERE session = :session AND key = s.key AND version <= :version)"
            " ORDER BY key",
            {"session": session, "version": version},
        )
        return [key for (key,) in rows]
