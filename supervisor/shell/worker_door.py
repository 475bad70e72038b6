"""The socket of workers: who gets in, and how much of what each one says is heard at a time.

One epoll has the listener and every connection; it is level triggered, so what is left unread is
reported again. Nothing blocks. The shares below keep a worker that floods from taking more of a
beat than its neighbours, and everything that is kept of a worker from growing.
"""

from __future__ import annotations

import select
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from ...protocol import codec, limits
from ..core.events import FleetEvent, WorkerGarbled, WorkerSpoke
from .large_messages import LargeMessages
from .worker_connection import WorkerConnection
from .worker_entrance import Entrance
from .worker_tokens import Stranger, WorkerTokens
from .zmtp import Ping, Ready, Violation

STRANGERS_MAX: Final = 64  # connections that have not said who they are; the oldest makes room
HANDSHAKE_SECONDS: Final = 5.0
TURN: Final = 32  # messages of one worker in one turn
SHARE_BYTES: Final = 256 * limits.KIB  # and bytes
TURN_BYTES: Final = 4 * limits.MIB  # of all workers in one turn
SCRATCH_BYTES: Final = 64 * limits.KIB


class WorkerDoor:
    """Listens on a path and speaks with workers; `fileno()` is readable when there is news."""

    def __init__(self, path: Path) -> None:
        """Bind. Who is expected is set in `tokens`.

        Raises:
            OSError: the path cannot be bound.
        """
        self.tokens = WorkerTokens()
        self._epoll = select.epoll()
        self._entrance = Entrance(path, self._epoll)
        self._scratch = memoryview(bytearray(SCRATCH_BYTES))
        self._connections: dict[int, WorkerConnection] = {}
        self._strangers: dict[int, WorkerConnection] = {}  # oldest first
        self._active: dict[int, WorkerConnection] = {}  # to be heard, next one first
        self._large = LargeMessages()

    def fileno(self) -> int:
        return self._epoll.fileno()

    # -- the port ---------------------------------------------------------------------------------

    def drain(self, most: int) -> list[FleetEvent]:
        """What has arrived, at most so many messages; never blocks."""
        now = time.monotonic()
        events: list[FleetEvent] = []
        knocks = self._poll()
        if self._active:
            self._hear(events, most)
        if knocks:
            self._accept(events, now)
        if self._strangers or self._large.wanted or self._entrance.is_shut:
            self._look_at_clock(events, now)
        return events

    def tell(self, token: bytes, header: bytes, body: bytes) -> bool:
        """Send to a worker. False: it is not connected, or does not read."""
        connection = self.tokens.of_token(token)
        if connection is None or not connection.give(header, body):
            return False
        if connection.wants_to_send:
            self._watch(connection)
        return True

    def close(self) -> None:
        """Close every connection and remove the socket's file."""
        for connection in self._connections.values():
            connection.flush()
            connection.close()
        self._entrance.close()
        self._epoll.close()

    # -- hearing ----------------------------------------------------------------------------------

    def _poll(self) -> bool:
        """Note who can be heard, and send to those who read again. True: somebody knocks."""
        knocks = False
        for fd, mask in self._epoll.poll(0):
            connection = self._connections.get(fd)
            if connection is None:
                knocks = True
                continue
            if mask & select.EPOLLOUT:
                connection.flush()
                self._watch(connection)
            if mask & (select.EPOLLHUP | select.EPOLLERR):
                # What it has said before it ended is heard before its end, so it goes first. The
                # kernel keeps no more of it than a socket's buffer.
                connection.hung_up = True
                self._active = {fd: connection} | self._active
            elif mask & select.EPOLLIN:
                self._active.setdefault(fd, connection)
        return knocks

    def _hear(self, events: list[FleetEvent], most: int) -> None:
        """Give each that can be heard its share, once."""
        left = TURN_BYTES
        for fd, connection in list(self._active.items()):
            if len(events) >= most or left <= 0:
                return
            if self._active.pop(fd, None) is not connection:
                continue  # dropped while others were heard
            try:
                left -= self._serve(connection, events, most)
            except Stranger:
                self._drop(connection)
            except Violation as error:
                self._punish(connection, str(error), events)
            except codec.BadFrame as error:
                other = isinstance(error, codec.OtherVersion)
                self._punish(connection, str(error), events, other_version=other)
            if connection.fileno() >= 0 and connection.ended and fd not in self._active:
                self._drop(connection)

    def _serve(self, connection: WorkerConnection, events: list[FleetEvent], most: int) -> int:
        """Take this connection's share of a turn; how many bytes it has read."""
        last_words = connection.hung_up
        messages = most if last_words else TURN
        read, is_empty = 0, connection.ended
        incoming = connection.incoming
        while messages and len(events) < most:
            found = incoming.take()
            if found is not None:
                messages -= 1
                if isinstance(found, tuple):
                    message = codec.FROM_WORKER.decode(found)
                    events.append(WorkerSpoke(connection.token, message))
                elif isinstance(found, Ready):
                    self._welcome(connection, found)
                elif isinstance(found, Ping):
                    connection.answer(found.pong)
                continue
            if is_empty or (read >= SHARE_BYTES and not last_words):
                break
            count = connection.receive(self._scratch)
            read += count
            # Less than was asked for: the rest, if any, is reported by the next poll.
            is_empty = count < SCRATCH_BYTES and not (last_words and count)
        else:
            self._active[connection.fileno()] = connection  # more may be here already
        self._weigh(connection)
        return read

    def _weigh(self, connection: WorkerConnection) -> None:
        """Of large messages, only a few arrive at a time."""
        for other in self._large.weigh(connection, time.monotonic()):
            self._watch(other)

    def _watch(self, connection: WorkerConnection) -> None:
        """Have epoll report what can be done for this connection now."""
        mask = 0 if self._large.must_wait(connection) else select.EPOLLIN
        if connection.wants_to_send:
            mask |= select.EPOLLOUT
        if mask != connection.mask:
            connection.mask = mask
            self._epoll.modify(connection.fileno(), mask)

    # -- who gets in ------------------------------------------------------------------------------

    def _accept(self, events: list[FleetEvent], now: float) -> None:
        let_in, refused = self._entrance.accept(now)
        for connection in let_in:
            if len(self._strangers) >= STRANGERS_MAX:
                self._drop(next(iter(self._strangers.values())))
            self._connections[connection.fileno()] = connection
            self._strangers[connection.fileno()] = connection
        for pid in refused:
            worker = self.tokens.of_process(pid)
            if worker is not None:
                self._punish(worker, "it makes connections without end", events)

    def _welcome(self, connection: WorkerConnection, ready: Ready) -> None:
        replaced = self.tokens.bind(connection, ready)
        del self._strangers[connection.fileno()]
        if replaced is not None:
            self._drop(replaced)

    def _look_at_clock(self, events: list[FleetEvent], now: float) -> None:
        for connection in list(self._strangers.values()):
            if now - connection.since < HANDSHAKE_SECONDS:
                break
            self._drop(connection)
        for connection in self._large.late(now):
            self._punish(connection, "it does not finish a large message", events)
        self._entrance.reopen(now)

    def _punish(
        self,
        connection: WorkerConnection,
        why: str,
        events: list[FleetEvent],
        *,
        other_version: bool = False,
    ) -> None:
        """Close the connection of one that broke the rules; its cell hears of it."""
        if connection.token:
            events.append(WorkerGarbled(connection.token, why, other_version))
        self._drop(connection)

    def _drop(self, connection: WorkerConnection) -> None:
        fd = connection.fileno()
        self._connections.pop(fd, None)
        self._strangers.pop(fd, None)
        self._active.pop(fd, None)
        self.tokens.unbind(connection)
        with suppress(OSError):
            self._epoll.unregister(fd)
        connection.close()
        for other in self._large.dropped(connection, time.monotonic()):
            self._watch(other)
