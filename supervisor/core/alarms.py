"""When each cell has to be looked at next."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable
from typing import Any, Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

STALE_MAX: Final = 1_000  # moments that count no more, beside as many as do


class Alarms(Generic[K]):
    """One moment per name, the earliest first; setting one again forgets the old."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, K]] = []
        self._set: dict[K, int] = {}
        self._unknown: dict[K, tuple[Callable[[Any], int | None], Any]] = {}

    def set(self, name: K, at_ns: int | None) -> None:
        """Wake `name` at this moment, or never."""
        self._unknown.pop(name, None)
        if at_ns is None:
            self._set.pop(name, None)
        elif self._set.get(name) != at_ns:
            self._set[name] = at_ns
            heapq.heappush(self._heap, (at_ns, name))
            if len(self._heap) > 2 * len(self._set) + STALE_MAX:
                self._heap = [(moment, of) for of, moment in self._set.items()]
                heapq.heapify(self._heap)

    def clear(self) -> None:
        """Nobody has one any more."""
        self._heap.clear()
        self._set.clear()
        self._unknown.clear()

    def set_by(self, name: K, moment: Callable[[Any], int | None], thing: Any) -> None:
        """Wake `name` at `moment(thing)`, which is not asked for before somebody wants to know.

        A cell changes several times in a beat, and only the last of them counts.
        """
        self._unknown[name] = (moment, thing)

    def _find_out(self) -> None:
        for name, (moment, thing) in list(self._unknown.items()):
            self.set(name, moment(thing))

    def first_ns(self) -> int | None:
        """The earliest moment; None: there is none."""
        if self._unknown:
            self._find_out()
        while self._heap and self._set.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now_ns: int) -> list[K]:
        """Names whose moment has come; each has no alarm until it is set again."""
        names = []
        while (first := self.first_ns()) is not None and first <= now_ns:
            name = heapq.heappop(self._heap)[1]
            del self._set[name]
            names.append(name)
        return names
