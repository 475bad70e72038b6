"""Arguments of the API -> requests; what a host gets wrong is refused before it is sent. Pure.

Only what has to do with form: whether a limit is kept or a name is taken, the supervisor knows.
"""

from __future__ import annotations

import keyword
import math
import unicodedata
from collections.abc import Mapping
from typing import Final

from ..protocol import values
from ..protocol.errors import LimitExceededError
from ..protocol.host_requests import (
    AskEvents,
    AskHistory,
    CreateCell,
    ListCells,
    Observe,
    Resume,
    Step,
    StoredGet,
    StoredSet,
)
from ..protocol.ids import is_session_name
from ..protocol.limits import (
    INTEGER_MAX,
    INTEGER_MIN,
    MESSAGE_BYTES_MAX,
    NAME_BYTES_MAX,
    PAGE_MAX,
    SOURCE_BYTES_MAX,
    STORED_KEY_BYTES_MAX,
    VALUE_BYTES_MAX,
    Limits,
)
from ..protocol.packed import CellKind, Stepping

_NS: Final = 1_000_000_000
# Room for the inputs and the rest of the message beside the largest source that is sent at all.
_SOURCE_SENT_MAX: Final = MESSAGE_BYTES_MAX - VALUE_BYTES_MAX - 64 * 1024
_NOTHING: Final = values.encode({})


def create_cell(
    kind: CellKind,
    source: str | bytes,
    *,
    inputs: Mapping[str, object] | None,
    name: str | None,
    key: str,
    limits: Limits | None,
    stepping: str = "drain",
) -> CreateCell:
    """The request to make a cell.

    Raises:
        TypeError: an argument of the wrong type, or inputs that are not plain data.
        ValueError: source that is no text, an input's name that is no identifier, a bad name.
        LimitExceededError: a source or inputs that fit in no message.
    """
    return CreateCell(
        kind,
        _source(source),
        _inputs(inputs),
        line("name", name or ""),
        line("idempotency_key", key),
        limits_of(limits),
        _stepping(stepping),
    )


def _source(source: object) -> bytes:
    if isinstance(source, str):
        try:
            packed = source.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"source has a lone surrogate at {error.start}") from None
    elif isinstance(source, (bytes, bytearray)):
        packed = bytes(source)
        try:
            packed.decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"source is not UTF-8: {error}") from None
    else:
        raise TypeError(f"source must be str or bytes of UTF-8, not {type(source).__name__}")
    if len(packed) > _SOURCE_SENT_MAX:
        raise LimitExceededError(
            f"the source has {len(packed):,} bytes, at most {SOURCE_BYTES_MAX:,} are allowed; "
            "give a cell its material through inputs or tools",
            limit="source_bytes",
            value=SOURCE_BYTES_MAX,
            used=len(packed),
        )
    return packed


def _inputs(inputs: object) -> bytes:
    if inputs is None:
        return _NOTHING
    if not isinstance(inputs, Mapping):
        raise TypeError(f"inputs must be a dict, not {type(inputs).__name__}")
    given: dict[str, object] = {}
    for name, value in inputs.items():
        seen = _variable(name)
        if seen in given:
            raise ValueError(f"inputs: {name!r:.60} and another name are both {seen!r:.60} in code")
        given[seen] = value
    return plain(given, "inputs")


def _variable(name: object) -> str:
    """The name as Python's own parser sees it in the cell's code."""
    if not isinstance(name, str):
        raise TypeError(f"inputs: a name must be str, not {type(name).__name__} ({name!r:.40})")
    seen = name if name.isascii() else unicodedata.normalize("NFKC", name)
    if not name.isidentifier() or keyword.iskeyword(seen):
        raise ValueError(f"inputs: {name!r:.60} cannot be a variable's name")
    return seen


def plain(value: object, path: str) -> bytes:
    """Plain data as bytes.

    Raises:
        TypeError: not plain data; the message names the path.
        LimitExceededError: too large for a value.
    """
    try:
        return values.encode(value, path)
    except values.ValueTooLarge as error:
        raise LimitExceededError(
            f"{error}; send less at once", limit="value_bytes", value=error.limit, used=error.size
        ) from None


def limits_of(limits: object) -> Limits:
    """Limits that a host chose; None for the defaults.

    Raises:
        TypeError: something else.
    """
    if limits is None:
        return Limits()
    if not isinstance(limits, Limits):
        raise TypeError(f"limits must be tidemark.Limits, not {type(limits).__name__}")
    return limits


def check_callback(what: str, callback: object) -> None:
    """Refuse what is neither None nor can be called.

    Raises:
        TypeError: it is such a thing.
    """
    if callback is not None and not callable(callback):
        raise TypeError(f"{what} must be a function or None, not {type(callback).__name__}")


def _stepping(stepping: object) -> Stepping:
    try:
        return Stepping(stepping)
    except ValueError:
        raise ValueError(f"stepping must be 'drain' or 'one', not {stepping!r:.40}") from None


def line(what: str, text: object, bytes_max: int = NAME_BYTES_MAX) -> str:
    """A name, id or key.

    Raises:
        TypeError: not a str.
        ValueError: too long, or no text.
    """
    if not isinstance(text, str):
        raise TypeError(f"{what} must be str, not {type(text).__name__}")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ValueError(f"{what} has a lone surrogate") from None
    if size > bytes_max:
        raise ValueError(f"{what} has {size:,} bytes, at most {bytes_max:,} are allowed")
    return text


def session_name(name: str | None) -> str:
    """The name of a session to be opened; empty for a new one.

    Raises:
        TypeError, ValueError: it cannot name a session.
    """
    if name is None:
        return ""
    if not isinstance(name, str):
        raise TypeError(f"a session's name must be str, not {type(name).__name__}")
    if not is_session_name(name):
        raise ValueError(
            f"{name!r:.60} cannot name a session: 1 to 200 characters, at most "
            f"{NAME_BYTES_MAX} bytes of UTF-8, no control characters"
        )
    return name


def duration_ns(what: str, duration: object) -> int:
    """Seconds as nanoseconds; infinity is as long as a number can say.

    Raises:
        TypeError, ValueError: not a number of seconds from 0.
    """
    if isinstance(duration, bool) or not isinstance(duration, (int, float)):
        raise TypeError(f"{what} must be a number of seconds, not {type(duration).__name__}")
    if math.isnan(duration) or duration < 0:
        raise ValueError(f"{what} must be 0 or more seconds, not {duration!r}")
    if duration >= INTEGER_MAX / _NS:
        return INTEGER_MAX
    return int(duration * _NS)


def timeout(duration: object) -> float | None:
    """How long to wait for an answer; None for ever.

    Raises:
        TypeError, ValueError: not a number of seconds from 0.
    """
    return None if duration is None else duration_ns("timeout", duration) / _NS


def observe(cell: str, after: int | None, yield_after: object, *, take_over: bool) -> Observe:
    """The request for a continuing cell's next event."""
    return Observe(cell, after, duration_ns("yield_after", yield_after), bool(take_over))


def resume(
    verb: type[Resume | Step], cell: str, generation: object, after: int | None
) -> Resume | Step:
    """The request to leave a frontier; what the number means, the supervisor decides."""
    if isinstance(generation, bool) or not isinstance(generation, int):
        raise TypeError(f"generation must be int, not {type(generation).__name__}")
    if not INTEGER_MIN <= generation <= INTEGER_MAX:
        raise ValueError("generation must fit in 64 bits")
    return verb(cell, generation, after)


def history(cell: str, after: int | None, limit: int) -> AskHistory:
    """The request for a cell's records."""
    return AskHistory(cell, position(after), page(limit))


def events(cell: str, session: str, after: int | None, limit: int, wait_ns: int) -> AskEvents:
    """The request for events that are kept."""
    return AskEvents(cell, session, position(after), page(limit), wait_ns)


def position(after: object) -> int:
    """A number to go on behind; None for the beginning."""
    if after is None:
        return 0
    if isinstance(after, bool) or not isinstance(after, int):
        raise TypeError(f"after must be int or None, not {type(after).__name__}")
    if not 0 <= after <= INTEGER_MAX:
        raise ValueError(f"after must be 0 or more, not {after!r}")
    return after


def page(limit: object) -> int:
    """How many rows to ask for."""
    if isinstance(limit, bool) or not isinstance(limit, int):
        raise TypeError(f"limit must be int, not {type(limit).__name__}")
    if not 1 <= limit <= PAGE_MAX:
        raise ValueError(f"limit must be from 1 to {PAGE_MAX:,}, not {limit!r}; ask page by page")
    return limit


def list_cells(session: str, state: str | None, limit: int, before: str | None) -> ListCells:
    """The request for a list of cells."""
    state_name, before_id = line("state", state or ""), line("before", before or "")
    return ListCells(session, state_name, page(limit), before_id)


def stored_key(key: object) -> str:
    """A stored value's key."""
    return line("a stored value's key", key, STORED_KEY_BYTES_MAX)


def stored_get(key: object) -> StoredGet:
    """The request for one stored value."""
    return StoredGet(stored_key(key))


def stored_set(key: object, value: object) -> StoredSet:
    """The request to write one stored value."""
    return StoredSet(stored_key(key), plain(value, f"stored[{key!r:.60}]"))


def stored_delete(key: object) -> StoredSet:
    """The request to delete one stored value."""
    return StoredSet(stored_key(key), None)
