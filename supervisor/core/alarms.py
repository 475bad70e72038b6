"""When each cell has to be looked at next."""

from __future__ import annotations

import heapq


class Alarms:
    """One moment per name, the earliest first; setting one again forgets the old."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, str]] = []
        self._set: dict[str, int] = {}

    def set(self, name: str, at_ns: int | None) -> None:
        """Wake `name` at this moment, or never."""
        if at_ns is None:
            self._set.pop(name, None)
        elif self._set.get(name) != at_ns:
            self._set[name] = at_ns
            heapq.heappush(self._heap, (at_ns, name))

    def first_ns(self) -> int | None:
        """The earliest moment; None: there is none."""
        while self._heap and self._set.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now_ns: int) -> list[str]:
        """Names whose moment has come; each has no alarm until it is set again."""
        names = []
        while (first := self.first_ns()) is not None and first <= now_ns:
            name = heapq.heappop(self._heap)[1]
            del self._set[name]
            names.append(name)
        return names
