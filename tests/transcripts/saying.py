"""What workers say, in few words."""

from __future__ import annotations

from typing import Any

from tidemark.protocol import values
from tidemark.protocol.ids import RequestRef
from tidemark.protocol.packed import OnUnknown, OutputKind, Reason, ToolKind, ToolSpec
from tidemark.protocol.worker_messages import (
    Abandoned,
    Called,
    Confirmed,
    Continue,
    Emitted,
    Finished,
    Flagged,
    Item,
    Notified,
    Paused,
    Waited,
    Wrote,
    YieldAsked,
)


def text(content: str) -> Item:
    return Emitted(OutputKind.TEXT, content, None, values.digest(content.encode()))


def image(url: str) -> Item:
    return Emitted(OutputKind.IMAGE, url, None, values.digest(url.encode()))


def called(number: int, tool: str = "search", arguments: Any = None) -> Item:
    packed = values.encode({} if arguments is None else arguments)
    return Called(number, tool, packed, values.digest(packed))


def abandoned(number: int) -> Item:
    return Abandoned(number)


def notified(content: str) -> Item:
    return Notified(content, values.digest(content.encode()))


def wrote(key: str, value: Any) -> Item:
    packed = values.encode(value)
    return Wrote(key, packed, values.digest(packed))


def deleted(key: str) -> Item:
    return Wrote(key, None, values.digest(b""))


def yielded() -> Item:
    return YieldAsked()


def confirmed(
    generation: int, upto: int = 1, request: RequestRef | None = None, acknowledged: int = 0
) -> Item:
    return Confirmed(generation, upto, request or RequestRef(0, 0), acknowledged)


def confirms(message: Continue) -> Item:
    """The confirmation of this Continue."""
    return Confirmed(message.generation, message.upto, message.request, message.acknowledged)


def paused(generation: int, taken: int = 0, timer_ns: int | None = None, *own: str) -> Item:
    return Paused(generation, taken, timer_ns, own)


def waited(taken: int = 0, timer_ns: int | None = None, *own: str) -> Item:
    return Waited(taken, timer_ns, own)


def flagged(why: str, line: int = 0) -> Item:
    return Flagged(why, line)


def ended(value: Any = None, taken: int = 0) -> Item:
    return Finished(Reason.ENDED, None, None if value is None else values.encode(value), taken)


def raised(error: str = "ValueError: no tide\n", taken: int = 0) -> Item:
    return Finished(Reason.RAISED, error, None, taken)


def refused(error: str = "SyntaxError: no\n") -> Item:
    return Finished(Reason.REFUSED, error, None, 0)


def tool(
    name: str, on_unknown: OnUnknown = OnUnknown.ASK, *, external: bool = False, exposed: str = ""
) -> ToolSpec:
    return ToolSpec(
        name, exposed or name, "", "()", ToolKind.FUNCTION, on_unknown, external, timeout_ns=0
    )
