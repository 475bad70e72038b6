"""What a zygote knows and no worker may: kept where the kernel gives a forked child only zeros."""

from __future__ import annotations

import mmap
from typing import Final

SECRET_BYTES: Final = 16
CHUNK_SECRETS: Final = 4_096
_WIPE_ON_FORK: Final = 18  # MADV_WIPEONFORK, which `mmap` has no name for; Linux 4.14


class Vault:
    """Secrets of one size, each known by the number of its place.

    In a forked child every place reads as zeros, and nothing has to be cleared there: clearing
    would take time with each secret that is kept, and touch the memory of all.
    """

    def __init__(self) -> None:
        self._chunks: list[mmap.mmap] = []
        self._free: list[int] = []

    def keep(self, secret: bytes) -> int:
        """Where it is from now on. Raises OSError: there is no memory for more."""
        if len(secret) != SECRET_BYTES:
            raise ValueError(f"a secret of {len(secret)} bytes; all have {SECRET_BYTES}")
        if not self._free:
            self._grow()
        place = self._free.pop()
        chunk, at = self._find(place)
        chunk[at : at + SECRET_BYTES] = secret
        return place

    def read(self, place: int) -> bytes:
        """The secret that is kept there."""
        chunk, at = self._find(place)
        return chunk[at : at + SECRET_BYTES]

    def forget(self, place: int) -> None:
        """Clear the place; another secret may get it."""
        chunk, at = self._find(place)
        chunk[at : at + SECRET_BYTES] = bytes(SECRET_BYTES)
        self._free.append(place)

    def _find(self, place: int) -> tuple[mmap.mmap, int]:
        number, at = divmod(place, CHUNK_SECRETS)
        return self._chunks[number], at * SECRET_BYTES

    def _grow(self) -> None:
        size = CHUNK_SECRETS * SECRET_BYTES
        chunk = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        chunk.madvise(_WIPE_ON_FORK)
        first = len(self._chunks) * CHUNK_SECRETS
        self._chunks.append(chunk)
        self._free.extend(range(first + CHUNK_SECRETS - 1, first - 1, -1))
