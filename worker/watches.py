"""What the zygote waits for: descriptors and what to do when one is ready."""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from typing import Final, Protocol


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


GONE: Final = -1


def look_at(pid: int | None) -> int | None:
    """A pidfd for a `Witness`; None without a pid, `GONE` of a process that has ended."""
    if pid is None:
        return None
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return GONE


class Witness:
    """Knows whether a process is still there, by its pidfd; its number may be used again."""

    def __init__(self, pidfd: int | None, watches: Watches, on_gone: Callable[[], None]) -> None:
        """`pidfd` is what `look_at` gave. Without one it knows nothing and tells nothing."""
        self.is_gone = False
        self.pidfd = pidfd if pidfd != GONE else None
        self._watches = watches
        self._tell = on_gone
        if pidfd == GONE:
            self._on_gone()
        elif pidfd is not None:
            watches.watch(pidfd, self._on_gone)

    def _on_gone(self) -> None:
        self.is_gone = True
        if self.pidfd is not None:
            self._watches.drop(self.pidfd)
        self._tell()
