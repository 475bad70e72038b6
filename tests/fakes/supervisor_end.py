"""The supervisor's end of real zygotes and workers, driven by hand from a test."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import zmq
from tidemark.protocol import codec, values
from tidemark.protocol.ids import NO_LIFE, Incarnation, RequestRef, spare_token, worker_token
from tidemark.protocol.limits import Limits
from tidemark.protocol.packed import (
    CellKind,
    InputKind,
    OnUnknown,
    PackedInput,
    Stepping,
    ToolKind,
    ToolSpec,
)
from tidemark.protocol.worker_messages import (
    Acknowledge,
    Adopt,
    Bye,
    Continue,
    Deliver,
    EarlierLife,
    Emitted,
    Fetch,
    Finished,
    FromWorker,
    Hello,
    Item,
    Remember,
    Said,
    Start,
    ToWorker,
)
from tidemark.protocol.zygote_messages import (
    Command,
    Ended,
    Fork,
    Forked,
    FromZygote,
    Lodge,
    Report,
    ToZygote,
)

SECONDS = 10.0
# The tests of workers can be run at any level; by themselves they are at the one without walls.
LEVEL = os.environ.get("TIDEMARK_TEST_LEVEL", "process")
only_without_walls = pytest.mark.skipif(
    LEVEL != "process", reason="a cell looks at /proc, starts processes or opens sockets"
)
only_with_sockets = pytest.mark.skipif(
    LEVEL == "restricted", reason="a worker cannot connect again: its cell is replayed"
)
# Without it the heaps of two processes with the same history are laid out alike, address space
# randomization or not.
HOLES = """
import random, sys
rng = random.Random(SEED)
kept = [bytes(rng.randrange(1, 900)) for _ in range(60_000)]
kept += [[None] * rng.randrange(60) for _ in range(20_000)]
rng.shuffle(kept)
del kept[:40_000]
sys.kept = kept
"""
T = TypeVar("T")


def tool(name: str, kind: ToolKind = ToolKind.FUNCTION) -> ToolSpec:
    return ToolSpec(name, name.replace("-", "_"), "", "(...)", kind, OnUnknown.ASK, False, 0)


TOOLS = (tool("search"), tool("fetch-page"), tool("shell", ToolKind.FREEFORM))


def result(number: int, call: int, value: Any = None) -> PackedInput:
    content = values.encode(value)
    return PackedInput(number, InputKind.RESULT, call, content, "", False, 0, time.time_ns())


def failure(number: int, call: int, message: str, *, unknown: bool = False) -> PackedInput:
    return PackedInput(number, InputKind.ERROR, call, b"", message, unknown, 0, time.time_ns())


def timer(number: int, due_ns: int) -> PackedInput:
    return PackedInput(number, InputKind.TIMER, 0, b"", "", False, due_ns, due_ns)


class ZygoteEnd:
    """A real zygote, and the socket on which its workers call."""

    def __init__(
        self,
        directory: Path,
        *options: str,
        supervisor_pid: int | None = None,
        disturbance: int | None = None,
        level: str = LEVEL,
        python: tuple[str, ...] = (sys.executable,),
    ) -> None:
        """`disturbance` is a seed: the zygote's heap has holes in places that depend on it.

        `python` is the command that runs Python, as whichever user.
        """
        (directory / "work").mkdir(parents=True, exist_ok=True)
        (directory / "workers").mkdir(exist_ok=True)
        self.path = str(directory / "zygote.sock")
        self.endpoint = f"ipc://{directory}/workers/worker.sock"
        self.report: Report | None = None
        self.epoch = 1
        self.pidfds: dict[bytes, int] = {}
        self.pids: dict[bytes, int] = {}
        self.ends: dict[bytes, Ended] = {}
        self._cells: dict[bytes, CellEnd] = {}
        self._posts: list[socket.socket] = []
        self._made = 0
        self.context = zmq.Context()
        self.router = self.bind()
        ready, told = os.pipe()
        arguments = [
            *(*python, "-P", "-m", "tidemark.worker", "--socket", self.path, "--level", level),
            *("--supervisor-pid", str(supervisor_pid or os.getpid()), "--ready-fd", str(told)),
            *("--work", str(directory / "work"), "--workers", str(directory / "workers")),
            *options,
        ]
        environment = {**os.environ, "SECRET_OF_THE_HOST": "x", "PYTHONHASHSEED": "0"}
        environment["MALLOC_ARENA_MAX"] = "1"  # as a supervisor has it
        if disturbance is not None:
            (directory / "sitecustomize.py").write_text(f"SEED = {disturbance}\n{HOLES}")
            places = [str(directory), environment.get("PYTHONPATH", "")]
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, places))
        self.process = subprocess.Popen(arguments, pass_fds=(told,), env=environment)
        os.close(told)
        assert os.read(ready, 100) == b"ready\n"
        os.close(ready)
        self.post = self.take_command()

    def bind(self) -> zmq.Socket[bytes]:
        """A ROUTER on the workers' endpoint."""
        router = self.context.socket(zmq.ROUTER)
        router.setsockopt(zmq.ROUTER_MANDATORY, 1)
        router.setsockopt(zmq.LINGER, 0)
        router.bind(self.endpoint)
        os.chmod(self.endpoint.removeprefix("ipc://"), 0o666)  # cells may be other users
        return router

    def connect(self) -> socket.socket:
        """One more connection with the zygote."""
        post = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        post.settimeout(SECONDS)
        self._posts.append(post)
        post.connect(self.path)
        return post

    def take_command(self, epoch: int | None = None) -> socket.socket:
        """Connect and say Command; the answers are left to be received."""
        self.epoch = epoch or self.epoch
        self.post = self.connect()
        self.tell(Command(self.epoch, os.getpid()))
        return self.post

    def tell(self, message: ToZygote) -> None:
        self.post.send(b"".join(codec.TO_ZYGOTE.encode(message)))

    def hear(self) -> FromZygote:
        """The zygote's next message but its report; notes that, pidfds and ends."""
        packet, descriptors, _, _ = socket.recv_fds(self.post, 65536, 250)
        assert packet, "the zygote has closed the connection"
        message = codec.FROM_ZYGOTE.decode([packet[:4], packet[4:]])
        if isinstance(message, Forked):
            self.pidfds[message.token] = descriptors[0]
            self.pids[message.token] = message.pid
        elif isinstance(message, Ended):
            self.ends[message.token] = message
        elif isinstance(message, Report):
            self.report = message
            return self.hear()
        return message

    def end_of(self, token: bytes) -> Ended:
        """Wait for a worker's end."""
        while token not in self.ends:
            self.hear()
        return self.ends[token]

    def fork(self, limits: Limits | None = None) -> CellEnd:
        """A worker, up to its Hello."""
        self._made += 1
        cell = f"c{self._made:014x}-00000001"
        incarnation = Incarnation(self.epoch, self._made)
        token = worker_token(b"s" * 32, cell, incarnation)
        self.tell(Fork(token, cell, incarnation, self.endpoint, limits or Limits()))
        end = self._cells[token] = CellEnd(self, token, cell, incarnation, limits or Limits())
        while token not in self.pids:
            self.hear()
        hello = end.receive(Hello)
        assert (hello.cell, hello.incarnation) == (cell, incarnation)
        assert (hello.epoch, hello.started) == (0, False)
        return end

    def spare(self, limits: Limits | None = None) -> CellEnd:
        """A worker without a cell, up to its Hello."""
        self._made += 1
        token = spare_token(b"s" * 32, self.epoch, self._made)
        self.tell(Fork(token, "", NO_LIFE, self.endpoint, limits or Limits()))
        end = self._cells[token] = CellEnd(self, token, "", NO_LIFE, limits or Limits())
        while token not in self.pids:
            self.hear()
        hello = end.receive(Hello)
        assert (hello.cell, hello.incarnation, hello.epoch) == ("", NO_LIFE, 0)
        return end

    def pump(self, seconds: float) -> None:
        """Take one message of any worker to its cell's end."""
        if not self.router.poll(max(0, int(seconds * 1000))):
            raise AssertionError("a worker has not said what the test waits for")
        token, *frames = self.router.recv_multipart()
        self._cells[token].heard(codec.FROM_WORKER.decode(frames))

    def close(self) -> None:
        for post in self._posts:
            post.close()
        self.process.terminate()
        self.process.wait(SECONDS)
        self.router.close()
        self.context.term()
        for pidfd in self.pidfds.values():
            os.close(pidfd)


class CellEnd:
    """One worker, as its supervisor knows it."""

    def __init__(
        self,
        zygote: ZygoteEnd,
        token: bytes,
        cell: str,
        incarnation: Incarnation,
        limits: Limits,
    ) -> None:
        self.zygote = zygote
        self.token = token
        self.cell = cell
        self.incarnation = incarnation
        self.limits = limits
        self.have = 0
        self.messages: deque[FromWorker] = deque()
        self.items: deque[Item] = deque()
        self.said = 0
        self.ticks: list[tuple[int, int]] = []
        self.readings = 0
        self.began_ns = 0

    def heard(self, message: FromWorker) -> None:
        """Note a message; items of the stream are taken in their order, repeats are dropped."""
        if not isinstance(message, Said):
            self.messages.append(message)
            return
        assert message.epoch == self.zygote.epoch
        if message.seq <= self.have:
            return
        assert message.seq == self.have + 1, "a gap in the stream"
        self.have = message.seq
        self.said += 1
        self.items.extend(message.items)
        self.ticks.extend(message.ticks)
        self.readings = max(self.readings, message.readings)

    def send(self, message: ToWorker) -> None:
        self.zygote.router.send_multipart([self.token, *codec.TO_WORKER.encode(message)])

    def receive(self, kind: type[T]) -> T:
        """The next message beside the stream, of this kind."""
        deadline = time.monotonic() + SECONDS
        while not self.messages:
            self.zygote.pump(deadline - time.monotonic())
        message = self.messages.popleft()
        assert isinstance(message, kind)
        return message

    def item(self) -> Item:
        """The next item of the stream."""
        deadline = time.monotonic() + SECONDS
        while not self.items:
            self.zygote.pump(deadline - time.monotonic())
        return self.items.popleft()

    def until(self, kind: type[T]) -> tuple[list[Item], T]:
        """The items before the next of this kind, and that one."""
        before: list[Item] = []
        while not isinstance(item := self.item(), kind):
            assert not isinstance(item, Finished), item
            before.append(item)
        return before, item

    def texts(self, kind: type[T]) -> tuple[list[str], T]:
        """The output before the next item of this kind, and that item."""
        before, item = self.until(kind)
        return [each.content for each in before if isinstance(each, Emitted)], item

    def start(
        self,
        source: str,
        kind: CellKind = CellKind.CONTINUING,
        *,
        inputs: dict[str, Any] | None = None,
        tools: tuple[ToolSpec, ...] = TOOLS,
        name: str = "cell.py",
        seed: bytes = b"\0" * 32,
        began_ns: int = 0,
        ticks: tuple[tuple[int, int], ...] = (),
        earlier: EarlierLife | None = None,
    ) -> None:
        """Give the cell; of a later life with what its clock showed before, and when it began."""
        self.began_ns = began_ns or time.time_ns()
        if ticks:
            self.send(Remember(self.zygote.epoch, ticks))
        self.send(
            Start(
                epoch=self.zygote.epoch,
                cell=self.cell,
                incarnation=self.incarnation,
                kind=kind,
                stepping=Stepping.DRAIN,
                name=name,
                source=source,
                inputs=values.encode(inputs or {}),
                tools=tools,
                limits=self.limits,
                seed=seed,
                now_ns=time.time_ns(),
                monotonic_ns=time.monotonic_ns(),
                began_ns=self.began_ns,
                journal=0,
                earlier=earlier,
            )
        )

    def becomes(self, cell: str, incarnation: Incarnation) -> CellEnd:
        """This spare worker is the cell's from now on; the zygote is told so."""
        self.cell, self.incarnation = cell, incarnation
        self.zygote.tell(Lodge(self.token, cell))
        return self

    def deliver(self, *inputs: PackedInput) -> None:
        self.send(Deliver(self.zygote.epoch, self.have, inputs))

    def continue_(self, generation: int, upto: int, *inputs: PackedInput) -> None:
        request = RequestRef(1, generation)
        self.send(
            Continue(self.zygote.epoch, self.have, generation, upto, request, 0, tuple(inputs))
        )

    def acknowledge(self) -> None:
        self.send(Acknowledge(self.zygote.epoch, self.have, 1))

    def adopt(self, epoch: int, have: int) -> Hello:
        """Take the worker over, as a supervisor that was started on the same endpoint does."""
        self.send(Adopt(epoch, have, 1))
        return self.receive(Hello)

    def fetches(self) -> Iterator[Fetch]:
        while True:
            yield self.receive(Fetch)

    def bye(self) -> Ended:
        """Let the worker end, and see that it does."""
        self.send(Bye(self.zygote.epoch))
        end = self.zygote.end_of(self.token)
        assert (end.status, end.killed) == (0, False)
        return end

    def finish(self) -> tuple[list[str], Finished]:
        """The output up to the completion, and that; the worker ends."""
        found = self.texts(Finished)
        self.bye()
        return found


def ended(pidfd: int, seconds: float) -> bool:
    """Whether a process ends within so many seconds."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(int(seconds * 1000)))
