"""The supervisor's end of the zygote: starting it, taking command, and its messages."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from typing import Final

from ...protocol import codec
from ...protocol.zygote_messages import Command, FromZygote, Quit, ToZygote

MESSAGE_BYTES: Final = 256 * 1024
PIDFDS_MAX: Final = 200
KILL_SECONDS_MAX: Final = 5.0


class ZygoteGone(Exception):
    """The zygote has closed its connection."""


class ZygoteLink:
    """A connection to a zygote that listens; this supervisor is in command from the start."""

    def __init__(self, path: str, epoch: int) -> None:
        """Connect and take command.

        Raises:
            OSError: nobody listens there.
        """
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise
        self._socket.setblocking(False)
        self._unsent: list[bytes] = []
        self.send(Command(epoch, os.getpid()))

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, message: ToZygote) -> None:
        """Send, now or as soon as the zygote reads again."""
        self._unsent.append(b"".join(codec.TO_ZYGOTE.encode(message)))
        self.flush()

    def flush(self) -> None:
        """Send what could not be sent before."""
        while self._unsent:
            try:
                self._socket.send(self._unsent[0])
            except BlockingIOError:
                return
            except OSError:
                return  # its end is seen by `receive`
            self._unsent.pop(0)

    def receive(self) -> tuple[FromZygote, list[int]] | None:
        """One message with its pidfds, which the caller owns; None when nothing is there.

        Raises:
            ZygoteGone: the zygote has ended.
            OtherVersion: it was started by another version of us, and cannot be commanded.
        """
        try:
            body, fds, _, _ = socket.recv_fds(self._socket, MESSAGE_BYTES, PIDFDS_MAX)
        except BlockingIOError:
            return None
        except OSError as error:
            raise ZygoteGone(str(error)) from None
        if not body:
            raise ZygoteGone("the zygote closed its connection")
        frames = [body[: codec.HEADER_BYTES], body[codec.HEADER_BYTES :]]
        return codec.FROM_ZYGOTE.decode(frames), list(fds)

    def kill_peer(self) -> None:
        """SIGKILL the zygote; the kernel kills its workers with it."""
        credentials = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        pid = int.from_bytes(credentials[:4], sys.byteorder)
        with suppress(ProcessLookupError):
            pidfd = os.pidfd_open(pid)
            try:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                select.select([pidfd], [], [], KILL_SECONDS_MAX)
            finally:
                os.close(pidfd)

    def quit(self, timeout: float) -> None:
        """Have it kill its workers and end; returns when it has, or after `timeout` seconds.

        What it still says is read, not left: closing a socket with unread data would take Quit away
        from it.
        """
        self._socket.settimeout(timeout)
        deadline = time.monotonic() + timeout
        with suppress(OSError, ZygoteGone):
            self.send(Quit())
            while time.monotonic() < deadline and (received := self.receive()) is not None:
                for descriptor in received[1]:
                    os.close(descriptor)

    def close(self) -> None:
        self._socket.close()
