"""Message bodies: msgpack in, lists and scalars out, with nothing built that was not sent.

A few bytes can claim an array of millions, and arrays nested in one another each claim as much: a
decoder that believes them allocates gigabytes for kilobytes. So a body is read over once, which
builds nothing and ends at the first claim that it does not fill, before it is decoded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgpack

from . import limits

SMALL_BYTES: Final = 4096  # what a body of this size can claim is not worth reading it twice


class BadFrame(ValueError):
    """Bytes that are not a message of this direction and version; the text says what is wrong."""


def check_claims(body: bytes) -> None:
    """Refuse a body that claims more than it holds; for bodies above `SMALL_BYTES`.

    Raises:
        ValueError, msgpack.UnpackException: the body is not one whole msgpack value.
    """
    unpacker = msgpack.Unpacker(max_buffer_size=len(body))
    unpacker.feed(body)
    unpacker.skip()


def unpack_plain(body: bytes, bytes_max: int) -> Any:
    """The lists and scalars in one msgpack body.

    Raises:
        BadFrame: too large, truncated, with bytes left over, or not msgpack of plain kinds.
    """
    if len(body) > bytes_max:
        raise BadFrame(f"{len(body):,} bytes, at most {bytes_max:,} are allowed")
    return _unpack(body)


def unpack_bounded(body: bytes) -> Any:
    """The lists and scalars in a body from anybody: also the number of its parts is bounded."""
    if len(body) > limits.MESSAGE_BYTES_MAX:
        raise BadFrame(
            f"{len(body):,} bytes, at most {limits.MESSAGE_BYTES_MAX:,} are allowed in a message"
        )
    if len(body) <= limits.FLUSH_BYTES:
        return _unpack(body)
    left = limits.PARTS_MAX

    def counted(part: list[Any]) -> list[Any]:
        nonlocal left
        left -= len(part) + 1
        if left < 0:
            raise BadFrame(f"more than {limits.PARTS_MAX:,} parts in one message")
        return part

    return _unpack(body, counted, limits.ITEMS_MAX)


def _unpack(
    body: bytes, list_hook: Callable[[list[Any]], Any] | None = None, max_array_len: int = -1
) -> Any:
    try:
        if len(body) > SMALL_BYTES:
            check_claims(body)
        # No message has a map, so none is built.
        return msgpack.unpackb(
            body,
            raw=False,
            max_map_len=0,
            max_ext_len=0,
            list_hook=list_hook,
            max_array_len=max_array_len,
        )
    except BadFrame:
        raise
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError) as error:
        raise BadFrame(f"not a message body ({type(error).__name__}: {error})"[:200]) from None
