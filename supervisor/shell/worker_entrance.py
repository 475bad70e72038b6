"""Where workers connect: a listening socket that neither floods nor missing descriptors disturb."""

from __future__ import annotations

import os
import select
import socket
from pathlib import Path
from typing import Final

from .connection import Connection
from .knocks import Knocks

BACKLOG: Final = 4_096  # connections that may wait to be accepted in a burst
ACCEPTS: Final = 16  # in one turn
SHUT_SECONDS: Final = 0.1  # how long nobody is let in when the process has no descriptors left


class Entrance:
    """Binds a path; registered with the owner's epoll, which reports that somebody knocks."""

    def __init__(self, path: Path, epoll: select.epoll) -> None:
        """Listen.

        Raises:
            OSError: the path cannot be bound.
        """
        self.path = path
        self._epoll = epoll
        self._knocks = Knocks()
        self._shut_until = 0.0
        path.unlink(missing_ok=True)  # left by a killed supervisor; we hold the lock
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.setblocking(False)
            self._socket.bind(str(path))
            # Nobody else can enter the directory above; workers come through it as other users.
            os.chmod(path, 0o666)
            self._socket.listen(BACKLOG)
            epoll.register(self._socket, select.EPOLLIN)
        except OSError:
            self._socket.close()
            raise

    @property
    def is_shut(self) -> bool:
        """Whether nobody is let in until `reopen`."""
        return bool(self._shut_until)

    def accept(self, now: float) -> tuple[list[Connection], list[int]]:
        """Those who have come in, and the processes that come too often and were sent away."""
        let_in: list[Connection] = []
        refused: list[int] = []
        for _ in range(ACCEPTS):
            try:
                peer, _ = self._socket.accept()
            except BlockingIOError:
                break
            except OSError:
                # No descriptors or no memory: it would be reported again at once, and for nothing.
                self._shut_until = now + SHUT_SECONDS
                self._epoll.unregister(self._socket)
                break
            connection = Connection(peer, now)
            if connection.pid and not self._knocks.allows(connection.pid, now):
                connection.close()
                refused.append(connection.pid)
            elif self._watched(connection):
                connection.greet()
                let_in.append(connection)
        return let_in, refused

    def _watched(self, connection: Connection) -> bool:
        try:
            self._epoll.register(connection.fileno(), connection.mask)
        except OSError:
            connection.close()  # the kernel watches no more for us; the peer may try again
            return False
        return True

    def reopen(self, now: float) -> None:
        """Let in again, if it is time."""
        if self._shut_until and now >= self._shut_until:
            self._shut_until = 0.0
            self._epoll.register(self._socket, select.EPOLLIN)

    def close(self) -> None:
        """Let nobody in any more, and remove the file."""
        self._socket.close()
        self.path.unlink(missing_ok=True)
