"""Things outside of every cell that a self-test cell must not reach; made and removed outside."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import Final

from ...protocol.classes import dataclass
from .. import scratch

DOOR: Final = "self-test.sock"


@dataclass(frozen=True, slots=True)
class Targets:
    """What is there to be attacked.

    Attributes:
        file: a file of the user's that only the user may read.
        socket: the path of a socket that listens.
        name: an abstract name of one.
        port: of TCP on 127.0.0.1, where something listens.
        pid: a process of the user's.
        door: the path of a socket beside that of the supervisor; a worker must reach it.
        own_descriptors: what the self-test itself has open.
    """

    file: str
    socket: str
    name: str
    port: int
    pid: int
    door: str
    own_descriptors: tuple[int, ...] = ()

    def beside(self, own: tuple[int, ...]) -> Targets:
        """The same for a self-test that has these descriptors open."""
        return Targets(self.file, self.socket, self.name, self.port, self.pid, self.door, own)


class Range:
    """The targets, as long as they stand."""

    def __init__(self, directory: str, workers: str) -> None:
        """Put them up in a new directory; `workers` is that of the workers' socket.

        Raises:
            OSError: the system did not let us.
        """
        self._directory = scratch.make(directory, "test")
        self._listeners: list[socket.socket] = []
        file = os.path.join(self._directory, "secret")
        with open(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600), "w") as opened:
            opened.write("nobody may read this")
        path = os.path.join(self._directory, "listens.sock")
        name = f"\0{self._directory}"
        self._door = os.path.join(workers, DOOR)
        with suppress(FileNotFoundError):
            os.unlink(self._door)  # left by a guardian that was killed
        for address in (path, name, self._door):
            self._listen(socket.AF_UNIX, address)
        os.chmod(self._door, 0o666)
        port = 9
        with suppress(OSError):  # a machine without a network at all
            port = self._listen(socket.AF_INET, ("127.0.0.1", 0)).getsockname()[1]
        self.targets = Targets(file, path, name, port, os.getpid(), self._door)

    def _listen(self, family: int, address: str | tuple[str, int]) -> socket.socket:
        listener = socket.socket(family)
        self._listeners.append(listener)
        listener.bind(address)
        listener.listen(4)
        return listener

    def remove(self) -> None:
        """Take them down."""
        for listener in self._listeners:
            listener.close()
        with suppress(FileNotFoundError):
            os.unlink(self._door)
        scratch.remove(self._directory)
