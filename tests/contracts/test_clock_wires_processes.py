"""The smaller ports: what both the real thing and the fake do, as far as one process can see."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import zmq
from tidemark.protocol import codec
from tidemark.protocol.host_answers import Unattached
from tidemark.protocol.host_requests import AskInfo, Request
from tidemark.protocol.ids import Incarnation, worker_token
from tidemark.protocol.limits import Limits
from tidemark.protocol.worker_messages import Acknowledge, Hello
from tidemark.simulation.sim_processes import SimProcesses, Worker, Zygote
from tidemark.simulation.sim_time import SimClock, SimTime
from tidemark.simulation.sim_wires import Line, Net
from tidemark.supervisor.core.events import (
    FleetEvent,
    HostAsked,
    HostGone,
    WorkerEnded,
    WorkerForked,
    WorkersListed,
    WorkerSpoke,
)
from tidemark.supervisor.shell.clock import SystemClock
from tidemark.supervisor.shell.os_processes import OsProcesses
from tidemark.supervisor.shell.ports import Clock, Processes, Wires
from tidemark.supervisor.shell.socket_wires import SocketWires

from fakes.waiting import until

CELL, LIFE = "c00000000000001-00000007", Incarnation(1, 1)
TOKEN = worker_token(b"s" * 32, CELL, LIFE)
STRANGER = worker_token(b"s" * 32, CELL, Incarnation(1, 2))
HELLO = Hello(CELL, LIFE, 0, False, 0, 0, 5, "python")
ASKED = Request(0, 1, 1, (), AskInfo())


# -- Clock ----------------------------------------------------------------------------------------


@pytest.fixture(params=["simulated", "system"])
def clock(request: pytest.FixtureRequest) -> Clock:
    return SystemClock() if request.param == "system" else SimClock(SimTime())


def test_time_never_goes_back(clock: Clock) -> None:
    readings = [clock.now_ns() for _ in range(100)]
    assert readings == sorted(readings)
    assert readings[0] > 1_600_000_000 * 1_000_000_000


def test_both_readings_are_of_one_clock(clock: Clock) -> None:
    offset = clock.now_ns() - clock.monotonic_ns()
    assert abs(clock.now_ns() - clock.monotonic_ns() - offset) < 1_000_000_000


# -- Wires ----------------------------------------------------------------------------------------


@dataclass
class Ends:
    """A supervisor's wires and, at the other end, one worker and one host.

    `pump` lets what is under way arrive.
    """

    wires: Wires
    from_worker: Callable[[Hello], object]
    from_host: Callable[[Request], object]
    heard_by_worker: list[object]
    heard_by_host: list[object]
    pump: Callable[[], object]

    def arrived(self, count: int) -> list[FleetEvent]:
        """The next events."""
        events: list[FleetEvent] = []

        def look() -> bool:
            self.pump()
            events.extend(self.wires.drain(count - len(events)))
            return len(events) >= count

        until(look)
        return events


def _simulated() -> Ends:
    time = SimTime()
    net = Net(time, random.Random(1))
    wires = net.listen()
    worker_heard: list[object] = []
    host_heard: list[object] = []
    worker = Line(net, TOKEN, worker_heard.append, lambda: None, queues=False)
    host = Line(net, b"host", host_heard.append, lambda: None, queues=True)
    worker.connect_soon()
    host.connect_soon()

    def pump() -> None:
        while time.step(time.now_ns + 100_000_000):
            pass

    pump()
    return Ends(wires, worker.send, host.send, worker_heard, host_heard, pump)


def _real(directory: Path) -> Iterator[Ends]:
    wires = SocketWires(f"ipc://{directory}/h", f"ipc://{directory}/w")
    context = zmq.Context()
    worker, host = context.socket(zmq.DEALER), context.socket(zmq.DEALER)
    worker.setsockopt(zmq.ROUTING_ID, TOKEN)
    worker.connect(wires.worker_endpoint)
    host.connect(wires.host_endpoint)
    worker_heard: list[object] = []
    host_heard: list[object] = []

    def pump() -> None:
        while worker.poll(5):
            worker_heard.append(codec.TO_WORKER.decode(worker.recv_multipart()))
        while host.poll(5):
            host_heard.append(codec.TO_HOST.decode(host.recv_multipart()))

    yield Ends(
        wires,
        lambda message: worker.send_multipart(codec.FROM_WORKER.encode(message)),
        lambda message: host.send_multipart(codec.FROM_HOST.encode(message)),
        worker_heard,
        host_heard,
        pump,
    )
    worker.close(linger=0)
    host.close(linger=0)
    context.term()
    wires.close()


@pytest.fixture(params=["simulated", "zmq"])
def ends(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ends]:
    if request.param == "simulated":
        yield _simulated()
    else:
        yield from _real(tmp_path)


def test_what_is_sent_arrives_in_order_with_its_connection(ends: Ends) -> None:
    for number in range(5):
        ends.from_worker(Hello(CELL, LIFE, 0, False, number, 0, 5, "python"))
    events = ends.arrived(5)
    assert [type(event) for event in events] == [WorkerSpoke] * 5
    spoke = [event for event in events if isinstance(event, WorkerSpoke)]
    assert [event.token for event in spoke] == [TOKEN] * 5
    assert [event.message.said for event in spoke if isinstance(event.message, Hello)] == [
        *range(5)
    ]


def test_both_can_be_answered(ends: Ends) -> None:
    ends.from_worker(HELLO)
    ends.from_host(ASKED)
    asked = [event for event in ends.arrived(2) if isinstance(event, HostAsked)]
    assert [event.request for event in asked] == [ASKED]
    assert ends.wires.tell_worker(TOKEN, Acknowledge(1, 2, 3))
    assert ends.wires.tell_host(asked[0].connection, Unattached(1, 1))
    ends.wires.flush()
    until(lambda: (ends.pump(), ends.heard_by_worker and ends.heard_by_host)[1])
    assert ends.heard_by_worker == [Acknowledge(1, 2, 3)]
    assert ends.heard_by_host == [Unattached(1, 1)]


def test_what_a_host_is_told_arrives_in_its_order(ends: Ends) -> None:
    ends.from_host(ASKED)
    (asked,) = ends.arrived(1)
    assert isinstance(asked, HostAsked)
    told = [Unattached(number, 1) for number in range(1, 200)]
    for message in told[:150]:
        assert ends.wires.tell_host(asked.connection, message)
    ends.wires.flush()
    ends.wires.flush()
    for message in told[150:]:
        assert ends.wires.tell_host(asked.connection, message)
    ends.wires.flush()
    until(lambda: (ends.pump(), len(ends.heard_by_host) == len(told))[1])
    assert ends.heard_by_host == told


def test_who_is_not_connected_cannot_be_told(ends: Ends) -> None:
    assert not ends.wires.tell_worker(STRANGER, Acknowledge(1, 2, 3))
    assert not ends.wires.tell_host(b"nobody", Unattached(1, 1))


def test_drain_takes_no_more_than_it_is_asked_for(ends: Ends) -> None:
    for _ in range(6):
        ends.from_worker(HELLO)
    assert len(ends.arrived(4)) == 4
    assert len(ends.arrived(2)) == 2
    assert ends.wires.drain(10) == []


# -- Processes ------------------------------------------------------------------------------------


@dataclass
class Machine:
    """Processes, a host that can be ended, and a pump."""

    processes: Processes
    host_pid: int
    end_host: Callable[[], object]
    pump: Callable[[], object]

    def happened(self, kind: type) -> FleetEvent:
        """Wait for an event of this kind; others are dropped."""
        found: list[FleetEvent] = []

        def look() -> bool:
            self.pump()
            found.extend(event for event in self.processes.drain() if isinstance(event, kind))
            return bool(found)

        until(look)
        return found[0]


class _Nobody:
    def die(self) -> None:
        """Nothing of it was there."""


def _simulated_machine() -> Machine:
    time = SimTime()

    def birth(token: bytes, cell: str, incarnation: Incarnation, zygote: Zygote) -> Worker:
        return _Nobody()

    zygote = Zygote(time, random.Random(1), birth)
    zygote.hosts[77] = True
    processes = SimProcesses(zygote, lambda: None)
    processes.retake()

    def pump() -> None:
        while time.step(time.now_ns + 100_000_000):
            pass

    return Machine(processes, 77, lambda: zygote.host_ended(77), pump)


def _real_machine(directory: Path) -> Iterator[Machine]:
    host = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    extra = ["--supervisor-pid", str(os.getpid()), "--work", str(directory)]
    processes = OsProcesses(directory, f"ipc://{directory}/w", 1, extra, 2)
    try:
        yield Machine(processes, host.pid, host.kill, lambda: None)
    finally:
        processes.end_all(5.0)
        host.kill()
        host.wait()
        if host.stdin is not None:
            host.stdin.close()


@pytest.fixture(params=["simulated", "zygote"])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machine]:
    if request.param == "simulated":
        yield _simulated_machine()
    else:
        yield from _real_machine(tmp_path)


def test_a_worker_is_forked_killed_and_its_end_is_told(machine: Machine) -> None:
    assert machine.happened(WorkersListed) == WorkersListed((), fresh=True)
    machine.processes.fork(TOKEN, CELL, LIFE, Limits(), "process")
    forked = machine.happened(WorkerForked)
    assert isinstance(forked, WorkerForked)
    assert forked.token == TOKEN
    memory, _ = machine.processes.usage(forked.pid)
    assert memory
    machine.processes.kill(TOKEN)
    ended = machine.happened(WorkerEnded)
    assert isinstance(ended, WorkerEnded)
    assert (ended.token, ended.status) == (TOKEN, -9)
    machine.processes.forget(TOKEN)
    machine.processes.kill(TOKEN)  # nobody is there any more: nothing happens


def test_the_end_of_a_host_is_told(machine: Machine) -> None:
    machine.happened(WorkersListed)
    machine.processes.watch_host(1, machine.host_pid, 0)
    machine.end_host()
    assert machine.happened(HostGone) == HostGone(1)


def test_a_host_that_is_not_there_has_ended(machine: Machine) -> None:
    machine.happened(WorkersListed)
    machine.processes.watch_host(2, 2**22 + 5, 0)
    assert machine.happened(HostGone) == HostGone(2)
