"""Dictionaries that can be put back as they were at the beginning of a beat."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class _Absent:
    __slots__ = ()


_ABSENT: Final = _Absent()


class Shelf(Generic[K, V]):
    """A dictionary with one level of undo: `undo()` restores what was there at `mark()`.

    The cost of both is that of the keys touched since, not of the dictionary.
    """

    def __init__(self, touched: list[Any] | None = None) -> None:
        """`touched`: where a shelf notes itself when it is changed for the first time since."""
        self._now: dict[K, V] = {}
        self._before: dict[K, V | _Absent] = {}
        self._touched: list[Any] = [] if touched is None else touched

    def get(self, key: K) -> V | None:
        return self._now.get(key)

    def __getitem__(self, key: K) -> V:
        return self._now[key]

    def __setitem__(self, key: K, value: V) -> None:
        if not self._before:
            self._touched.append(self)
        self._before.setdefault(key, self._now.get(key, _ABSENT))
        self._now[key] = value

    def pop(self, key: K) -> V | None:
        if key not in self._now:
            return None
        if not self._before:
            self._touched.append(self)
        self._before.setdefault(key, self._now[key])
        return self._now.pop(key)

    def __contains__(self, key: K) -> bool:
        return key in self._now

    def __len__(self) -> int:
        return len(self._now)

    def __iter__(self) -> Iterator[K]:
        return iter(self._now)

    def values(self) -> Iterator[V]:
        return iter(self._now.values())

    def items(self) -> Iterator[tuple[K, V]]:
        return iter(self._now.items())

    def mark(self) -> None:
        """From here on, `undo()` comes back to this."""
        self._before.clear()

    def undo(self) -> None:
        """Everything as it was at the last mark."""
        for key, value in self._before.items():
            if isinstance(value, _Absent):
                self._now.pop(key, None)
            else:
                self._now[key] = value
        self._before.clear()
