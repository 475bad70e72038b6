"""Tracebacks of a cell: its own frames with its own lines, bounded, whatever the exception does."""

from __future__ import annotations

import asyncio
import linecache
import os
import traceback
from collections.abc import Iterator
from typing import Any, Final

from ..protocol import limits, values

OURS: Final = tuple(
    os.path.join(os.path.dirname(os.path.abspath(path)), "") for path in (__file__, values.__file__)
)
ASYNCIO: Final = os.path.join(os.path.dirname(os.path.abspath(asyncio.__file__)), "")
ERRORS_MAX: Final = 200  # in one chain or group; beyond it, each is shown by its last line alone
LINES_KEPT: Final = 20


def keep_source(filename: str, source: str) -> None:
    """Make tracebacks show this source's lines; the cell may have cleared the cache."""
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)


def describe(error: BaseException) -> str:
    """The traceback's text, as Python would print it, at most `TRACEBACK_BYTES_MAX` long."""
    try:
        family = list(_family(error))
        if len(family) > ERRORS_MAX:
            return bounded(_brief(family))
        shown = traceback.TracebackException(
            type(error), error, _real(error, "__traceback__"), compact=True
        )
        _keep_own_frames(shown)
        return bounded("".join(shown.format()))
    except BaseException:  # noqa: BLE001 - formatting runs code of the cell, which may do anything
        return bounded(last_line(error))


def describe_refusal(error: BaseException) -> str:
    """Why a source did not compile."""
    try:
        return bounded("".join(traceback.format_exception_only(type(error), error)))
    except BaseException:  # noqa: BLE001 - an error with content that cannot be shown
        return bounded(last_line(error))


def last_line(error: BaseException) -> str:
    """The name of the error's type and its text, if that can be had."""
    name = type.__dict__["__name__"].__get__(type(error))
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001 - code of the cell
        text = "<exception str() failed>"
    return f"{name}: {text}\n" if text else f"{name}\n"


def bounded(text: str) -> str:
    """Head and tail of a text that is too long: in a chain the last error is at the end."""
    packed = text.encode("utf-8", "replace")
    bytes_max = limits.TRACEBACK_BYTES_MAX
    if len(packed) > bytes_max:
        half = bytes_max // 2 - 40
        left_out = f"\n... {len(packed) - 2 * half:,} bytes left out ...\n".encode()
        packed = packed[:half] + left_out + packed[-half:]
    return packed.decode("utf-8", "ignore")


def _family(error: BaseException) -> Iterator[BaseException]:
    """The error and all that a traceback would show with it; walked without recursion."""
    seen = {id(error)}
    waiting = [error]
    while waiting:
        member = waiting.pop()
        yield member
        cause = _real(member, "__cause__")
        related: list[Any] = [cause]
        if cause is None and not _real(member, "__suppress_context__"):
            related.append(_real(member, "__context__"))
        if isinstance(member, BaseExceptionGroup):
            related.extend(vars(BaseExceptionGroup)["exceptions"].__get__(member))
        for other in related:
            if other is not None and id(other) not in seen:
                seen.add(id(other))
                waiting.append(other)


def _real(error: BaseException, name: str) -> Any:
    """An attribute as the interpreter sees it, whatever the exception's class makes of it."""
    return vars(BaseException)[name].__get__(error)


def _brief(family: list[BaseException]) -> str:
    """For a chain or group that is too large to be shown whole: the first error's own stack."""
    stack = traceback.StackSummary.extract(traceback.walk_tb(_real(family[0], "__traceback__")))
    stack[:] = _own_frames(stack)
    others = [last_line(member) for member in family[1 : LINES_KEPT + 1]]
    left_out = len(family) - 1 - len(others)
    return "".join(
        [
            "Traceback (most recent call last):\n",
            *stack.format(),
            last_line(family[0]),
            f"\nIt came with {len(family) - 1:,} other exceptions:\n",
            *others,
            f"... and {left_out:,} more\n" if left_out else "",
        ]
    )


def _keep_own_frames(shown: traceback.TracebackException) -> None:
    waiting: list[traceback.TracebackException | None] = [shown]
    seen: set[int] = set()
    while waiting:
        item = waiting.pop()
        if item is None or id(item) in seen:
            continue
        seen.add(id(item))
        item.stack[:] = _own_frames(item.stack)
        waiting += [item.__cause__, item.__context__]
        waiting += getattr(item, "exceptions", None) or []


def _own_frames(stack: list[traceback.FrameSummary]) -> list[traceback.FrameSummary]:
    """Without our frames, and without asyncio's before the first of the cell."""
    frames = [frame for frame in stack if not frame.filename.startswith(OURS)]
    while frames and frames[0].filename.startswith(ASYNCIO):
        del frames[0]
    return frames
