"""The wires between a supervisor and its peers, with delays, broken connections and crashes."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from ..protocol import codec
from ..protocol.host_answers import ToHost
from ..protocol.worker_messages import ToWorker
from ..supervisor.core.events import FleetEvent, HostAsked, WorkerSpoke
from .sim_time import SimTime

Message = Any


class Net:
    """Every connection of the machine; outlives supervisors.

    Attributes:
        slowness: how much longer than usual messages take.
        encodes: send real bytes, not the messages themselves.
        repeats: how likely a message to the supervisor is to arrive twice.
        straggles: how likely what a host sent on a broken connection is to arrive after all, later
            than what it sent on the next one.
        full_after: a worker that has not read so many messages gets no more; 0: no bound.
    """

    def __init__(self, time: SimTime, rng: random.Random) -> None:
        self.time = time
        self.rng = rng
        self.slowness = 1
        self.encodes = False
        self.repeats = 0.0
        self.straggles = 0.0
        self.full_after = 0
        self.on_arrival: Callable[[], None] = lambda: None
        self.listening: SimWires | None = None
        self.lines: dict[bytes, Line] = {}
        self.peers: list[Line] = []

    def delay_ns(self) -> int:
        """How long the next message takes."""
        return int(self.rng.expovariate(1 / 200_000) * self.slowness) + 20_000

    def listen(self) -> SimWires:
        """A supervisor binds; its peers connect when they notice."""
        self.listening = SimWires(self)
        for line in self.peers:
            line.connect_soon()
        return self.listening

    def close(self) -> None:
        """The supervisor is gone. What it sent may still arrive, in order; what it did not read
        is lost."""
        self.listening = None
        for line in list(self.lines.values()):
            line.down(keeps=self.rng.random() < 0.7)


class Line:
    """One peer's connection.

    Args:
        name: the routing id; a host gets another with each connection.
        hear: given each message that arrives.
        on_up: called each time that there is a connection.
        queues: what is sent without a connection waits for one (else it is refused).
    """

    def __init__(
        self,
        net: Net,
        name: bytes,
        hear: Callable[[Any], None],
        on_up: Callable[[], None],
        *,
        queues: bool,
    ) -> None:
        self.net = net
        self.name = name
        self.is_connected = False
        self.unread = 0
        self.is_stalled = False
        self._first_name = name
        self._hear, self._on_up = hear, on_up
        self._queues = queues
        self._queue: list[Message] = []
        self._connections = 0
        self._last_in_ns = 0
        self._last_out_ns = 0
        self._closed = False
        self._lost_upto = 0
        self._late_upto = 0
        self._last_late_ns = 0
        net.peers.append(self)

    @property
    def connection(self) -> int:
        """Which one it is, counted from 1; another number: there was another one between."""
        return self._connections

    def connect_soon(self) -> None:
        """Connect after a while, if somebody listens then."""
        self.net.time.later(self.net.rng.randrange(50_000, 20_000_000), self._connect)

    def _connect(self) -> None:
        if self._closed or self.is_connected or self.net.listening is None:
            return
        self._connections += 1
        if self._queues:
            self.name = self._first_name + b"-%d" % self._connections
        self.net.lines[self.name] = self
        self.is_connected = True
        queue, self._queue = self._queue, []
        for message in queue:
            self.send(message)
        self._on_up()

    def down(self, *, keeps: bool) -> None:
        """The connection breaks. `keeps`: what is on its way to the peer still arrives."""
        self.is_connected = False
        self.net.lines.pop(self.name, None)
        if not keeps:
            self._lost_upto = self._connections

    def drop(self) -> None:
        """The connection breaks, and is made again after a while."""
        if self.is_connected:
            if self._queues and self.net.rng.random() < self.net.straggles:
                self._late_upto = self._connections
            self.down(keeps=False)
            self.connect_soon()

    def close(self) -> None:
        """The peer is gone."""
        if not self._closed:
            self._closed = True
            self.is_connected = False
            self.net.lines.pop(self.name, None)
            self.net.peers.remove(self)

    # -- to the supervisor ------------------------------------------------------------------------

    def send(self, message: Message) -> bool:
        """Send; False: there is no connection."""
        if not self.is_connected:
            if self._queues and not self._closed:
                self._queue.append(message)
            return self._queues
        at_ns = max(self._last_in_ns + 1, self.net.time.now_ns + self.net.delay_ns())
        self._last_in_ns = at_ns
        name, connection, wires = self.name, self._connections, self.net.listening
        event = HostAsked(name, message) if self._queues else WorkerSpoke(name, message)
        if self.net.encodes:
            event = _reencoded(event)

        def read() -> None:
            if wires is not None and wires is self.net.listening:
                wires.arrived.append(event)
                if self.net.rng.random() < self.net.repeats:
                    wires.arrived.append(event)
                self.net.on_arrival()

        def arrive() -> None:
            # Bytes that a killed process had handed over are still read; of a broken connection
            # nothing is, or, if the supervisor had them already, whenever it comes to them.
            if self._closed or (self.is_connected and connection == self._connections):
                read()
            elif connection <= self._late_upto:
                self._later_than_the_last(read)

        self.net.time.later(at_ns - self.net.time.now_ns, arrive)
        return True

    def _later_than_the_last(self, read: Callable[[], None]) -> None:
        now_ns = self.net.time.now_ns
        late_ns = now_ns + self.net.rng.randrange(40_000_000)
        self._last_late_ns = max(self._last_late_ns + 1, late_ns)
        self.net.time.later(self._last_late_ns - now_ns, read)

    # -- from the supervisor ----------------------------------------------------------------------

    def give(self, message: Message) -> bool:
        """The supervisor sends; False: it cannot."""
        if not self.is_connected:
            return False
        if self.net.full_after and self.is_stalled and self.unread >= self.net.full_after:
            return False
        at_ns = max(self._last_out_ns + 1, self.net.time.now_ns + self.net.delay_ns())
        self._last_out_ns = at_ns
        connection = self._connections
        self.unread += 1

        def arrive() -> None:
            self.unread -= 1
            if not self._closed and connection > self._lost_upto:
                self._hear(message)

        self.net.time.later(at_ns - self.net.time.now_ns, arrive)
        return True


def _reencoded(event: HostAsked | WorkerSpoke) -> HostAsked | WorkerSpoke:
    """The event after its message has been bytes."""
    if isinstance(event, HostAsked):
        frames = codec.FROM_HOST.encode(event.request)
        return HostAsked(event.connection, codec.FROM_HOST.decode(frames))
    frames = codec.FROM_WORKER.encode(event.message)
    return WorkerSpoke(event.token, codec.FROM_WORKER.decode(frames))


class SimWires:
    """See `ports.Wires`."""

    def __init__(self, net: Net) -> None:
        self._net = net
        self.arrived: list[FleetEvent] = []
        self._held: list[tuple[Line, ToHost]] = []

    def drain(self, most: int) -> list[FleetEvent]:
        events, self.arrived = self.arrived[:most], self.arrived[most:]
        return events

    def drain_hosts(self, most: int) -> list[FleetEvent]:
        events: list[FleetEvent] = []
        left: list[FleetEvent] = []
        for event in self.arrived:
            heard = isinstance(event, HostAsked) and len(events) < most
            (events if heard else left).append(event)
        self.arrived = left
        return events

    def tell_host(self, connection: bytes, message: ToHost) -> bool:
        if self._net.encodes:
            message = codec.TO_HOST.decode(codec.TO_HOST.encode(message))
        line = self._net.lines.get(connection)
        if line is None:
            return False
        self._held.append((line, message))
        return True

    def flush(self) -> None:
        held, self._held = self._held, []
        for line, message in held:
            line.give(message)  # or its connection has broken, and it is lost on the way

    def tell_worker(self, token: bytes, message: ToWorker) -> bool:
        if self._net.encodes:
            message = codec.TO_WORKER.decode(codec.TO_WORKER.encode(message))
        line = self._net.lines.get(token)
        return line is not None and line.give(message)
