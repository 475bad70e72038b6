"""One cell's history as values that JSON has: every record, and the contents beside it.

Text stays text. Bytes are text where they are text, and else an object with the one key "base64".
Digests are hexadecimal. What a user gave (inputs, arguments, results, written values) is decoded.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

from ...protocol import values
from ...protocol.errors import CellNotFoundError
from ...protocol.ids import Incarnation, RequestRef, is_cell_id
from ...protocol.packed import InputKind
from ..core import records as r
from . import journal_schema as schema
from .mentions import KIND_NAMES, Mention, Mentions
from .snapshot import Snapshot

_WORD: Final = re.compile(r"(?<!^)(?=[A-Z])")
_DIGESTS: Final = frozenset({"digest", "ask_digest"})
_PLAIN: Final = frozenset({"inputs", "value"})  # packed plain data


def exported(snapshot: Snapshot, cell: str) -> Iterator[dict[str, Any]]:
    """One object for each record of the cell, oldest first.

    Raises:
        CellNotFoundError: this journal has no such cell.
        ValueError, NotPlainData: a record or a content cannot be read.
    """
    if snapshot.sql.execute("SELECT 1 FROM cells WHERE id = ?", (cell,)).fetchone() is None:
        form = "" if is_cell_id(cell) else " (and no cell could have this id)"
        raise CellNotFoundError(
            f"{snapshot.path} has no cell {cell!r}{form}; it was never there, or was removed when "
            "its time had come; `tidemark ps` lists those of a running supervisor",
            cell_id=cell,
        )
    mentions = Mentions()
    rows = snapshot.sql.execute(
        "SELECT n, at_ns, body, chain FROM records WHERE scope = ? ORDER BY n", (cell,)
    )
    for number, at_ns, body, chain in rows:
        record = schema.unpack_record(body)
        yield {
            "cell": cell,
            "number": number,
            "at_ns": at_ns,
            "time": datetime.fromtimestamp(at_ns / 1e9, UTC).isoformat(),
            "kind": _WORD.sub(" ", type(record).__name__).lower(),
            "record": _fields(record),
            "contents": [_content(snapshot, cell, each) for each in mentions.of(record)],
            "chain": chain.hex(),
        }


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: _field(field.name, getattr(value, field.name)) for field in fields(value)}


def _field(name: str, value: Any) -> Any:
    if isinstance(value, bytes):
        if name in _DIGESTS:
            return value.hex()
        return _json(values.decode(value)) if name in _PLAIN else _json(value)
    if isinstance(value, (Incarnation, RequestRef)):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [_field(name, part) for part in value]
    if is_dataclass(value):
        kind = _WORD.sub(" ", type(value).__name__).lower()
        return {"step": kind, **_fields(value)} if name == "steps" else _fields(value)
    return value


def _json(value: Any) -> Any:
    """Plain data as JSON has it."""
    if isinstance(value, dict):
        return {key: _json(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(part) for part in value]
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"base64": b2a_base64(value, newline=False).decode("ascii")}
    return value


def _content(snapshot: Snapshot, cell: str, mention: Mention) -> dict[str, Any]:
    shown: dict[str, Any] = {"kind": KIND_NAMES[mention.kind], "number": mention.number}
    bodies = snapshot.contents(cell, mention.kind, mention.number, mention.number + 1)
    if not bodies:
        return {**shown, "removed": True}
    return {**shown, **_DECODED[mention.kind](bodies[0])}


def _output(body: bytes) -> dict[str, Any]:
    output = schema.unpack_output(body)
    shown: dict[str, Any] = {"type": output.kind.value, "content": output.content}
    return shown if output.detail is None else {**shown, "detail": output.detail}


def _arguments(body: bytes) -> dict[str, Any]:
    return {"value": _json(values.decode(body))}


def _input(body: bytes) -> dict[str, Any]:
    packed = schema.unpack_input(body)
    shown: dict[str, Any] = {"type": packed.kind.value, "stamp_ns": packed.stamp_ns}
    if packed.kind is InputKind.TIMER:
        return {**shown, "due_ns": packed.due_ns}
    shown["call"] = packed.call
    if packed.kind is InputKind.ERROR:
        return {**shown, "message": packed.message, "unknown": packed.unknown}
    return {**shown, "value": _json(values.decode(packed.content))}


def _written(body: bytes) -> dict[str, Any]:
    key, content = schema.unpack_write(body)
    if content is None:
        return {"key": key, "deleted": True}
    return {"key": key, "value": _json(values.decode(content))}


_DECODED: Final = {
    r.OUTPUT: _output,
    r.ARGUMENTS: _arguments,
    r.INPUT: _input,
    r.WRITE: _written,
}
