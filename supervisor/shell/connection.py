"""One peer's connection: its socket, what it has sent, and what it has not read yet."""

from __future__ import annotations

import select
import socket
import struct
from collections import deque
from itertools import islice
from typing import Final

from ...protocol import limits, zmtp
from ...protocol.classes import dataclass

# A peer that does not read is told no more at either bound. Each message is taken as a whole, so
# this much and one message can wait: it must be less than what a cell may make the supervisor grow.
UNREAD_BYTES_MAX: Final = 24 * limits.MIB
UNREAD_MESSAGES_MAX: Final = 1_000
PARTS_AT_ONCE: Final = 64  # in one call; the system takes 1,024
BEHIND_BYTES: Final = 512 * limits.KIB  # a worker that leaves more than that unread is not heard


@dataclass(frozen=True, slots=True)
class Unread:
    """How much may wait for a peer to read it. A message of more than 32 KiB has two parts."""

    bytes_max: int
    parts_max: int


OF_WORKERS: Final = Unread(UNREAD_BYTES_MAX, UNREAD_MESSAGES_MAX)
_CREDENTIALS: Final = struct.Struct("3i")


class Connection:
    """A stream socket with ZMTP on it; nothing here blocks. Owns the socket.

    Attributes:
        incoming: what has arrived.
        token: whose connection it is, or its name; empty before READY was accepted.
        pid: who has connected, as the kernel says; 0 when it is not visible from here.
        since: when it was accepted, in seconds of the monotonic clock.
        mask: what it is registered for with epoll.
        paid_until: until when what hearing it has cost is within its share; see `worker_costs`.
        hung_up: the peer is gone; what it said before can be read, and is all there will be.
        ended: everything has been read of a peer that is gone.
    """

    def __init__(
        self,
        peer: socket.socket,
        since: float,
        shape: zmtp.Shape = zmtp.STRICT,
        unread: Unread = OF_WORKERS,
    ) -> None:
        """Asks the kernel who it is; says nothing yet."""
        peer.setblocking(False)
        self._socket = peer
        self.incoming = zmtp.Incoming(shape)
        credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        self.pid, self.uid, _ = _CREDENTIALS.unpack(credentials)
        self.token = b""
        self.since = since
        self.mask = select.EPOLLIN
        self.paid_until = 0.0
        self.hung_up = False
        self.ended = False
        self._unsent: deque[memoryview] = deque()
        self._unsent_bytes = 0
        self._unread = unread
        self._broken = False

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def wants_to_send(self) -> bool:
        """Whether something waits for the peer to read."""
        return bool(self._unsent) and not self._broken

    @property
    def unsent_bytes(self) -> int:
        """How much waits, for the peer to read it or for `flush`."""
        return self._unsent_bytes

    @property
    def is_behind(self) -> bool:
        """Whether it leaves too much unread for anything that it says to be heard."""
        return self._unsent_bytes > BEHIND_BYTES and not self._broken

    def receive(self, scratch: memoryview) -> int:
        """Read at most so many bytes into `incoming`; how many there were. 0: nothing is here."""
        try:
            count = self._socket.recv_into(scratch)
        except BlockingIOError:
            return 0
        except OSError:
            count = 0  # reset: as good as ended
        if count:
            self.incoming.feed(scratch[:count])
        else:
            self.hung_up = self.ended = True
        return count

    def give(self, header: bytes, body: bytes) -> bool:
        """Send a message, or keep it until the peer reads. False: too much waits, or it is gone."""
        if self._takes_no_more():
            return False
        self._send(zmtp.packed(header, body))
        return not self._broken

    def hold(self, header: bytes, body: bytes) -> bool:
        """As `give`, but leave the sending to `flush`: several messages go in one call."""
        if self._takes_no_more():
            return False
        for part in zmtp.packed(header, body):
            self._keep(memoryview(part))
        return True

    def _takes_no_more(self) -> bool:
        bound = self._unread
        full = self._unsent_bytes >= bound.bytes_max or len(self._unsent) >= bound.parts_max
        return self._broken or full

    def greet(self) -> None:
        """Say first what a ROUTER says; a peer that is gone already is noticed when it is read."""
        self._send([zmtp.WELCOME])

    def answer(self, pong: bytes) -> None:
        """Answer a PING; one that finds others waiting is as good as answered by them."""
        if not self._unsent:
            self._send([pong])

    def _send(self, parts: list[bytes]) -> None:
        if self._unsent:
            sent = 0  # in their order
        else:
            try:
                sent = self._socket.sendmsg(parts)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._broken = True  # what it said before that is still read
                return
        for part in parts:
            if sent < len(part):
                self._keep(memoryview(part)[sent:])
            sent = max(0, sent - len(part))

    def _keep(self, part: memoryview) -> None:
        self._unsent.append(part)
        self._unsent_bytes += len(part)

    def flush(self) -> None:
        """Send what waits, as far as the peer has made room for it."""
        while self._unsent and not self._broken:
            try:
                sent = self._socket.sendmsg(list(islice(self._unsent, PARTS_AT_ONCE)))
            except BlockingIOError:
                return
            except OSError:
                self._broken = True
                return
            self._unsent_bytes -= sent
            while sent:
                part = self._unsent.popleft()
                if sent < len(part):
                    self._unsent.appendleft(part[sent:])
                sent = max(0, sent - len(part))

    def is_gone(self) -> bool:
        """Whether the peer has closed its end, whatever is still to be read."""
        if self.hung_up or self._broken:
            return True
        poll = select.poll()
        poll.register(self._socket, select.POLLRDHUP)
        return bool(poll.poll(0))

    def close(self) -> None:
        self._socket.close()
        self._unsent.clear()
