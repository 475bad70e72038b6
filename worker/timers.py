"""The cell's timers: kept here and not by asyncio, because only an input may fire them."""

from __future__ import annotations

import heapq
import math
from asyncio import TimerHandle
from typing import Final

from ..protocol.limits import INTEGER_MAX

SLACK_NS: Final = 1_000  # a float of seconds since 1970 is only true to a quarter of this
SECOND_NS: Final = 1_000_000_000
SWEEP_MIN: Final = 100


class Timers:
    """A heap of handles, in order of their time and then of their making."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, TimerHandle]] = []
        self._made = 0
        self._cancelled = 0

    def add(self, handle: TimerHandle) -> None:
        """Keep a handle until it fires. One that is due at infinity never does.

        Raises:
            ValueError: its time is not a number.
        """
        when = handle.when()
        if math.isnan(when):
            raise ValueError("a timer's time must be a number, not nan")
        if when * SECOND_NS >= INTEGER_MAX:
            return
        self._made += 1
        heapq.heappush(self._heap, (max(0, int(when * SECOND_NS)), self._made, handle))

    def cancelled(self) -> None:
        """A handle has been cancelled; they are swept out when they are the larger part."""
        self._cancelled += 1
        if self._cancelled > SWEEP_MIN and self._cancelled * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if not entry[2].cancelled()]
            heapq.heapify(self._heap)
            self._cancelled = 0

    def next_ns(self) -> int | None:
        """When the next timer is due, in ns since 1970."""
        while self._heap and self._heap[0][2].cancelled():
            heapq.heappop(self._heap)
            self._cancelled = max(0, self._cancelled - 1)
        return self._heap[0][0] if self._heap else None

    def take_due(self, due_ns: int) -> list[TimerHandle]:
        """The timers that are due by then, in order; they are no longer kept."""
        due: list[TimerHandle] = []
        while (next_ns := self.next_ns()) is not None and next_ns <= due_ns + SLACK_NS:
            due.append(heapq.heappop(self._heap)[2])
        return due
