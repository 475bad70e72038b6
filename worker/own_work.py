"""Own work: what comes to a cell from threads, sockets and files of its own."""

from __future__ import annotations

import sys
import threading
from asyncio import Handle
from collections import deque
from collections.abc import Callable
from concurrent.futures import thread as pool
from types import FrameType
from typing import Any, Final

from ..protocol.worker_messages import Flagged, Item

LISTED_MAX: Final = 64
LINE_MAX: Final = 200


class OwnWork:
    """What is under way, what waits to be handed over, and whether any of it was ever seen.

    Attributes:
        tells_lines: whether this is a later life of the cell, whose steps are compared.
    """

    def __init__(self, filename: str, say: Callable[[Item], None]) -> None:
        """`filename` is that of the cell's source; `say` puts an item into the stream."""
        self._filename = filename
        self._say = say
        self._is_flagged = False
        self.tells_lines = False
        self._queue: deque[Handle] = deque()
        self._jobs: dict[int, str] = {}
        self._jobs_made = 0
        self._files: dict[int, str] = {}

    def flag(self, why: str) -> None:
        """The cell cannot be replayed from here on; said once."""
        if not self._is_flagged:
            self._is_flagged = True
            self._say(Flagged(why, self.line()))

    def step_line(self) -> int:
        """The line to be told with a step: in a later life only, where it may be asked for."""
        return self.line() if self.tells_lines else 0

    def line(self) -> int:
        """The line of the cell's source that runs now on this thread, 0 if none does."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if frame.f_code.co_filename == self._filename:
                return frame.f_lineno
            frame = frame.f_back
        return 0

    def queue(self, handle: Handle) -> None:
        """A callback that another thread wants to be run; kept until the gate is open."""
        self._queue.append(handle)

    def take_queue(self) -> list[Handle]:
        """The callbacks that wait; they are no longer kept."""
        return [self._queue.popleft() for _ in range(len(self._queue))]

    @property
    def is_queued(self) -> bool:
        """Whether callbacks wait."""
        return bool(self._queue)

    def begin_job(self, function: Callable[..., Any]) -> int:
        """A function is about to run in a thread; returns the number to end it with."""
        self._jobs_made += 1
        name = _name_of(function)
        self._jobs[self._jobs_made] = f"thread: {name}{self._place()}"
        return self._jobs_made

    def end_job(self, number: int) -> None:
        """Its outcome has been handed over, or nobody waits for it."""
        self._jobs.pop(number, None)

    def begin_file(self, descriptor: int) -> None:
        """The loop watches a file descriptor of the cell."""
        self._files[descriptor] = f"file descriptor {descriptor}{self._place()}"

    def end_file(self, descriptor: int) -> None:
        """The loop watches it no longer."""
        self._files.pop(descriptor, None)

    @property
    def has_files(self) -> bool:
        """Whether the loop watches any."""
        return bool(self._files)

    def describe(self) -> tuple[str, ...]:
        """What is under way, in words, at most 64 lines."""
        lines = [*self._jobs.values(), *self._files.values()]
        if self._queue and not lines:
            lines.append(f"{len(self._queue)} callbacks from other threads")
        if threading.active_count() > 1:
            lines.extend(_threads_of_the_cell())
        if len(lines) > LISTED_MAX:
            lines[LISTED_MAX - 1 :] = [f"and {len(lines) - LISTED_MAX + 1} more"]
        return tuple(lines)

    def _place(self) -> str:
        line = self.line()
        return f" (line {line})" if line else ""


def _threads_of_the_cell() -> list[str]:
    pooled: Any = getattr(pool, "_threads_queues", {})  # idle between jobs, which are listed
    return [
        f"thread {thread.name}"[:LINE_MAX]
        for thread in threading.enumerate()
        if thread is not threading.main_thread() and thread not in pooled
    ]


def _name_of(function: Callable[..., Any]) -> str:
    inner: Any = function
    # asyncio.to_thread hands over partial(context.run, function, ...).
    while (args := getattr(inner, "args", None)) and hasattr(inner, "func"):
        inner = args[0] if getattr(inner.func, "__name__", "") == "run" else inner.func
    name = getattr(inner, "__qualname__", None)
    return name[:LINE_MAX] if isinstance(name, str) else type(inner).__name__
