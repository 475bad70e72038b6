"""Both sockets, each at a door of our own; ZeroMQ's protocol, spoken here without its library.

Hosts are trusted with the memory of their supervisor, workers are not; see `worker_door`.
"""

from __future__ import annotations

import select
from pathlib import Path
from typing import Final

from ...protocol import codec
from ...protocol.host_answers import ToHost
from ...protocol.host_requests import Request
from ...protocol.worker_messages import ToWorker
from ..core.events import FleetEvent, HostAsked, HostGarbled
from .host_door import HostDoor
from .worker_door import WorkerDoor

LINGER_SECONDS: Final = 0.0003
SELECT_MAX: Final = 1024
_IPC: Final = "ipc://"


class SocketWires:
    """See `ports.Wires`. Owns its sockets; used by one thread."""

    def __init__(self, host_endpoint: str, worker_endpoint: str) -> None:
        """Bind both; raises OSError."""
        self.host_endpoint = host_endpoint
        self.worker_endpoint = worker_endpoint
        self.hosts = HostDoor(Path(host_endpoint.removeprefix(_IPC)))
        self.workers = WorkerDoor(Path(worker_endpoint.removeprefix(_IPC)))
        self._descriptors = [self.hosts.fileno(), self.workers.fileno()]
        # An epoll cannot wait for less than a millisecond.
        self._may_select = max(self._descriptors) < SELECT_MAX

    def drain(self, most: int) -> list[FleetEvent]:
        events = self.workers.drain(max(1, most - most // 4))  # the rest is kept for hosts
        asked = self.drain_hosts(most - len(events))
        self.workers.drained(len(events), len(asked))
        return events + asked

    def linger(self) -> None:
        """Wait until something may have arrived, or for `LINGER_SECONDS`."""
        if self._may_select:
            select.select(self._descriptors, (), (), LINGER_SECONDS)
            self.hosts.is_quiet = self.workers.is_quiet = False

    def wait_s(self) -> float | None:
        """How long until workers must be looked after, whether or not anything arrives."""
        return self.workers.wait_s()

    def drain_hosts(self, most: int) -> list[FleetEvent]:
        return [_asked(who, frames) for who, frames in self.hosts.drain(most)]

    def tell_host(self, connection: bytes, message: ToHost) -> bool:
        header, body = codec.TO_HOST.encode(message)
        return self.hosts.tell(connection, header, body)

    def flush(self) -> None:
        self.hosts.flush()

    def tell_worker(self, token: bytes, message: ToWorker) -> bool:
        header, body = codec.TO_WORKER.encode(message)
        return self.workers.tell(token, header, body)

    def close(self) -> None:
        """Close the sockets and remove their files."""
        self.workers.close()
        self.hosts.close()


def _asked(who: bytes, frames: tuple[bytes, ...]) -> FleetEvent:
    try:
        message = codec.FROM_HOST.decode(frames)
    except codec.BadFrame as error:
        return HostGarbled(who, str(error))
    if not isinstance(message, Request):
        raise AssertionError("hosts send nothing but requests")
    return HostAsked(who, message)
