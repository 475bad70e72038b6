"""Raw ZeroMQ frames to a supervisor's sockets: what no honest peer sends."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

import zmq

HEAR_MS = 5_000


class RawWire:
    """A DEALER without Tidemark on it.

    Args:
        endpoint: the socket to connect to.
        identity: its routing id; None lets libzmq choose.
    """

    def __init__(self, endpoint: str, identity: bytes | None = None) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        if identity is not None:
            self._socket.setsockopt(zmq.ROUTING_ID, identity)
        self._socket.connect(endpoint)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()
        self._context.term()

    def say(self, frames: Sequence[bytes]) -> None:
        """Send these frames as one message."""
        self._socket.send_multipart(list(frames))

    def hear(self, milliseconds: int = HEAR_MS) -> list[bytes] | None:
        """The next message, or None when none comes in time."""
        if not self._socket.poll(milliseconds):
            return None
        return self._socket.recv_multipart()
