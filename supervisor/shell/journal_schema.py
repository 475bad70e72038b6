"""The journal's tables, and how records become bytes."""

from __future__ import annotations

from typing import Any, Final

from ...protocol import codec, limits, values
from ...protocol.hashing import blake2b
from ...protocol.packed import PackedInput, PackedOutput
from ..core.facts import EventMark
from ..core.records import Record
from ..core.stream_steps import Packers

APPLICATION_ID: Final = 0x7469646D  # "tidm"
JOURNAL_VERSION: Final = 1
RECORD_BYTES_MAX: Final = 4 * limits.MESSAGE_BYTES_MAX
CHAIN_BYTES: Final = 16
SHOWN_MAX: Final = 100

# Where a row may be large (contents, events with the value of a cell, stored values) the table has
# row ids and its key is an index beside it. Without them the rows are in the key's own tree, and to
# find a place in it SQLite reads each row that it compares with, whole: with a few outputs of 4 MB
# in a journal, each commit of every other cell took 8 ms more.
SCHEMA: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE records (
    n INTEGER PRIMARY KEY, scope TEXT NOT NULL, at_ns INTEGER NOT NULL, body BLOB NOT NULL,
    contents BLOB NOT NULL, chain BLOB NOT NULL
);
CREATE INDEX records_by_scope ON records (scope, n);
CREATE TABLE contents (
    cell TEXT NOT NULL, kind TEXT NOT NULL, number INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (cell, kind, number)
);
CREATE TABLE cells (
    id TEXT PRIMARY KEY, session TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL,
    state TEXT NOT NULL, generation INTEGER NOT NULL, created_us INTEGER NOT NULL,
    since_ns INTEGER NOT NULL, stored_version INTEGER NOT NULL, seen INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX cells_by_session ON cells (session, id);
CREATE INDEX cells_finished ON cells (seen, since_ns) WHERE state <> '';
CREATE INDEX cells_unfinished ON cells (id) WHERE state = '';
CREATE TABLE notices (
    cell TEXT PRIMARY KEY, made INTEGER NOT NULL, delivered INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX notices_left ON notices (cell) WHERE made > delivered;
CREATE TABLE events (
    cell TEXT NOT NULL, number INTEGER NOT NULL, n INTEGER NOT NULL, session TEXT NOT NULL,
    mark BLOB NOT NULL, PRIMARY KEY (cell, number)
);
CREATE INDEX events_by_session ON events (session, n);
CREATE TABLE keys (
    session TEXT NOT NULL, key TEXT NOT NULL, cell TEXT NOT NULL, digest BLOB NOT NULL,
    gone_ns INTEGER, PRIMARY KEY (session, key)
) WITHOUT ROWID;
CREATE INDEX keys_by_cell ON keys (cell);
CREATE TABLE stored (
    session TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL, content BLOB,
    PRIMARY KEY (session, key, version)
);
CREATE TABLE attachments (number INTEGER PRIMARY KEY, n INTEGER NOT NULL);
"""

# Made when they are missing: journals of earlier releases have none of them.
INDEXES: Final = (
    "CREATE INDEX IF NOT EXISTS cells_reading ON cells (session, stored_version) WHERE state = ''",
    "CREATE INDEX IF NOT EXISTS keys_gone ON keys (gone_ns) WHERE gone_ns IS NOT NULL",
)


def pack_record(record: Record) -> bytes:
    """A record as the journal keeps it."""
    return codec.pack_body(record)


def unpack_record(body: bytes) -> Record:
    """What `pack_record` packed.

    Raises:
        BadFrame: the bytes are not a record of this version.
    """
    record: Record = codec.unpack_body(body, Record, RECORD_BYTES_MAX)
    return record


def pack_mark(event: EventMark) -> bytes:
    """An event without its contents."""
    return codec.pack_body(event)


def unpack_mark(body: bytes) -> EventMark:
    """What `pack_mark` packed."""
    mark: EventMark = codec.unpack_body(body, EventMark, RECORD_BYTES_MAX)
    return mark


def pack_output(output: PackedOutput) -> bytes:
    """An output item as a content."""
    return codec.pack_body(output)


def unpack_output(body: bytes) -> PackedOutput:
    """What `pack_output` packed."""
    output: PackedOutput = codec.unpack_body(body, PackedOutput, limits.MESSAGE_BYTES_MAX)
    return output


def pack_write(key: str, content: bytes | None) -> bytes:
    """A written value as a content."""
    return codec.pack_body((key, content))


def unpack_write(body: bytes) -> tuple[str, bytes | None]:
    """What `pack_write` packed.

    Raises:
        ValueError: the bytes are no written value.
    """
    match codec.unpack_plain(body, limits.MESSAGE_BYTES_MAX):
        case [str(key), bytes() | None as content]:
            return key, content
    raise ValueError("no key with a value")


def pack_input(packed: PackedInput) -> bytes:
    """An input as a content."""
    return codec.pack_body(packed)


def unpack_input(body: bytes) -> PackedInput:
    """What `pack_input` packed."""
    packed: PackedInput = codec.unpack_body(body, PackedInput, limits.MESSAGE_BYTES_MAX)
    return packed


def shown(body: bytes) -> str:
    """The beginning of an output item, for people."""
    content = unpack_output(body).content
    return repr(content[:SHOWN_MAX] + ("..." if len(content) > SHOWN_MAX else ""))


def not_plain(value: bytes) -> str:
    """Why these bytes are no plain data; empty: they are. What is in them is not kept."""
    try:
        values.decode(value)
    except values.NotPlainData as error:
        return str(error)
    return ""


def digest(value: Any) -> bytes:
    """16 bytes that tell one request or input from another."""
    return digest_of(codec.pack_body(value))


def digest_of(body: bytes) -> bytes:
    """The same of what is packed already."""
    return blake2b(body, digest_size=CHAIN_BYTES).digest()


def link(previous: bytes, number: int, at_ns: int, scope: str, body: bytes, rest: bytes) -> bytes:
    """The digest that chains a record to the one before it in its scope."""
    chain = blake2b(previous, digest_size=CHAIN_BYTES)
    chain.update(b"%d:%d:%d:" % (number, at_ns, len(scope)))
    chain.update(scope.encode())
    chain.update(body)
    chain.update(rest)
    return chain.digest()


PACKERS: Final = Packers(
    output=pack_output,
    write=pack_write,
    input=pack_input,
    not_plain=not_plain,
    digest=digest,
    digest_of=digest_of,
)
