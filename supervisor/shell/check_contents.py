"""Compares the contents of one cell with the records that mention them."""

from __future__ import annotations

import sqlite3

from ...protocol.hashing import blake2b
from ..core import records as r
from ..core.facts import Phase
from . import journal_schema as schema
from .check_report import Report
from .mentions import KIND_NAMES, Mention, Mentions

_BODY = "SELECT body FROM contents WHERE cell = ? AND kind = ? AND number = ?"


class ContentsCheck:
    """Follows a cell's records; `finish()` tells what only their end can tell.

    Attributes:
        first_output: the oldest output item that is there; those before it were removed.
    """

    def __init__(self, sql: sqlite3.Connection, cell: str, place: str, report: Report) -> None:
        self._sql = sql
        self._cell = cell
        self._place = place
        self._report = report
        self.mentions = Mentions()
        self._found: dict[str, int] = {}
        self._unwritten: list[tuple[int, Mention]] = []
        self._carried = b""
        query = "SELECT min(number) FROM contents WHERE cell = ? AND kind = ?"
        self.first_output: int | None = sql.execute(query, (cell, r.OUTPUT)).fetchone()[0]

    def take(self, number: int, record: r.Record, rest: bytes) -> None:
        """The next record, and the digest of the contents that were written with it."""
        mentioned = self.mentions.of(record)
        if not mentioned:
            # A confirmation that came with more is written before what the worker said.
            self._carried = rest or self._carried
            return
        digest, self._carried = rest or self._carried, b""
        bodies = [self._body(mention) for mention in mentioned]
        present = [body for body in bodies if body is not None]
        if len(present) == len(bodies):
            self._together(number, mentioned, present, digest)
            return
        for mention, body in zip(mentioned, bodies, strict=True):
            if body is None:
                self._missing(number, mention)
            else:
                self._alone(number, mention, body)

    def _body(self, mention: Mention) -> bytes | None:
        if mention.kind == r.OUTPUT and mention.number < (self.first_output or 0):
            return None
        row = self._sql.execute(_BODY, (self._cell, mention.kind, mention.number)).fetchone()
        if row is None:
            return None
        self._found[mention.kind] = self._found.get(mention.kind, 0) + 1
        self._report.contents += 1
        body = row[0]
        return body if isinstance(body, bytes) else str(body).encode()

    def _together(
        self, number: int, mentioned: list[Mention], bodies: list[bytes], digest: bytes
    ) -> None:
        hasher = blake2b(digest_size=schema.CHAIN_BYTES)
        for body in bodies:
            hasher.update(body)
        if hasher.digest() != digest:
            names = ", ".join(str(mention) for mention in mentioned[:5])
            more = f" and {len(mentioned) - 5} more" if len(mentioned) > 5 else ""
            text = f"the contents beside it ({names}{more}) are not those of its digest"
            self._report.add(self._place, number, text, digest, hasher.digest())

    def _alone(self, number: int, mention: Mention, body: bytes) -> None:
        """Others that were written with it are gone, so their common digest tells nothing."""
        try:
            is_true = mention.is_true_of(body)
        except ValueError as error:
            self._report.add(self._place, number, f"its {mention} cannot be read ({error})")
            return
        if not is_true:
            text = f"its {mention} is not that of the digest in the record"
            self._report.add(self._place, number, text)

    def _missing(self, number: int, mention: Mention) -> None:
        if mention.kind == r.OUTPUT and self._was_removed(mention.number):
            self._report.removed += 1
        elif mention.kind == r.WRITE:
            self._unwritten.append((number, mention))  # right if the cell has ended
        else:
            self._report.add(self._place, number, f"its {mention} is not there")

    def _was_removed(self, number: int) -> bool:
        return self.first_output is None or number < self.first_output

    def finish(self, phase: Phase | None) -> int:
        """Everything was taken. Returns where the output begins that is kept."""
        finished = phase is Phase.FINISHED
        if finished:
            self._report.removed += len(self._unwritten)
        else:
            for number, mention in self._unwritten:
                self._report.add(self._place, number, f"its {mention} is not there")
        rows = self._sql.execute(
            "SELECT kind, count(*) FROM contents WHERE cell = ? GROUP BY kind", (self._cell,)
        )
        for kind, count in rows:
            name = KIND_NAMES.get(kind, f"content of kind {kind!r}")
            expected = 0 if finished and kind == r.WRITE else self._found.get(kind, 0)
            problem = f"the number of contents ({name})"
            self._report.compare(self._place, 0, problem, expected, count)
        return self.mentions.outputs if self.first_output is None else self.first_output
