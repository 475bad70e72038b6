"""The worker's socket: what is looked at must not be lost from sight."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import zmq
from tidemark.worker.wire import Wire


class Late:
    """A socket on which a message arrives right after it was found empty."""

    def __init__(self, frames: list[bytes]) -> None:
        self._frames = frames
        self._asked = 0

    def recv_multipart(self, flags: int) -> list[bytes]:
        self._asked += 1
        if self._asked != 2:
            raise zmq.Again
        return self._frames

    def getsockopt(self, option: int) -> int:
        assert option == zmq.EVENTS
        return int(zmq.POLLOUT) | (int(zmq.POLLIN) if self._asked == 1 else 0)


@pytest.fixture
def wire(tmp_path: Path) -> Any:
    return Wire(f"ipc://{tmp_path}/nobody", b"t" * 16)


def test_what_comes_while_the_connection_is_looked_at_is_received(wire: Any) -> None:
    """libzmq tells once that something has come; whoever asks it anything may be the one told."""
    wire._socket.close()
    wire._must_stay = True
    wire._socket = Late([b"head", b"body"])
    assert wire.receive() == [b"head", b"body"]
    assert wire.receive() is None
    wire._context.term()
