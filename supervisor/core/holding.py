"""What a session holds of stored values, and whether it could hold more."""

from __future__ import annotations

from collections.abc import Iterable

from ...protocol import limits
from ...protocol.classes import dataclass
from .fleet import Fleet
from .hosts import Session
from .stream_steps import Over

Sizes = Iterable[tuple[str, int | None]]  # of keys: with their values, or None where deleted


@dataclass(frozen=True, slots=True)
class Holding:
    """The values of a session.

    Attributes:
        total: bytes of keys and values.
        keys: how many there are.
        names: bytes of the keys alone.
    """

    total: int
    keys: int
    names: int

    def over(self) -> Over | None:
        """The bound that this would exceed."""
        for limit, most, used in (
            ("stored_bytes", limits.STORED_BYTES_MAX, self.total),
            ("stored_keys", limits.STORED_KEYS_MAX, self.keys),
            ("stored_keys_bytes", limits.STORED_KEYS_BYTES_MAX, self.names),
        ):
            if used > most:
                return Over(limit, most, used)
        return None


def held_with(fleet: Fleet, session: Session, sizes: Sizes) -> Holding:
    """What the session would hold with these changes."""
    total, keys, names = session.stored_bytes, session.stored_keys, session.stored_names
    for key, size in sizes:
        before = fleet.stored.get((session.name, key))
        total += (size or 0) - (before or 0)
        if (size is None) != (before is None):
            more = 1 if before is None else -1
            keys += more
            names += more * len(key.encode())
    return Holding(total, keys, names)


def written(sizes: Sizes) -> Holding:
    """What is written or deleted, by itself: all of it has to fit into one record."""
    names = [(len(key.encode()), size or 0) for key, size in sizes]
    return Holding(sum(size for _, size in names), len(names), sum(length for length, _ in names))
