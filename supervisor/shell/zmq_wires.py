"""The two ROUTER sockets: bytes become events here, and messages become bytes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import zmq

from ...protocol import codec, limits
from ...protocol.host_answers import ToHost
from ...protocol.host_requests import Request
from ...protocol.ids import TOKEN_BYTES
from ...protocol.worker_messages import ToWorker
from ..core.events import FleetEvent, HostAsked, HostGarbled, WorkerGarbled, WorkerSpoke

BACKLOG: Final = 4_096  # connections that may wait to be accepted in a burst
# Plain ints: combining the flags' own type for each part costs more than sending it.
_MORE: Final = int(zmq.NOBLOCK) | int(zmq.SNDMORE)
_LAST: Final = int(zmq.NOBLOCK)
TURN: Final = 64  # messages from one socket before the other is looked at


class ZmqWires:
    """See `ports.Wires`. Owns its context and sockets; used by one thread."""

    def __init__(self, host_endpoint: str, worker_endpoint: str) -> None:
        self.context = zmq.Context(io_threads=1)
        self.context.set(zmq.MAX_SOCKETS, 16)
        self.host_endpoint = host_endpoint
        self.worker_endpoint = worker_endpoint
        self.hosts = self._router(host_endpoint)
        self.workers = self._router(worker_endpoint)

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
        events: list[FleetEvent] = []
        quiet = 0
        sources = (self.workers, self.hosts)
        while len(events) < most and quiet < len(sources):
            quiet = 0
            for socket in sources:
                before = len(events)
                for _ in range(min(TURN, most - len(events))):
                    event = self._receive(socket)
                    if event is None:
                        break
                    events.append(event)
                quiet += len(events) == before
        return events

    def _receive(self, socket: zmq.Socket[bytes]) -> FleetEvent | None:
        # Asking is much cheaper than an exception, and most askings find nothing.
        if not int(socket.get(zmq.EVENTS)) & zmq.POLLIN:
            return None
        try:
            who, *frames = socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return None
        if socket is self.hosts:
            return self._from_host(who, frames)
        if len(who) != TOKEN_BYTES:
            return WorkerGarbled(who, "not a worker's token")
        try:
            return WorkerSpoke(who, codec.FROM_WORKER.decode(frames))
        except codec.BadFrame as error:
            return WorkerGarbled(who, str(error), isinstance(error, codec.OtherVersion))

    def _from_host(self, who: bytes, frames: list[bytes]) -> FleetEvent:
        try:
            message = codec.FROM_HOST.decode(frames)
        except codec.BadFrame as error:
            return HostGarbled(who, str(error))
        if not isinstance(message, Request):
            raise AssertionError("hosts send nothing but requests")
        return HostAsked(who, message)

    def tell_host(self, connection: bytes, message: ToHost) -> bool:
        return self._send(self.hosts, connection, codec.TO_HOST.encode(message))

    def tell_worker(self, token: bytes, message: ToWorker) -> bool:
        return self._send(self.workers, token, codec.TO_WORKER.encode(message))

    def _send(self, socket: zmq.Socket[bytes], who: bytes, frames: list[bytes]) -> bool:
        header, body = frames
        try:
            # Once libzmq has taken the first part it takes them all.
            socket.send(who, _MORE)
            socket.send(header, _MORE)
            socket.send(body, _LAST)
        except zmq.Again:
            return False  # it does not read what it was sent before
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            return False  # it is not connected (any more)
        return True

    def close(self) -> None:
        """Close the sockets and remove their files."""
        for socket, endpoint in (
            (self.hosts, self.host_endpoint),
            (self.workers, self.worker_endpoint),
        ):
            socket.close(linger=200)
            if endpoint.startswith("ipc://"):
                Path(endpoint.removeprefix("ipc://")).unlink(missing_ok=True)
        self.context.term()
