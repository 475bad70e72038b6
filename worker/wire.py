"""A DEALER socket that several threads share under one lock, and the bells that wake them."""

from __future__ import annotations

import os
import select
from typing import Final

import zmq

from ..protocol import limits
from .exits import EXIT_CUT_OFF

RECONNECT_MS: Final = 10
RECONNECT_MS_MAX: Final = 200
FRAME_OVERHEAD_BYTES: Final = 1024
# Plain ints: arithmetic with the flags' own types takes longer than what they are for.
_POLLIN: Final = int(zmq.POLLIN)
_POLLOUT: Final = int(zmq.POLLOUT)
_LAST: Final = int(zmq.NOBLOCK)
_MORE: Final = int(zmq.NOBLOCK) | int(zmq.SNDMORE)


class Bell:
    """Wakes a thread that polls its file descriptor; ringing twice is ringing once."""

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        """What to poll for reading."""
        return self._fd

    def ring(self) -> None:
        """Wake whoever polls, or will."""
        os.eventfd_write(self._fd, 1)

    def silence(self) -> None:
        """Forget that it rang."""
        try:
            os.eventfd_read(self._fd)
        except BlockingIOError:
            return


class Wire:
    """The socket. Every method but `wait` must be called with the owner's lock held.

    libzmq's file descriptor is edge triggered: whoever looks at the socket's state can take the
    edge from the thread that waits. So that thread has a bell beside it, and whoever has sent
    something looks whether there is news, and rings.
    """

    def __init__(self, endpoint: str, token: bytes) -> None:
        """Connects in the background; `token` is the routing id and the authority."""
        self._context = zmq.Context(io_threads=1)
        socket = self._context.socket(zmq.DEALER)
        socket.setsockopt(zmq.ROUTING_ID, token)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.MAXMSGSIZE, limits.MESSAGE_BYTES_MAX + FRAME_OVERHEAD_BYTES)
        socket.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MS_MAX)
        # What is sent into a connection that does not exist would be lost silently; so it is
        # refused, and said again when a supervisor asks.
        socket.setsockopt(zmq.IMMEDIATE, 1)
        socket.setsockopt(zmq.SNDHWM, 0)  # the stream has its own bound
        socket.connect(endpoint)
        self._socket = socket
        self._must_stay = False
        self._bell = Bell()
        self._poll = select.poll()
        self._poll.register(int(socket.getsockopt(zmq.FD)), select.POLLIN)
        self._poll.register(self._bell.fileno(), select.POLLIN)

    def end_when_cut_off(self) -> None:
        """From now on the process ends when the connection does: there can be no other."""
        self._must_stay = True
        self._check()

    def _check(self) -> None:
        # Whoever looked at the socket has seen its news; nobody may be left waiting for them.
        if self._must_stay and not self.is_connected():
            os._exit(EXIT_CUT_OFF)

    def send(self, frames: list[bytes]) -> bool:
        """Send without waiting; False: there is no connection now."""
        try:
            for frame in frames[:-1]:  # once libzmq has taken the first it takes them all
                self._socket.send(frame, _MORE)
            self._socket.send(frames[-1], _LAST)
        except zmq.Again:
            self._check()
            return False
        return True

    def receive(self) -> list[bytes] | None:
        """The next message's frames; None: nothing is here."""
        while True:
            try:
                return self._socket.recv_multipart(_LAST)
            except zmq.Again:
                # Looking whether there is a connection may take the news of what has come since.
                if not self._must_stay or not self.has_news():
                    return None

    def has_news(self) -> bool:
        """Whether something can be received now."""
        self._check()
        return bool(int(self._socket.getsockopt(zmq.EVENTS)) & _POLLIN)

    def is_connected(self) -> bool:
        """Whether something can be sent now."""
        return bool(int(self._socket.getsockopt(zmq.EVENTS)) & _POLLOUT)

    def ring(self) -> None:
        """Make the thread in `wait` return; may be called without the lock."""
        self._bell.ring()

    def wait(self, timeout_ms: int | None) -> None:
        """Block until the socket's state may have changed, the bell rings, or time is up."""
        self._poll.poll(timeout_ms)
        self._bell.silence()
