"""What the supervisor has offered to this host: tool calls and notifications. Pure.

A call that was received is held, with its result, until the journal has the result; the same offer
twice is run once.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from ..protocol.classes import dataclass
from ..protocol.host_answers import CallOffered, NoticeOffered
from ..protocol.host_requests import CallRef, FinishCall
from ..protocol.packed import InputKind

# How far back a repeated offer is recognized: many times what can be under way at once.
_REMEMBERED_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a tool call's run has ended: a packed result, or the text of an error."""

    kind: InputKind
    content: bytes = b""
    message: str = ""


@dataclass(slots=True)
class _Held:
    attempt: int
    withdrawn: bool = False
    finished: FinishCall | None = None


class HeldCalls:
    """The calls that this host has received and whose results the journal does not have."""

    def __init__(self) -> None:
        self._held: dict[CallRef, _Held] = {}
        self._done: OrderedDict[CallRef, int] = OrderedDict()

    def offer(self, offered: CallOffered) -> bool:
        """Whether this is a call, or an attempt, to be run now."""
        held = self._held.get(offered.call)
        known = held.attempt if held is not None else self._done.get(offered.call, 0)
        if offered.attempt <= known:
            return False
        self._held[offered.call] = _Held(offered.attempt)
        return True

    def withdraw(self, call: CallRef) -> bool:
        """Whether a run is under way that has to be cancelled now."""
        held = self._held.get(call)
        if held is None or held.withdrawn or held.finished is not None:
            return False
        held.withdrawn = True
        return True

    def finish(self, call: CallRef, attempt: int, outcome: Outcome) -> bool:
        """Whether the supervisor is to be told: False when this attempt does not count any more."""
        held = self._held.get(call)
        if held is None or held.attempt != attempt or held.finished is not None:
            return False
        held.finished = FinishCall(
            call, outcome.kind, outcome.content, outcome.message, held.withdrawn
        )
        return True

    def result(self, call: CallRef) -> FinishCall | None:
        """The result of a call that is still held."""
        held = self._held.get(call)
        return held.finished if held is not None else None

    def settled(self, finished: FinishCall) -> None:
        """The journal has this result, or does not want it."""
        held = self._held.get(finished.call)
        if held is None or held.finished is not finished:
            return  # a new attempt has begun meanwhile
        del self._held[finished.call]
        self._done[finished.call] = held.attempt
        if len(self._done) > _REMEMBERED_MAX:
            self._done.popitem(last=False)

    def refs(self) -> tuple[CallRef, ...]:
        """The held calls, oldest first."""
        return tuple(self._held)


class Notices:
    """Which notifications of which cells have come already, and which were handled."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, list[int]] = OrderedDict()

    def is_new(self, notice: NoticeOffered) -> bool:
        """Whether this number has not come before; it is remembered as having come."""
        seen = self._seen.setdefault(notice.cell, [0, 0])
        if notice.number <= seen[0]:
            return False
        seen[0] = notice.number
        self._seen.move_to_end(notice.cell)
        if len(self._seen) > _REMEMBERED_MAX:
            self._seen.popitem(last=False)
        return True

    def handled(self, cell: str, number: int) -> None:
        """Everything of this cell up to `number` has been handled."""
        seen = self._seen.setdefault(cell, [number, 0])
        seen[1] = max(seen[1], number)

    def was_handled(self, notice: NoticeOffered) -> bool:
        """Whether a repeated notification has been handled, not only received."""
        return notice.number <= self._seen.get(notice.cell, [0, 0])[1]
