"""A DEALER socket on an asyncio loop, without a poller of its own.

libzmq's file descriptor is edge-triggered: it tells once that something has changed, and any send
or receive may eat the news. So after each of them the socket is asked what it has.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
from collections.abc import Callable
from typing import Final

import zmq

from ..protocol import limits
from ..protocol.errors import SupervisorUnavailableError

_POLLIN: Final = int(zmq.POLLIN)  # arithmetic with the enum is slow, and this is asked often
_LAST: Final = int(zmq.NOBLOCK)
_MORE: Final = int(zmq.NOBLOCK) | int(zmq.SNDMORE)
_BATCH_MAX: Final = 64  # messages taken in one go, so that the loop's other work gets its turn
_RECONNECT_MS: Final = 10
_RECONNECT_MS_MAX: Final = 500


class Wire:
    """One connection to a supervisor, which libzmq makes again when it breaks. For one loop.

    Args:
        endpoint: where the supervisor listens.
        on_frames: called with the frames of each message.
        on_up: called each time that the connection is there, the first time included.
        on_down: called each time that it is lost.

    Raises:
        SupervisorUnavailableError: nobody can listen at this endpoint.
    """

    def __init__(
        self,
        endpoint: str,
        on_frames: Callable[[list[bytes]], None],
        on_up: Callable[[], None],
        on_down: Callable[[], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_frames, self._on_up, self._on_down = on_frames, on_up, on_down
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.setsockopt(zmq.MAXMSGSIZE, limits.MESSAGE_BYTES_MAX)
        self._socket.setsockopt(zmq.RECONNECT_IVL, _RECONNECT_MS)
        self._socket.setsockopt(zmq.RECONNECT_IVL_MAX, _RECONNECT_MS_MAX)
        # Requests in flight are bounded by the core: a send never blocks.
        self._socket.sndhwm = self._socket.rcvhwm = 0
        watching = f"inproc://link-{os.urandom(8).hex()}"
        self._socket.monitor(watching, zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
        self._monitor = self._context.socket(zmq.PAIR)
        self._monitor.linger = 0
        self._monitor.connect(watching)
        self._looking = False
        self._fds = tuple(
            int(socket.getsockopt(zmq.FD)) for socket in (self._socket, self._monitor)
        )
        for fd in self._fds:
            self._loop.add_reader(fd, self._look)
        try:
            # A path need not be UTF-8. pyzmq takes bytes, too, and does not say so.
            self._socket.connect(os.fsencode(endpoint))  # type: ignore[arg-type]
        except (zmq.ZMQError, ValueError) as error:
            self.close()
            raise SupervisorUnavailableError(
                f"{endpoint!r:.200} cannot be connected to ({error}); name an endpoint where a "
                "supervisor listens, or its state directory"
            ) from error
        self._look_soon()  # not now: whoever makes this does not have it yet

    def send(self, frames: list[bytes]) -> None:
        """Send a message; without a connection it waits for one."""
        if self._socket.closed:
            return
        for frame in frames[:-1]:  # once libzmq has taken the first it takes them all
            self._socket.send(frame, _MORE)
        self._socket.send(frames[-1], _LAST)
        # A message may have come in meanwhile, and the send may have eaten the news of it.
        if not self._looking and _has_message(self._socket):
            self._look_soon()

    def close(self) -> None:
        """Close the connection; what was not sent is dropped."""
        if self._socket.closed:
            return
        for fd in self._fds:
            self._loop.remove_reader(fd)
        self._socket.disable_monitor()
        self._monitor.close()
        self._socket.close()
        self._context.term()

    def _look_soon(self) -> None:
        self._looking = True
        self._loop.call_soon(self._look)

    def _look(self) -> None:
        self._looking = False
        if self._socket.closed:
            return
        self._take_link_events()
        for _ in range(_BATCH_MAX):
            if self._socket.closed or not _has_message(self._socket):
                return
            with contextlib.suppress(zmq.Again):
                self._on_frames(self._socket.recv_multipart(_LAST))
        if not self._looking:
            self._look_soon()

    def _take_link_events(self) -> None:
        while not self._monitor.closed and _has_message(self._monitor):
            kind = struct.unpack("=hi", self._monitor.recv_multipart(_LAST)[0])[0]
            if kind == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._on_up()
            elif kind == zmq.EVENT_DISCONNECTED:
                self._on_down()


def _has_message(socket: zmq.Socket[bytes]) -> bool:
    return bool(int(socket.getsockopt(zmq.EVENTS)) & _POLLIN)
