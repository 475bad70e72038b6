"""Which hosts still live: a pidfd of each, in the supervisor's epoll."""

from __future__ import annotations

import os
import select
from collections.abc import Iterable

from .process_table import started_ns


class HostWatch:
    """One process per attachment. It does not own the epoll that it registers with."""

    def __init__(self, epoll: select.epoll) -> None:
        self._epoll = epoll
        self._pidfds: dict[int, int] = {}
        self._attachments: dict[int, int] = {}

    def watch(self, attachment: int, pid: int, expected_start_ns: int) -> bool:
        """Watch this process instead of an earlier one. False: it has ended."""
        self._unwatch(attachment)
        pidfd = open_process(pid, expected_start_ns)
        if pidfd is None:
            return False
        self._pidfds[attachment] = pidfd
        self._attachments[pidfd] = attachment
        self._epoll.register(pidfd, select.EPOLLIN)
        return True

    def ended(self, ready: Iterable[int]) -> list[int]:
        """Attachments whose process has ended, of descriptors that are ready."""
        found = [self._attachments[pidfd] for pidfd in ready if pidfd in self._attachments]
        for attachment in found:
            self._unwatch(attachment)
        return found

    def _unwatch(self, attachment: int) -> None:
        pidfd = self._pidfds.pop(attachment, None)
        if pidfd is not None:
            del self._attachments[pidfd]
            self._epoll.unregister(pidfd)
            os.close(pidfd)

    def close(self) -> None:
        """Watch nobody any more."""
        for attachment in list(self._pidfds):
            self._unwatch(attachment)


def open_process(pid: int, expected_start_ns: int) -> int | None:
    """A pidfd of this process, or None if it has ended (also when its pid was given to another).

    The caller owns the descriptor. A start of 0 is not compared.
    """
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return None
    actual = started_ns(pid)
    if expected_start_ns and actual != expected_start_ns:
        os.close(pidfd)
        return None
    return pidfd
