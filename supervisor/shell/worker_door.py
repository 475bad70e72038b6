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
from ...protocol.zmtp import Ready, Violation
from ..core.events import FleetEvent, WorkerGarbled
from .connection import Connection
from .large_messages import LargeMessages
from .worker_costs import WorkerCosts
from .worker_entrance import Entrance
from .worker_tokens import Stranger, WorkerTokens
from .worker_turn import ALONE, SHARED, Listener

STRANGERS_MAX: Final = 64  # connections that have not said who they are; the oldest makes room
HANDSHAKE_SECONDS: Final = 5.0
TURN_BYTES: Final = 4 * limits.MIB  # of all workers in one turn


class WorkerDoor:
    """Listens on a path and speaks with workers; `fileno()` is readable when there is news.

    Whoever rests on it may set `is_quiet`: it is known that it is not readable.
    """

    def __init__(self, path: Path) -> None:
        """Bind, or raise `OSError`; who is expected is set in `tokens`."""
        self.path = path
        self.tokens, self.is_quiet = WorkerTokens(), False
        self._epoll = select.epoll()
        self._entrance = Entrance(path, self._epoll)
        self._listener = Listener(self._welcome)
        self._connections: dict[int, Connection] = {}
        self._strangers: dict[int, Connection] = {}  # oldest first
        self._active: dict[int, Connection] = {}  # to be heard, next one first
        self._large = LargeMessages()
        self._costs = WorkerCosts()

    def fileno(self) -> int:
        return self._epoll.fileno()

    # -- the port ---------------------------------------------------------------------------------

    def drain(self, most: int) -> list[FleetEvent]:
        """What has arrived, at most so many messages; never blocks."""
        now = time.monotonic()
        self._costs.begin(now)
        events: list[FleetEvent] = []
        for connection in self._costs.rested(now):
            self._watch(connection)
        knocks = not self.is_quiet and self._poll()
        if self._strangers or self._large.wanted or self._entrance.is_shut:
            self._look_at_clock(events, now)
        if knocks:
            self._accept(events, now)
        if self._active:
            self._hear(events, most)
        return events

    def drained(self, count: int, others: int) -> None:
        """The turn is over: so many messages, and so many of hosts, are to be decided now."""
        self._costs.heard_others(others)
        if not count + others:
            self._costs.end_idle(time.monotonic())

    def wait_s(self) -> float | None:
        """How long until there is something to drain that `fileno()` does not tell of."""
        if self._active:
            return 0.0
        next_rested = self._costs.next_rested()
        return None if next_rested is None else max(0.0, next_rested - time.monotonic())

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
            if self._must_wait(connection) and not connection.hung_up:
                self._watch(connection)
                continue
            try:
                left -= self._give_turn(connection, events, most)
            except Stranger:
                self._drop(connection)
            except Violation as error:
                self._punish(connection, str(error), events)
            except codec.BadFrame as error:
                other = isinstance(error, codec.OtherVersion)
                self._punish(connection, str(error), events, other_version=other)
            if connection.fileno() >= 0 and connection.ended and fd not in self._active:
                self._drop(connection)

    def _give_turn(self, connection: Connection, events: list[FleetEvent], most: int) -> int:
        """Hear this connection's share; how many bytes were read."""
        share = SHARED if self._costs.is_shared(time.monotonic()) else ALONE
        heard = self._listener.hear(connection, share, most, events)
        if heard.has_more:
            self._active[connection.fileno()] = connection
        if connection.token and (heard.messages or heard.size):
            self._costs.heard(connection, heard.messages + heard.items, heard.size)
        for other in self._large.weigh(connection, time.monotonic()):
            self._watch(other)
        return heard.size

    def _watch(self, connection: Connection) -> None:
        """Have epoll report what can be done for this connection now."""
        mask = 0 if self._must_wait(connection) else select.EPOLLIN
        if connection.wants_to_send:
            mask |= select.EPOLLOUT
        if mask != connection.mask:
            if mask & ~connection.mask & select.EPOLLIN:
                self._active[connection.fileno()] = connection  # something may be here already
            connection.mask = mask
            self._epoll.modify(connection.fileno(), mask)

    def _must_wait(self, connection: Connection) -> bool:
        """Whether nothing may be heard of it now: it does not read, or has cost much."""
        return (
            connection.is_behind
            or self._costs.rests(connection)
            or self._large.must_wait(connection)
        )

    # -- who gets in ------------------------------------------------------------------------------

    def _accept(self, events: list[FleetEvent], now: float) -> None:
        let_in, refused = self._entrance.accept(now)
        for connection in let_in:
            if len(self._strangers) >= STRANGERS_MAX:
                self._drop(next(iter(self._strangers.values())))
            fd = connection.fileno()  # it is active: it introduces itself at once
            self._connections[fd] = self._strangers[fd] = self._active[fd] = connection
        for pid in refused:
            worker = self.tokens.of_process(pid)
            if worker is not None:
                self._punish(worker, "it makes connections without end", events)

    def _welcome(self, connection: Connection, ready: Ready) -> None:
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
        connection: Connection,
        why: str,
        events: list[FleetEvent],
        *,
        other_version: bool = False,
    ) -> None:
        """Close the connection of one that broke the rules; its cell hears of it."""
        if connection.token:
            events.append(WorkerGarbled(connection.token, why, other_version))
        self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        fd = connection.fileno()
        self._connections.pop(fd, None)
        self._strangers.pop(fd, None)
        self._active.pop(fd, None)
        self._costs.forget(connection)
        self.tokens.unbind(connection)
        with suppress(OSError):
            self._epoll.unregister(fd)
        connection.close()
        for other in self._large.dropped(connection, time.monotonic()):
            self._watch(other)
