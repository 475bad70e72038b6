"""A cell's code while it runs: tasks that wait for calls, timers and stored values.

It behaves as asyncio under a gate does: it runs until nothing is ready, and moves again by one
input at a time.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from ..protocol import values
from ..protocol.packed import InputKind, OutputKind, PackedInput
from ..protocol.worker_messages import (
    Abandoned,
    Called,
    Emitted,
    Item,
    Notified,
    Wrote,
    YieldAsked,
)
from .programs import Action, Program

Wait = tuple[Any, ...]


@dataclass
class Truth:
    """What one life of a cell really did, for the checkers."""

    texts: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    writes: dict[str, bytes] = field(default_factory=dict)
    loads: list[tuple[str, bytes | None]] = field(default_factory=list)
    taken: list[PackedInput] = field(default_factory=list)
    calls: int = 0
    dropped: set[int] = field(default_factory=set)
    ended: str = ""


class CellRun:
    """The tasks of one cell.

    Args:
        say: puts an item into the worker's stream.
        now_ns: reads the cell's clock.
    """

    def __init__(
        self, cell: str, program: Program, say: Callable[[Item], None], now_ns: Callable[[], int]
    ) -> None:
        self.truth = Truth()
        self.fetching: str | None = None
        self._cell, self._program = cell, program
        self._say, self._now_ns = say, now_ns
        self._ready: deque[Generator[Wait, Any, None]] = deque()
        self._waiting: dict[int, tuple[Generator[Wait, Any, None], set[int], bool]] = {}
        self._timers: list[tuple[int, int, Generator[Wait, Any, None]]] = []
        self._tasks = 0
        self._made = 0
        self._blocked: Generator[Wait, Any, None] | None = None
        self.spawn(program.actions)

    def spawn(self, actions: tuple[Action, ...]) -> None:
        """One more task."""
        self._tasks += 1
        self._ready.append(self._task(actions))

    @property
    def is_over(self) -> bool:
        """Whether every task has ended."""
        return self._tasks == 0

    @property
    def next_timer_ns(self) -> int | None:
        return self._timers[0][0] if self._timers else None

    def run(self) -> int | None:
        """Run until nothing is ready, or the cell is busy for so many ns (returned), or blocked."""
        while self._ready and self._blocked is None:
            task = self._ready.popleft()
            wait = next(task, None)
            if wait is None:
                self._tasks -= 1
            elif wait[0] == "busy":
                self._ready.appendleft(task)
                return int(wait[1])
            elif wait[0] == "sleep":
                self._made += 1
                due_ns = self._now_ns() + wait[1]
                heapq.heappush(self._timers, (due_ns, self._made, task))
            elif wait[0] == "fetch":
                self._blocked, self.fetching = task, wait[1]
            else:
                _, numbers, first = wait
                for number in numbers:
                    self._waiting[number] = (task, set(numbers), first)
        return None

    def fetched(self, content: bytes | None) -> None:
        """The stored value is here."""
        assert self._blocked is not None
        assert self.fetching is not None
        self.truth.loads.append((self.fetching, content))
        self._ready.appendleft(self._blocked)
        self._blocked = self.fetching = None

    def hand_over(self, taken: PackedInput) -> None:
        """One input moves the cell."""
        self.truth.taken.append(taken)
        if taken.kind is InputKind.TIMER:
            while self._timers and self._timers[0][0] <= taken.due_ns:
                self._ready.append(heapq.heappop(self._timers)[2])
            return
        found = self._waiting.pop(taken.call, None)
        if found is None:
            return
        task, numbers, first = found
        numbers.discard(taken.call)
        left = [number for number in numbers if number in self._waiting]
        if first:
            for number in left:
                del self._waiting[number]
                self.truth.dropped.add(number)
                self._say(Abandoned(number))
            self._ready.append(task)
        elif not left:
            self._ready.append(task)

    def end(self) -> None:
        """The code has ended: calls that nobody awaits are abandoned."""
        for number in self._waiting:
            self.truth.dropped.add(number)
            self._say(Abandoned(number))

    # -- what the code does -----------------------------------------------------------------------

    def _task(self, actions: tuple[Action, ...]) -> Generator[Wait, Any, None]:
        for action in actions:
            match action:
                case ("text",):
                    self.text()
                case ("gather" | "first", count, tool):
                    numbers = tuple(self._call(tool) for _ in range(count))
                    yield ("calls", numbers, action[0] == "first")
                    self.text()
                case ("sleep" | "busy", _):
                    yield action
                case ("yield",):
                    self._say(YieldAsked())
                case ("notify",):
                    text = f"notice {len(self.truth.notices) + 1} of {self._cell}"
                    self.truth.notices.append(text)
                    self._say(Notified(text, values.digest(text.encode())))
                case ("spawn", inner):
                    self.spawn(inner)
                case ("store", key):
                    content = values.encode(f"by {self._cell}")
                    self.truth.writes[key] = content
                    self._say(Wrote(key, content, values.digest(content)))
                case ("load", key):
                    yield ("fetch", key)

    def text(self) -> None:
        """Put out an item that says where it belongs."""
        text = f"{self._cell}[{len(self.truth.texts)}]"
        self.truth.texts.append(text)
        self._say(Emitted(OutputKind.TEXT, text, None, values.digest(text.encode())))

    def _call(self, tool: str) -> int:
        self.truth.calls += 1
        number = self.truth.calls
        arguments = values.encode({"of": self._cell, "call": number})
        self._say(Called(number, tool, arguments, values.digest(arguments)))
        return number
