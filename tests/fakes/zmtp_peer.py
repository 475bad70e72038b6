"""A peer of the workers' socket that says whatever bytes a test wants said."""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from types import TracebackType
from typing import Self

from tidemark.protocol import zmtp

SECONDS = 10.0
MORE, LONG, COMMAND = 1, 2, 4


def frame(flags: int, content: bytes) -> bytes:
    """One frame as it goes on the wire."""
    if len(content) > 255:
        return struct.pack(">BQ", flags | LONG, len(content)) + content
    return bytes([flags, len(content)]) + content


def whole(header: bytes, body: bytes) -> bytes:
    """A message of two frames."""
    return frame(MORE, header) + frame(0, body)


class ZmtpPeer:
    """A stream socket; nothing is said but what the test says.

    Args:
        path: the socket to connect to.
        token: greet as a DEALER with this identity; None: do not greet.
    """

    def __init__(self, path: Path, token: bytes | None = None) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(SECONDS)
        self.socket.connect(str(path))
        if token is not None:
            self.say(zmtp.greeting_of(b"DEALER", token))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.socket.close()

    def say(self, content: bytes) -> bool:
        """Send; False: the other side has closed the connection."""
        try:
            self.socket.sendall(content)
        except OSError:
            return False
        return True

    def offer(self, content: bytes) -> int:
        """Send what fits now; how much that was."""
        self.socket.setblocking(False)
        try:
            return self.socket.send(content)
        except OSError:
            return 0
        finally:
            self.socket.settimeout(SECONDS)

    def is_closed(self) -> bool:
        """Whether the other side has closed the connection; reads what it has said."""
        self.socket.setblocking(False)
        try:
            while self.socket.recv(65_536):
                continue
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            self.socket.settimeout(SECONDS)
        return True
