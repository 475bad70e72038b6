"""A directory of a guardian's own, that the next one removes if this one is killed."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from typing import Final

from .. import scratch

PARENT: Final = "/tmp"
PREFIX: Final = "tidemark-zygote-"


class Ground:
    """The directory, under a lock that ends with the last process that may use it."""

    def __init__(self, mode: int) -> None:
        """Make it, after removing those of the dead.

        Raises:
            OSError: the system gave none.
        """
        _sweep()
        while True:
            self.path = scratch.make(PARENT, f"{PREFIX}{os.urandom(8).hex()}")
            lock = _locked(self.path)
            if lock is not None:
                break
        self._lock = lock
        os.chmod(self.path, mode)

    def remove(self) -> None:
        """Remove it with all that is in it."""
        scratch.remove(self.path)
        os.close(self._lock)


def _locked(path: str) -> int | None:
    """Lock a new directory; None: another guardian has taken it for one of the dead."""
    try:
        lock = os.open(path, scratch.OPEN_FLAGS)
    except FileNotFoundError:
        return None
    fcntl.flock(lock, fcntl.LOCK_EX)
    if os.path.exists(path):
        return lock
    os.close(lock)
    return None


def _sweep() -> None:
    for name in os.listdir(PARENT):
        if name.startswith(PREFIX):
            with suppress(OSError):  # another user's, or just being removed
                _remove_if_left(os.path.join(PARENT, name))


def _remove_if_left(path: str) -> None:
    directory = os.open(path, scratch.OPEN_FLAGS)
    try:
        if os.fstat(directory).st_uid == os.geteuid():
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
            scratch.remove(path)
    finally:
        os.close(directory)
