"""Virtual time: a queue of what happens when, and the clock that it moves."""

from __future__ import annotations

import heapq
from collections.abc import Callable

START_NS = 1_700_000_000 * 1_000_000_000


class SimTime:
    """Nothing happens but what was put here, in the order of its time, then of its making."""

    def __init__(self, start_ns: int = START_NS) -> None:
        self.now_ns = start_ns
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._made = 0

    def later(self, delay_ns: int, act: Callable[[], None]) -> None:
        """Do this after so many virtual nanoseconds."""
        self._made += 1
        heapq.heappush(self._queue, (self.now_ns + max(0, delay_ns), self._made, act))

    def step(self, until_ns: int) -> bool:
        """Do the next thing that is due by then; False (and it is then) when there is none."""
        if not self._queue or self._queue[0][0] > until_ns:
            self.now_ns = max(self.now_ns, until_ns)
            return False
        at_ns, _, act = heapq.heappop(self._queue)
        self.now_ns = at_ns
        act()
        return True


class SimClock:
    """See `ports.Clock`: virtual time, which goes on by `reading_ns` with each look at it."""

    def __init__(self, time: SimTime, reading_ns: int = 0) -> None:
        self._time = time
        self._reading_ns = reading_ns
        self._ahead_ns = 0

    def now_ns(self) -> int:
        self._ahead_ns = max(self._ahead_ns + self._reading_ns, self._time.now_ns)
        return self._ahead_ns

    def monotonic_ns(self) -> int:
        return self.now_ns() - START_NS
