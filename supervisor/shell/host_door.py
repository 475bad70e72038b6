"""The socket of hosts: a ROUTER of our own, without threads between it and the loop.

Hosts are trusted with the memory of their supervisor, workers are not (see `worker_door`): nobody
is counted, and shares are there only so that one who asks without end does not keep others waiting.
"""

from __future__ import annotations

import os
import select
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from ...protocol import limits, zmtp
from .connection import Connection, Unread

BACKLOG: Final = 4_096  # connections that may wait to be accepted in a burst
ACCEPTS: Final = 64  # in one turn
HANDSHAKE_SECONDS: Final = 5.0
SCRATCH_BYTES: Final = 256 * limits.KIB
TURN_BYTES: Final = limits.MIB  # of one host in one turn
# The same in messages. To create a cell takes a beat some 0.2 ms, and others wait for its end;
# 64 cells of one host, each going on as fast as it can, seldom have more for one beat.
TURN_MESSAGES: Final = 32
SHUT_SECONDS: Final = 0.1  # how long nobody is let in when the process has no descriptors left
# What one host has asked for and not read yet: sixteen of the largest events, in parts of
# 128 KiB, and as many small answers as it may wait for. Beyond that it is told no more, has to
# attach again, and asks again.
OF_HOSTS: Final = Unread(16 * limits.CELL_OUTPUT_BYTES_MAX, 24_000)
HELD_BYTES: Final = 64 * limits.KIB  # what is more is sent at once: a host reads it meanwhile
LAST_WORDS_SECONDS: Final = 0.2  # for those who have not read yet what they were told at the end

Heard = tuple[bytes, tuple[bytes, ...]]  # which connection, and the frames of its message


class HostDoor:
    """Listens on a path and speaks with hosts; `fileno()` is readable when there is news.

    Each connection has a name that no other one ever has here. Nothing blocks. Whoever rests on it
    may set `is_quiet`: it is known that it is not readable.
    """

    def __init__(self, path: Path) -> None:
        """Bind, or raise `OSError`."""
        self.path = path
        self.is_quiet = False
        self._made = 0
        self._shut_until = 0.0
        self._epoll = select.epoll()
        self._by_name: dict[bytes, Connection] = {}
        self._by_fd: dict[int, Connection] = {}
        self._strangers: dict[int, Connection] = {}  # oldest first
        self._active: dict[int, Connection] = {}  # to be heard, next one first
        self._told: dict[bytes, Connection] = {}  # something since the last `flush`
        self._scratch = memoryview(bytearray(SCRATCH_BYTES))
        path.unlink(missing_ok=True)  # left by a killed supervisor; we hold the lock
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.setblocking(False)
            self._socket.bind(str(path))
            os.chmod(path, 0o600)
            self._socket.listen(BACKLOG)
            self._epoll.register(self._socket, select.EPOLLIN)
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        return self._epoll.fileno()

    @property
    def has_more(self) -> bool:
        """Whether there is something to drain that `fileno()` does not tell of."""
        return bool(self._active)

    def drain(self, most: int) -> list[Heard]:
        """What has arrived, at most so many messages."""
        knocks = not self.is_quiet and self._poll()
        if self._strangers or self._shut_until:
            self._look_at_clock()
        heard: list[Heard] = []
        for fd, connection in list(self._active.items()):
            if len(heard) >= most:
                break
            if self._active.pop(fd, None) is connection:
                self._hear(connection, min(most, len(heard) + TURN_MESSAGES), heard)
        if knocks:
            self._accept()
        return heard

    def tell(self, name: bytes, header: bytes, body: bytes) -> bool:
        """Say something to a host, with `flush` at the latest.

        False: it is not connected (any more), or does not read.
        """
        connection = self._by_name.get(name)
        if connection is None or not connection.hold(header, body):
            return False
        self._told[name] = connection
        if connection.unsent_bytes >= HELD_BYTES:
            connection.flush()
        return True

    def flush(self) -> None:
        """Send what hosts were told: to each in one call, and each is woken once."""
        for connection in self._told.values():
            connection.flush()
            self._watch(connection)
        self._told.clear()

    def close(self) -> None:
        """Let those who are slow read what they were told, close everything, remove the file."""
        self._socket.close()
        deadline = time.monotonic() + LAST_WORDS_SECONDS
        for connection in self._by_fd.values():
            poll = select.poll()
            poll.register(connection.fileno(), select.POLLOUT)
            while connection.wants_to_send and (left := deadline - time.monotonic()) > 0:
                poll.poll(left * 1_000)
                connection.flush()
            connection.close()
        self._epoll.close()
        self.path.unlink(missing_ok=True)

    # -- hearing ----------------------------------------------------------------------------------

    def _poll(self) -> bool:
        """Note who can be heard, and send to those who read again. True: somebody knocks."""
        knocks = False
        for fd, mask in self._epoll.poll(0):
            connection = self._by_fd.get(fd)
            if connection is None:
                knocks = True
                continue
            if mask & select.EPOLLOUT:
                connection.flush()
                self._watch(connection)
            if mask & ~select.EPOLLOUT:
                self._active[fd] = connection
        return knocks

    def _hear(self, connection: Connection, most: int, heard: list[Heard]) -> None:
        """Take what is here of one host, as far as its share reaches."""
        read, is_empty = 0, False
        try:
            while len(heard) < most:
                found = connection.incoming.take()
                if isinstance(found, tuple):
                    heard.append((connection.token, found))
                elif isinstance(found, zmtp.Ready):
                    self._welcome(connection)
                elif isinstance(found, zmtp.Ping):
                    connection.answer(found.pong)
                elif found is None:
                    if is_empty or connection.ended:
                        break
                    if read >= TURN_BYTES:
                        self._active[connection.fileno()] = connection
                        break
                    count = connection.receive(self._scratch)
                    read += count
                    # Less than was asked for: the rest, if any, is reported by the next poll.
                    is_empty = count < SCRATCH_BYTES
            else:
                self._active[connection.fileno()] = connection
        except zmtp.Violation:
            self._drop(connection)
            return
        if connection.ended and connection.fileno() not in self._active:
            self._drop(connection)

    def _welcome(self, connection: Connection) -> None:
        self._made += 1
        connection.token = b"h" + self._made.to_bytes(8, "big")
        self._by_name[connection.token] = connection
        self._strangers.pop(connection.fileno(), None)

    def _watch(self, connection: Connection) -> None:
        """Have epoll report what can be done for this connection now."""
        mask = select.EPOLLIN | (select.EPOLLOUT if connection.wants_to_send else 0)
        if mask != connection.mask:
            connection.mask = mask
            self._epoll.modify(connection.fileno(), mask)

    # -- who gets in ------------------------------------------------------------------------------

    def _accept(self) -> None:
        now = time.monotonic()
        for _ in range(ACCEPTS):
            try:
                peer, _ = self._socket.accept()
            except BlockingIOError:
                return
            except OSError:
                # No descriptors or no memory: it would be reported again at once, and for nothing.
                self._shut_until = now + SHUT_SECONDS
                self._epoll.unregister(self._socket)
                return
            connection = Connection(peer, now, zmtp.LOOSE, OF_HOSTS)
            fd = connection.fileno()
            try:
                self._epoll.register(fd, connection.mask)
            except OSError:
                connection.close()  # the kernel watches no more for us; the peer may try again
                continue
            connection.greet()
            self._by_fd[fd] = self._strangers[fd] = connection

    def _look_at_clock(self) -> None:
        now = time.monotonic()
        for connection in list(self._strangers.values()):
            if now - connection.since < HANDSHAKE_SECONDS:
                break
            self._drop(connection)
        if self._shut_until and now >= self._shut_until:
            self._shut_until = 0.0
            self._epoll.register(self._socket, select.EPOLLIN)

    def _drop(self, connection: Connection) -> None:
        fd = connection.fileno()
        for where in (self._by_fd, self._strangers, self._active):
            where.pop(fd, None)
        self._by_name.pop(connection.token, None)
        self._told.pop(connection.token, None)
        with suppress(OSError):
            self._epoll.unregister(fd)
        connection.close()
