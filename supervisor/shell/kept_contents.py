"""Recently written contents in memory, so that what is committed is seldom read back."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from ..core.records import CellCreated, Entry
from .ports import Store

KEPT_BYTES_MAX: Final = 8 * 1024 * 1024
ENTRY_BYTES: Final = 250  # of memory, besides the content: many are small
# What is larger costs more to keep beside its copies on the way than to read back once.
CONTENT_BYTES_MAX: Final = 256 * 1024
CREATED_BYTES_MAX: Final = 64 * 1024
CREATED_MAX: Final = 256


class KeptContents:
    """A bounded copy of the newest contents; everything else comes from the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: OrderedDict[tuple[str, str, int], bytes] = OrderedDict()
        self._bytes = 0
        self._created: OrderedDict[str, CellCreated] = OrderedDict()

    def put(self, entries: Iterable[Entry]) -> None:
        """Remember what has just been committed."""
        for entry in entries:
            for content in entry.contents:
                self._put((content.cell, content.kind, content.number), content.body)
            made = entry.record
            if isinstance(made, CellCreated) and _size(made) < CREATED_BYTES_MAX:
                self._created[made.cell] = made
        while self._bytes > KEPT_BYTES_MAX:
            self._bytes -= ENTRY_BYTES + len(self._kept.popitem(last=False)[1])
        while len(self._created) > CREATED_MAX:
            self._created.popitem(last=False)

    def _put(self, key: tuple[str, str, int], body: bytes) -> None:
        older = self._kept.pop(key, None)
        if older is not None:
            self._bytes -= ENTRY_BYTES + len(older)
        if len(body) <= CONTENT_BYTES_MAX:
            self._kept[key] = body
            self._bytes += ENTRY_BYTES + len(body)

    def get(self, cell: str, kind: str, first: int, stop: int) -> list[bytes]:
        """Contents numbered `first` up to (without) `stop`."""
        if first >= stop:
            return []
        found = [self._kept.get((cell, kind, number)) for number in range(first, stop)]
        present = [body for body in found if body is not None]
        if len(present) == len(found):
            return present
        return self._store.contents(cell, kind, first, stop)

    def created(self, cell: str) -> CellCreated:
        """The cell's first record."""
        return self._created.get(cell) or self._store.created(cell)


def _size(made: CellCreated) -> int:
    return len(made.source) + len(made.inputs)
