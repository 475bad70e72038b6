"""The zygote's end of a connection with a supervisor: whole messages, some with descriptors."""

from __future__ import annotations

import os
import socket
from collections import deque
from typing import Final

from ..protocol import codec
from ..protocol.zygote_messages import FromZygote, ToZygote

RECEIVED_BYTES_MAX: Final = 64 * 1024


class Post:
    """A SEQPACKET connection that never blocks: what cannot be sent yet is kept, in order."""

    def __init__(self, connection: socket.socket) -> None:
        """Owns the connection from now on."""
        connection.setblocking(False)
        self._connection = connection
        self._outgoing: deque[tuple[bytes, list[int]]] = deque()

    def fileno(self) -> int:
        """What to poll."""
        return self._connection.fileno()

    @property
    def is_behind(self) -> bool:
        """Whether something waits to be sent."""
        return bool(self._outgoing)

    def send(self, message: FromZygote, descriptors: tuple[int, ...] = ()) -> None:
        """Send a message with copies of these descriptors, now or when the peer has read enough.

        Raises:
            OSError: the peer is gone.
        """
        packet = b"".join(codec.FROM_ZYGOTE.encode(message))
        self._outgoing.append((packet, [os.dup(descriptor) for descriptor in descriptors]))
        self.flush()

    def flush(self) -> None:
        """Send what waits, as far as the peer reads.

        Raises:
            OSError: the peer is gone.
        """
        while self._outgoing:
            packet, descriptors = self._outgoing[0]
            try:
                socket.send_fds(self._connection, [packet], descriptors)
            except BlockingIOError:
                return
            self._outgoing.popleft()
            _close_all(descriptors)

    def receive(self) -> ToZygote | None:
        """The next message; None: the peer is gone.

        Raises:
            BlockingIOError: nothing is here.
            BadFrame: what no supervisor of this version sends.
            OSError: the peer is gone.
        """
        packet = self._connection.recv(RECEIVED_BYTES_MAX)
        if not packet:
            return None
        return codec.TO_ZYGOTE.decode([packet[: codec.HEADER_BYTES], packet[codec.HEADER_BYTES :]])

    def close(self) -> None:
        """Close the connection; what waits is dropped."""
        self._connection.close()
        while self._outgoing:
            _close_all(self._outgoing.popleft()[1])


def _close_all(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
