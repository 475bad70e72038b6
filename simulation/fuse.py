"""Every call through a port, counted: the machine may strike before and after each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..supervisor.core.records import Entry

BEFORE, AFTER = "before", "after"

#: Calls that change something outside the supervisor. Between two of them a crash is always the
#: same to the world, because what the supervisor has in its memory is lost in any case.
ACTS = frozenset(
    {
        *("open", "take command", "commit", "retire"),
        *("flush", "tell_worker", "fork", "lodge", "kill", "forget", "watch_host"),
    }
)


@dataclass(frozen=True, slots=True)
class Point:
    """A moment beside a port call.

    Attributes:
        number: of the call, 1, 2, 3, ... over all lives of the supervisor.
        moment: `BEFORE` or `AFTER` it.
        call: the port's method.
        entries: what a commit writes.
    """

    number: int
    moment: str
    call: str
    entries: Sequence[Entry] = ()

    @property
    def acts(self) -> bool:
        """Whether the call changes something outside the supervisor."""
        return self.call in ACTS

    def __str__(self) -> str:
        return f"{self.moment} {self.call}"


class Fuse:
    """Counts port calls, and tells its watchers of each point; they may raise `Crash`."""

    def __init__(self) -> None:
        self.calls = 0
        self.watchers: list[Callable[[Point], None]] = []

    def around(self, call: str, act: Callable[..., Any], *arguments: Any) -> Any:
        """Make a port call, with what may happen before and after it."""
        self.calls += 1
        number = self.calls
        entries = arguments[0] if call == "commit" else ()
        self._reach(Point(number, BEFORE, call, entries))
        answer = act(*arguments)
        if isinstance(answer, Iterator):
            answer = iter(list(answer))
        self._reach(Point(number, AFTER, call, entries))
        return answer

    def _reach(self, point: Point) -> None:
        for watcher in self.watchers:
            watcher(point)


class Fused:
    """A port with a fuse before and after each of its methods; its properties are as they are."""

    def __init__(self, port: Any, fuse: Fuse) -> None:
        self._port, self._fuse = port, fuse

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if not callable(found):
            return found
        fused = partial(self._fuse.around, name, found)
        setattr(self, name, fused)  # the next time it is found at once
        return fused


@dataclass(slots=True)
class Charge:
    """When the supervisor is to be killed: at the point that comes after `left` others like it.

    Attributes:
        moment: only points before, or after, a call; "": both.
        call: only this port method; "": any.
        record: only commits of such a record.
        acting: only calls that change something outside the supervisor.
    """

    left: int = 0
    moment: str = ""
    call: str = ""
    record: type | None = None
    acting: bool = False

    def burns_down(self, point: Point) -> bool:
        """Whether this is the point."""
        if self.moment not in ("", point.moment) or self.call not in ("", point.call):
            return False
        if self.acting and not point.acts:
            return False
        record = self.record
        if record is not None and not any(isinstance(e.record, record) for e in point.entries):
            return False
        self.left -= 1
        return self.left < 0
