"""What wakes a supervisor that rests."""

from __future__ import annotations

import os
import select
from collections.abc import Iterable
from contextlib import suppress


class Wakeups:
    """One epoll of descriptors, and a pipe for signals. Owns both.

    Attributes:
        signalled: where signals are to be noted (`signal.set_wakeup_fd`).
    """

    def __init__(self, sources: Iterable[int]) -> None:
        self._read, self.signalled = os.pipe()
        os.set_blocking(self.signalled, False)
        os.set_blocking(self._read, False)
        self._epoll = select.epoll()
        for source in [*sources, self._read]:
            self._epoll.register(source, select.EPOLLIN)

    def wait(self, seconds: float, ignored: Iterable[int] = ()) -> set[int]:
        """Block until a source has news, or for so long; those that have. Signals count as news."""
        for source in ignored:
            self._epoll.modify(source, 0)
        ready = {source for source, _ in self._epoll.poll(seconds)}
        for source in ignored:
            self._epoll.modify(source, select.EPOLLIN)
        if self._read in ready:
            with suppress(BlockingIOError):
                os.read(self._read, 4_096)
        return ready

    def close(self) -> None:
        self._epoll.close()
        os.close(self._read)
        os.close(self.signalled)
