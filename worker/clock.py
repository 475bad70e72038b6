"""The cell's clock: the supervisor's clock, read in one place and recorded."""

from __future__ import annotations

import threading
import time
from typing import Final

TICK_NS: Final = 1_000_000
TICKS_CROWDED: Final = 4_096  # send them before one message has to hold too many


class CellClock:
    """Rises with every reading, is true to 1 ms, and remembers each jump.

    A reading shows the real time only when at least 1 ms has gone by since the last one, and that
    is recorded; otherwise it shows 1 ns more than the last. So few records tell what every reading
    showed. Only the thread that made the clock has readings of its own; others see the last.
    """

    def __init__(self, now_ns: int, monotonic_ns: int) -> None:
        """Takes one reading of both clocks: ns since 1970, and CLOCK_MONOTONIC."""
        self._offset_ns = now_ns - monotonic_ns
        self._last_ns = now_ns
        self._readings = 0
        self._ticks: list[tuple[int, int]] = []
        self._thread = threading.get_ident()

    def reading(self) -> int:
        """The cell's time, in ns since 1970."""
        if threading.get_ident() != self._thread:
            return self._last_ns
        self._readings += 1
        real_ns = time.monotonic_ns() + self._offset_ns
        if real_ns < self._last_ns + TICK_NS:
            self._last_ns += 1
        else:
            self._last_ns = real_ns
            self._ticks.append((self._readings, real_ns))
        return self._last_ns

    def advance(self, to_ns: int) -> None:
        """The next reading shows at least this (an input that came at that time is handed over)."""
        self._last_ns = max(self._last_ns, to_ns)

    @property
    def is_crowded(self) -> bool:
        """Whether the ticks should be sent now."""
        return len(self._ticks) >= TICKS_CROWDED

    def drain(self) -> tuple[tuple[int, int], ...]:
        """The ticks since the last call."""
        if not self._ticks:
            return ()
        ticks, self._ticks = self._ticks, []
        return tuple(ticks)
