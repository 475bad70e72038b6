"""Identifiers: how they are made, validated and ordered.

Numbers fence the past. An *epoch* is one life of the supervisor on a journal, an *incarnation* one
life of a cell's worker (it contains the epoch in which it was born, so an orphan of an earlier
supervisor can never be mistaken for a worker of this one), a *generation* one frontier of a cell.
"""

from __future__ import annotations

import re
from typing import Final

from .classes import dataclass
from .hashing import blake2b
from .limits import NAME_BYTES_MAX

TOKEN_BYTES: Final = 16
SECRET_BYTES: Final = 32

_CELL_ID: Final = re.compile(r"c[0-9a-f]{14}-[0-9a-f]{8}")
_SESSION_NAME: Final = re.compile(r"[^\x00-\x1f\x7f]{1,200}")
_TOOL_ID: Final = re.compile(r"tool-([1-9][0-9]{0,17})")


@dataclass(frozen=True, slots=True, order=True)
class Incarnation:
    """One life of a cell's worker: the epoch in which it was born, and a number within it."""

    epoch: int
    number: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.number}"


@dataclass(frozen=True, slots=True, order=True)
class RequestRef:
    """Names one request of one attachment for ever; (0, 0) names none."""

    attachment: int
    number: int

    def __bool__(self) -> bool:
        return self.attachment > 0

    def __str__(self) -> str:
        return f"{self.attachment}:{self.number}"


NO_REQUEST: Final = RequestRef(0, 0)
NO_LIFE: Final = Incarnation(0, 0)  # of a spare worker, which has no cell yet


def cell_id(created_us: int, journal: int) -> str:
    """A cell's id: sorts by creation; the journal's own number tells two state directories apart.

    Args:
        created_us: microseconds since 1970; the caller makes it rise with every cell.
        journal: 32 random bits that the journal was born with.
    """
    return f"c{created_us:014x}-{journal:08x}"


def created_us(cell: str) -> int:
    """The creation time inside a cell id, in microseconds since 1970."""
    return int(cell[1:15], 16)


def is_cell_id(text: str) -> bool:
    """Whether the text has the form of a cell id (not whether such a cell exists)."""
    return _CELL_ID.fullmatch(text) is not None


def is_session_name(text: str) -> bool:
    """Whether the text can name a session.

    1 to 200 characters, at most 256 bytes of UTF-8, none of them a control character.
    """
    if _SESSION_NAME.fullmatch(text) is None:
        return False
    try:
        return len(text.encode()) <= NAME_BYTES_MAX
    except UnicodeEncodeError:
        return False


def tool_id(number: int) -> str:
    """The id of a cell's nth tool call, as hosts and cells see it."""
    return f"tool-{number}"


def tool_number(text: str) -> int:
    """The number in a tool call's id.

    Raises:
        ValueError: the text is not such an id.
    """
    match = _TOOL_ID.fullmatch(text)
    if match is None:
        raise ValueError(f"not the id of a tool call: {text!r} (expected 'tool-N')")
    return int(match.group(1))


def call_key(cell: str, number: int) -> str:
    """A tool call's key: unique among all calls of a journal."""
    return f"{cell}/{tool_id(number)}"


def parse_call_key(key: str) -> tuple[str, int]:
    """The cell and the call number of a key.

    Raises:
        ValueError: the text is not the key of a call.
    """
    cell, _, call = key.partition("/")
    if not is_cell_id(cell):
        raise ValueError(f"not the key of a tool call: {key!r} (expected 'CELL/tool-N')")
    return cell, tool_number(call)


def worker_token(secret: bytes, cell: str, incarnation: Incarnation) -> bytes:
    """The routing id of one incarnation's connection: 16 bytes that no other worker can guess.

    Derived, not drawn, so that a restarted supervisor knows the tokens of workers that it adopts.
    It never begins with a zero byte, which libzmq keeps for ids of its own making.
    """
    return _token(secret, f"{cell}/{incarnation}")


def spare_token(secret: bytes, epoch: int, number: int) -> bytes:
    """The routing id of a worker that is made before it is known whose it will be.

    It keeps it with its cell. `number` counts from 1 within the epoch, and is in the record that
    gives it to a cell, so that this token too can be derived again.
    """
    return _token(secret, f"spare/{epoch}.{number}")


def _token(secret: bytes, text: str) -> bytes:
    digest = blake2b(text.encode(), digest_size=TOKEN_BYTES, key=secret, person=b"worker-token")
    token = digest.digest()
    return bytes([token[0] | 0x80]) + token[1:]


def cell_seed(secret: bytes, cell: str) -> bytes:
    """The 32 bytes from which a cell's randomness is drawn."""
    return blake2b(cell.encode(), digest_size=32, key=secret, person=b"cell-seed").digest()
