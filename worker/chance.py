"""Randomness that a seed tells: everything in Python that asks the system for random bytes."""

from __future__ import annotations

import random
import sys
import threading
import uuid
from _sha3 import shake_256  # type: ignore[import-not-found] # that of `hashlib` is OpenSSL's, which is large
from collections.abc import Callable
from typing import Any, Final

from . import real

SEED_BYTES: Final = 32
MULTICAST_BIT: Final = 1 << 40  # says that a node number is no network card's


class Chance:
    """The functions. They ask the system until a cell's seed is put behind them."""

    def __init__(self) -> None:
        self._seed: bytes | None = None
        self._asked = 0
        self._thread: int | None = None
        self._on_foreign: Callable[[str], None] = lambda _: None
        self._seed_before: Any = random.Random.seed
        shake_256(b"").digest(1)  # the first one in a process takes ten times as long

    def begin(self, seed: bytes, on_foreign: Callable[[str], None]) -> None:
        """Draw everything from these 32 bytes from now on, on this thread."""
        self._seed, self._asked = seed, 0
        self._thread = threading.get_ident()
        self._on_foreign = on_foreign
        random.seed()
        self._begin_uuid()
        if (numpy := sys.modules.get("numpy.random")) is not None:
            # Loading it costs more than all the rest; loaded later, it asks us for its seed.
            words = self.urandom(SEED_BYTES)
            numpy.seed([int.from_bytes(words[at : at + 4], "big") for at in range(0, 32, 4)])

    def _begin_uuid(self) -> None:
        names: dict[str, Any] = vars(uuid)
        names["_generate_time_safe"] = None  # the system's library reads the clock itself
        names["_node"] = int.from_bytes(self.urandom(6), "big") | MULTICAST_BIT
        names["_last_timestamp"] = None

    def release(self) -> None:
        """This is a copy of the process: draw what the original does not."""
        self._seed = None

    def urandom(self, size: int, /) -> bytes:
        seed = self._seed
        if seed is None or self._is_foreign():
            return real.urandom(size)
        self._asked += 1
        drawn: bytes = shake_256(b"%b%d" % (seed, self._asked)).digest(size)
        return drawn

    def getrandom(self, size: int, flags: int = 0) -> bytes:
        return real.getrandom(size, flags) if self._seed is None else self.urandom(size)

    def _is_foreign(self) -> bool:
        if threading.get_ident() == self._thread:
            return False
        self._on_foreign("randomness in another thread")
        return True

    def replace_in_random(self) -> None:
        """A generator that is given no seed asks us and not the system."""
        seed_before = self._seed_before

        def seed(this: random.Random, a: Any = None, version: int = 2) -> None:
            if a is None and self._seed is not None:
                a = int.from_bytes(self.urandom(SEED_BYTES), "big")
            seed_before(this, a, version)

        names: dict[str, Any] = vars(random)
        random.Random.seed = seed  # type: ignore[method-assign,assignment]
        names["_urandom"] = self.urandom
        names["seed"] = names["_inst"].seed
