"""Reads one scope of a journal record by record: its chain of digests, and what is chained."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from ..core import records as r
from . import journal_schema as schema
from .check_report import Report, place_of
from .ports import StoredRecord


def chained(
    sql: sqlite3.Connection, scope: str, report: Report
) -> Iterator[tuple[StoredRecord, bytes]]:
    """The records of a scope in their order, each with the digest of the contents beside it.

    A record that does not follow from the one before it is a finding, and read all the same; one
    that cannot be read at all is a finding and left out.
    """
    place = place_of(scope)
    previous = b""
    rows = sql.execute(
        "SELECT n, at_ns, body, contents, chain FROM records WHERE scope = ? ORDER BY n", (scope,)
    )
    for number, at_ns, body, rest, chain in rows:
        report.records += 1
        try:
            expected = schema.link(previous, number, at_ns, scope, body, rest)
        except TypeError:
            report.add(place, number, "a field of this record is of a kind that none is written as")
            previous = chain if isinstance(chain, bytes) else b""
            continue
        if chain != expected:
            # Those after it are compared with what is written here, so each change is told once.
            text = "the chain of digests is broken: it or the record before it is not as written"
            report.add(place, number, text, expected, chain)
        previous = chain
        record = _unpacked(place, number, body, report)
        if record is not None:
            yield StoredRecord(number, at_ns, record), rest


def _unpacked(place: str, number: int, body: bytes, report: Report) -> r.Record | None:
    try:
        return schema.unpack_record(body)
    except ValueError as error:
        report.add(place, number, f"it cannot be read ({error})")
        return None
