"""Both sockets: hosts at a ROUTER of libzmq, workers at a door of our own.

Hosts are trusted with the memory of their supervisor, workers are not; see `worker_door`.
"""

from __future__ import annotations

import os
import select
from pathlib import Path
from typing import Final

import zmq

from ...protocol import codec, limits
from ...protocol.host_answers import ToHost
from ...protocol.host_requests import Request
from ...protocol.worker_messages import ToWorker
from ..core.events import FleetEvent, HostAsked, HostGarbled
from .worker_door import WorkerDoor

BACKLOG: Final = 4_096  # connections that may wait to be accepted in a burst
# Plain ints: combining the flags' own type for each part costs more than sending it.
LINGER_SECONDS: Final = 0.0003
SELECT_MAX: Final = 1024
_EVENTS: Final = int(zmq.EVENTS)
_POLLIN: Final = int(zmq.POLLIN)
_MORE: Final = int(zmq.NOBLOCK) | int(zmq.SNDMORE)
_LAST: Final = int(zmq.NOBLOCK)


class ZmqWires:
    """See `ports.Wires`. Owns its context and sockets; used by one thread."""

    def __init__(self, host_endpoint: str, worker_endpoint: str) -> None:
        self.context = zmq.Context(io_threads=1)
        self.context.set(zmq.MAX_SOCKETS, 16)
        self.host_endpoint = host_endpoint
        self.worker_endpoint = worker_endpoint
        self.hosts = self._router(host_endpoint)
        self.workers = WorkerDoor(Path(worker_endpoint.removeprefix("ipc://")))
        self._hosts_wait = False
        self._hosts_quiet = False
        self._descriptors = [int(self.hosts.get(zmq.FD)), self.workers.fileno()]
        # An epoll cannot wait for less than a millisecond.
        self._may_select = max(self._descriptors) < SELECT_MAX

    def _router(self, endpoint: str) -> zmq.Socket[bytes]:
        socket: zmq.Socket[bytes] = self.context.socket(zmq.ROUTER)
        socket.set(zmq.LINGER, 0)
        socket.set(zmq.ROUTER_MANDATORY, 1)
        socket.set(zmq.MAXMSGSIZE, limits.MESSAGE_BYTES_MAX)
        socket.set(zmq.BACKLOG, BACKLOG)
        socket.set(zmq.HANDSHAKE_IVL, 5_000)
        path = endpoint.removeprefix("ipc://")
        if path != endpoint:
            Path(path).unlink(missing_ok=True)  # left by a killed supervisor; we hold the lock
        socket.bind(endpoint)
        if path != endpoint:
            os.chmod(path, 0o600)
        return socket

    def drain(self, most: int) -> list[FleetEvent]:
        events = self.workers.drain(max(1, most - most // 4))  # the rest is kept for hosts
        asked = self.drain_hosts(most - len(events))
        self.workers.drained(len(events), len(asked))
        return events + asked

    def hosts_wait(self) -> bool:
        """Whether a host's message can be read; to be asked before resting on the descriptor.

        If not, hosts are not looked for again before `rouse`.
        """
        self._hosts_wait = self._has_news()
        self._hosts_quiet = not self._hosts_wait
        return self._hosts_wait

    def linger(self) -> None:
        """Wait until something may have arrived, or for `LINGER_SECONDS`."""
        if self._may_select:
            select.select(self._descriptors, (), (), LINGER_SECONDS)
            self.rouse()
            self.workers.is_quiet = False

    def rouse(self) -> None:
        """The descriptor of hosts has had news."""
        self._hosts_quiet = False

    def _has_news(self) -> bool:
        # Asking is much cheaper than an exception, and most askings find nothing.
        return bool(int(self.hosts.get(_EVENTS)) & _POLLIN)

    def wait_s(self) -> float | None:
        """How long until workers must be looked after, whether or not anything arrives."""
        return self.workers.wait_s()

    def drain_hosts(self, most: int) -> list[FleetEvent]:
        events: list[FleetEvent] = []
        if self._hosts_quiet:
            return events
        while len(events) < most and (self._hosts_wait or self._has_news()):
            self._hosts_wait = False
            try:
                who, *frames = self.hosts.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            events.append(self._from_host(who, frames))
        return events

    def _from_host(self, who: bytes, frames: list[bytes]) -> FleetEvent:
        try:
            message = codec.FROM_HOST.decode(frames)
        except codec.BadFrame as error:
            return HostGarbled(who, str(error))
        if not isinstance(message, Request):
            raise AssertionError("hosts send nothing but requests")
        return HostAsked(who, message)

    def tell_host(self, connection: bytes, message: ToHost) -> bool:
        header, body = codec.TO_HOST.encode(message)
        try:
            # Once libzmq has taken the first part it takes them all.
            self.hosts.send(connection, _MORE)
            self.hosts.send(header, _MORE)
            self.hosts.send(body, _LAST)
        except zmq.Again:
            return False  # it does not read what it was sent before
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            return False  # it is not connected (any more)
        return True

    def tell_worker(self, token: bytes, message: ToWorker) -> bool:
        header, body = codec.TO_WORKER.encode(message)
        return self.workers.tell(token, header, body)

    def close(self) -> None:
        """Close the sockets and remove their files."""
        self.workers.close()
        self.hosts.close(linger=200)
        if self.host_endpoint.startswith("ipc://"):
            Path(self.host_endpoint.removeprefix("ipc://")).unlink(missing_ok=True)
        self.context.term()
