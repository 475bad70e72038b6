"""Plain data of a cell: made into bytes, or refused with an error that is the cell's own."""

from __future__ import annotations

from typing import NoReturn

from ..protocol import limits, values
from ..protocol.packed import Reason
from .link import Link


def packed(value: object, path: str) -> bytes:
    """The value as bytes, however many.

    Raises:
        TypeError: it is not plain data; names the path of what is not.
    """
    try:
        return values.encode(value, path, bytes_max=limits.INTEGER_MAX)
    except values.NotPlainData as error:
        # The cell is promised a TypeError, and need not know our name for it.
        raise TypeError(str(error)) from None


def bounded(link: Link, value: object, path: str, limit: str) -> bytes:
    """Like `packed`; a value that is too large ends the cell by this limit."""
    content = packed(value, path)
    if len(content) > limits.VALUE_BYTES_MAX:
        end_by_limit(link, limit, limits.VALUE_BYTES_MAX, len(content))
    return content


def end_by_limit(link: Link, limit: str, value: int, used: int) -> NoReturn:
    """End the cell: it has exceeded a limit of its own. Cannot be caught."""
    link.finish(Reason.LIMIT, limits.exceeded_text(limit, value, used))
