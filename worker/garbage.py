"""When a cell's cyclic garbage is collected: only where it can be told again.

Collecting runs finalizers, which are code of the cell. When Python would do it by itself depends on
what else the process has allocated, so it is done while an input is handed over. Only a step that
allocates very much more than that leaves it to Python, or it would grow without end; what
finalizers show there may differ in a later life, and is then a divergence like any other.
"""

from __future__ import annotations

import gc
from typing import Final

from . import real

ALLOCATIONS_MIN: Final = 700  # as many as make Python collect by itself
SHARE: Final = 20  # at most a 20th of the time is spent in it


class Tally:
    """What `gc.get_stats` tells: of the cell alone, not of how many workers came before its own."""

    def __init__(self) -> None:
        self._real = gc.get_stats
        self._before = self._real()

    def begin(self) -> None:
        """Count from now on."""
        self._before = self._real()

    def get_stats(self) -> list[dict[str, int]]:
        """As `gc.get_stats`."""
        pairs = zip(self._real(), self._before, strict=True)
        return [{name: now[name] - before[name] for name in now} for now, before in pairs]


class Garbage:
    """Decides when it is time, and does it."""

    def __init__(self) -> None:
        self._next_s = 0.0

    def is_due(self) -> bool:
        """Whether enough was allocated and the last time is long enough ago."""
        return gc.get_count()[0] >= ALLOCATIONS_MIN and real.monotonic() >= self._next_s

    def collect(self) -> None:
        """Collect; finalizers of the cell run."""
        began_s = real.monotonic()
        gc.collect()
        ended_s = real.monotonic()
        self._next_s = ended_s + (ended_s - began_s) * (SHARE - 1)
