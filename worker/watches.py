"""What the zygote waits for: descriptors and what to do when one is ready."""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from typing import Protocol


class HasFileno(Protocol):
    """Anything that can be polled."""

    def fileno(self) -> int:
        """The descriptor."""


class Watches:
    """An epoll with one function for each descriptor."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._on_ready: dict[int, Callable[[], None]] = {}

    def watch(self, item: HasFileno | int, on_ready: Callable[[], None]) -> None:
        """Call the function whenever the descriptor is readable, or its peer is gone."""
        descriptor = item if isinstance(item, int) else item.fileno()
        self._poll.register(descriptor, select.EPOLLIN)
        self._on_ready[descriptor] = on_ready

    def expect_room(self, item: HasFileno) -> None:
        """Call its function also when the descriptor is writable."""
        self._poll.modify(item.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def expect_input(self, item: HasFileno) -> None:
        """Call its function only when the descriptor is readable."""
        self._poll.modify(item.fileno(), select.EPOLLIN)

    def drop(self, item: HasFileno | int) -> None:
        """Watch it no longer; to be called before it is closed."""
        descriptor = item if isinstance(item, int) else item.fileno()
        if self._on_ready.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    def turn(self, timeout_s: float | None) -> None:
        """Wait until something is ready or time is up, and do what is to be done."""
        for descriptor, _ in self._poll.poll(timeout_s):
            on_ready = self._on_ready.get(descriptor)
            if on_ready is not None:  # else an earlier one of this turn has dropped it
                on_ready()


class Witness:
    """Knows whether a process is still there, by its pidfd; its number may be used again."""

    def __init__(self, pid: int | None, watches: Watches, on_gone: Callable[[], None]) -> None:
        """Without a pid it knows nothing and tells nothing; of a dead one it tells at once."""
        self.is_gone = False
        self.pidfd: int | None = None
        self._watches = watches
        self._tell = on_gone
        if pid is None:
            return
        try:
            self.pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            self._on_gone()
        else:
            watches.watch(self.pidfd, self._on_gone)

    def _on_gone(self) -> None:
        self.is_gone = True
        if self.pidfd is not None:
            self._watches.drop(self.pidfd)
        self._tell()
