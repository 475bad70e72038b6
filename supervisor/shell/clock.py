"""The supervisor's clock: ns since 1970, never going back."""

from __future__ import annotations

import time


class SystemClock:
    """Wall time at start plus CLOCK_MONOTONIC, so that a clock that is set does not move cells."""

    def __init__(self, at_least_ns: int = 0) -> None:
        self._offset_ns = max(time.time_ns(), at_least_ns) - time.monotonic_ns()

    def now_ns(self) -> int:
        return self._offset_ns + time.monotonic_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()
