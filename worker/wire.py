"""A worker's connection with whichever supervisor lives: ZMTP, as a DEALER speaks it.

ZeroMQ's protocol and not its library: a context of libzmq has two threads, and what it needs for
itself is a third of what making a worker costs and of what one weighs. The other end may be any
ROUTER; the supervisor's is ours as well (see `supervisor/shell/worker_door.py`).
"""

from __future__ import annotations

import os
import select
from _socket import AF_UNIX, SOCK_STREAM, socket  # the class below Python's, which cells can change
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from operator import add
from typing import Final

from ..protocol import limits, zmtp
from . import real
from .exits import EXIT_CUT_OFF

RECONNECT_S: Final = 0.01
RECONNECT_S_MAX: Final = 0.2
SCRATCH_BYTES: Final = 64 * limits.KIB
_IN: Final = select.EPOLLIN
_IN_AND_OUT: Final = select.EPOLLIN | select.EPOLLOUT
_POP: Final[Callable[[deque[memoryview]], memoryview]] = deque.popleft


class Unsent:
    """Parts of messages that wait for room, in their order.

    A signal of the cell's may raise between any two steps of Python, so what is done and that it is
    done is one call of C: the bytes that the socket has taken, and those of the parts that are not
    kept any more, are each the one item of a deque, which `extend` replaces.
    """

    def __init__(self) -> None:
        self._parts: deque[memoryview] = deque()
        self._taken = deque([0], 1)
        self._dropped = deque([0], 1)

    @property
    def is_left(self) -> bool:
        """Whether there is anything."""
        return bool(self._parts)

    def keep(self, parts: list[memoryview]) -> None:
        """Append these; all of them, or none."""
        self._parts.extend(parts)

    def send_to(self, peer: socket) -> None:
        """Send what there is room for.

        Raises:
            OSError: the connection has ended.
        """
        parts, taken, dropped = self._parts, self._taken, self._dropped
        while parts:
            sent = taken[0] - dropped[0]
            if sent == len(parts[0]):
                dropped.extend(map(add, map(len, map(_POP, (parts,))), (dropped[0],)))
                continue
            try:
                taken.extend(map(add, map(peer.send, (parts[0][sent:],)), (taken[0],)))
            except BlockingIOError:
                return


class Wire:
    """The connection. Every method but `fileno` must be called with the owner's lock held.

    Nothing here blocks. Who waits polls `fileno()`, and does so at most for `patience_ms`; then
    `mend`, `receive` until None, and `flush`.

    Attributes:
        is_busy: something is being sent; a finalizer that speaks now is heard afterwards.
        on_lost: called when a connection has ended: whoever polls has to mend it, and may not have
            seen that it ended.
    """

    def __init__(self) -> None:
        """Without a descriptor; see `open`."""
        self._path = ""
        self._greeting = b""
        self._news: select.epoll
        self._socket: socket | None = None
        self._incoming = zmtp.Incoming()
        self._scratch = memoryview(bytearray(SCRATCH_BYTES))
        self._was_short = False
        self._is_ready = False
        self._unsent = Unsent()
        self._wants_room: bool | None = False
        self.is_busy = False
        self.on_lost: Callable[[], None] = lambda: None
        self._must_stay = False
        self._pause_s = RECONNECT_S
        self._try_at = 0.0

    def open(self, endpoint: str, token: bytes) -> None:
        """Not connected yet; `token` is the routing id and the authority."""
        self._path = endpoint.removeprefix("ipc://")
        self._greeting = zmtp.greeting_of(b"DEALER", token)
        # One descriptor to poll, whichever socket there is, and whatever it has to wait for.
        self._news = select.epoll()

    def fileno(self) -> int:
        """What to poll for reading."""
        return self._news.fileno()

    @property
    def is_connected(self) -> bool:
        """Whether something can be sent now: the other end has introduced itself.

        A ROUTER of libzmq closes a connection on which a message comes before that.
        """
        return self._is_ready

    @property
    def patience_ms(self) -> int | None:
        """How long who polls may wait; None: for ever."""
        if self._socket is not None:
            return None
        return max(0, int((self._try_at - real.monotonic()) * 1_000) + 1)

    def end_when_cut_off(self) -> None:
        """From now on the process ends when the connection does: there can be no other."""
        self._must_stay = True
        if self._socket is None:
            os._exit(EXIT_CUT_OFF)

    def mend(self) -> None:
        """Connect if there is no connection and it is time to try."""
        if self._socket is not None or real.monotonic() < self._try_at:
            return
        peer = None
        try:
            peer = socket(AF_UNIX, SOCK_STREAM)
            peer.setblocking(False)
            # A new socket has room for that; what comes of it is seen when the answer is read.
            peer.connect(self._path)
            peer.send(self._greeting)
            self._news.register(peer.fileno(), select.EPOLLIN)
        except OSError:
            if peer is not None:
                peer.close()
            self._back_off()
            return
        self._socket = peer

    def send(self, frames: list[bytes]) -> bool:
        """Send, or keep what there is no room for; False: there is no connection now.

        What was sent into a connection that ends is lost, and said again when a supervisor asks.
        """
        if not self._is_ready:
            return False
        header, body = frames
        # Kept first, and sent from the front alone: a finalizer of the cell's may speak in the
        # middle of this, on this very thread; then what it says is sent after all that was before.
        # All parts are made before any is kept: making one can run a finalizer, too.
        parts = [memoryview(part) for part in zmtp.packed(header, body)]
        self._unsent.keep(parts)
        self.flush()
        return self._is_ready

    def flush(self) -> None:
        """Send what waits, as far as the peer has made room for it."""
        if self.is_busy:
            return  # the call around this one goes on with it
        self.is_busy = True
        try:
            self._push()
        finally:
            self.is_busy = False

    def _push(self) -> None:
        peer, unsent = self._socket, self._unsent
        if peer is None:
            return
        try:
            unsent.send_to(peer)
        except OSError:
            self._disconnect(peer)
            return
        wants = unsent.is_left
        if wants != self._wants_room:
            self._wants_room = None  # until it is done: who is interrupted leaves it to the next
            try:
                self._news.modify(peer.fileno(), _IN_AND_OUT if wants else _IN)
            except (OSError, ValueError):
                return  # a cell has closed the descriptor, or we have; the next reading notices
            self._wants_room = wants

    def receive(self) -> list[bytes] | None:
        """The next message's frames; None: nothing is here.

        Raises:
            zmtp.Violation: bytes that no supervisor sends.
        """
        while True:
            found = self._incoming.take()
            if isinstance(found, tuple):
                return list(found)
            if isinstance(found, zmtp.Ready):
                self._is_ready = True
                self._pause_s = RECONNECT_S
            elif isinstance(found, zmtp.Ping):
                self._unsent.keep([memoryview(found.pong)])
            if found is None and not self._read():
                return None

    def _read(self) -> bool:
        """Whether anything more has come. What fits into one reading is not looked for again."""
        peer, was_short = self._socket, self._was_short
        self._was_short = False
        if peer is None or was_short:
            return False
        try:
            count = peer.recv_into(self._scratch)
        except BlockingIOError:
            return False
        except OSError:
            count = 0
        if count == 0:
            self._disconnect(peer)
            return False
        self._was_short = count < SCRATCH_BYTES
        self._incoming.feed(self._scratch[:count])
        return True

    def _disconnect(self, peer: socket) -> None:
        if self._must_stay:
            os._exit(EXIT_CUT_OFF)
        was_ready, self._is_ready = self._is_ready, False
        # First: if a signal interrupts the following, those who are woken do it.
        self.on_lost()
        # A copy of this process may still have it, so closing it would not end the watch.
        with suppress(OSError, ValueError):
            self._news.unregister(peer.fileno())
        peer.close()
        # A supervisor that is gone may have a successor already; one that has sent us away has not.
        if not was_ready:
            self._back_off()
        incoming, unsent = zmtp.Incoming(), Unsent()
        # No calls from here on, so no signal comes between: all of the former is gone, or nothing.
        self._was_short = self._wants_room = False
        self._incoming, self._unsent = incoming, unsent
        self._socket = None

    def _back_off(self) -> None:
        self._try_at = real.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, RECONNECT_S_MAX)

    def leave(self) -> None:
        """In a copy of this process: let go of what is the original's, and change nothing of it."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._news.close()
