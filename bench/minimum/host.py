"""The hand-written minimum, seen from its host: starts it, and drives its cells."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import msgpack
import zmq

ENDS_SECONDS_MAX = 5.0
ANSWER_MS_MAX = 60_000


class MinimumHost:
    """One minimum of its own: a supervisor, its zygote, its workers. Blocks its thread."""

    def __init__(self, durability: str, warm: int = 0) -> None:
        directory = tempfile.mkdtemp(prefix="minimum-")
        script = Path(__file__).parent / "supervisor.py"
        try:
            self._process = subprocess.Popen(
                [sys.executable, str(script), directory, durability, str(warm)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is the host's; its end is told by closing the pipe
            )
        except BaseException:  # also an interrupt: nobody else knows of the directory yet
            shutil.rmtree(directory, ignore_errors=True)  # or by a child that did begin
            raise
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            raise RuntimeError("the minimum did not start")
        self._context = zmq.Context()
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.rcvtimeo = ANSWER_MS_MAX
        self._socket.connect(f"ipc://{directory}/host.sock")
        self._made = 0
        deadline = perf_counter() + ENDS_SECONDS_MAX
        while self._warm_workers() < warm:
            if perf_counter() > deadline:
                raise RuntimeError(f"the minimum did not make {warm} workers ahead")

    def close(self) -> None:
        """End it; nothing of it is left."""
        self._context.destroy(linger=0)
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(ENDS_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def supervisor_pid(self) -> int:
        """The process whose descendants are all of it."""
        return self._process.pid

    def commits(self) -> int:
        """How many commits it has made."""
        self._say("count", 0)
        while (said := self._hear())[0] != "counted":
            continue
        return int(said[1])

    def run_to_completion(self, source: str) -> float:
        """Seconds from the request to create a cell to its completion."""
        started = perf_counter()
        cell = self._create(source, "continuing")
        self._say("observe", cell)
        self._expect("event")
        return perf_counter() - started

    def burst(self, source: str, count: int) -> list[float]:
        """Create so many at once; seconds from the first request to each one's completion."""
        began = perf_counter()
        for _ in range(count):
            self._made += 1
            self._say("create", self._made, source, False)
            self._say("observe", self._made)
        seconds: list[float] = []
        while len(seconds) < count:
            if self._hear()[0] == "event":
                seconds.append(perf_counter() - began)
        return seconds

    def lose(self, source: str) -> float:
        """Seconds from SIGKILL of a continuing cell's worker to the event that says so."""
        cell = self._create(source, "continuing")
        self._say("observe", cell)
        pid = self.pid(cell)
        began = perf_counter()
        os.kill(pid, signal.SIGKILL)
        self._expect("event")
        return perf_counter() - began

    def kill_and_resume(self, generations: dict[int, int]) -> float:
        """Seconds from SIGKILL of the one cell's worker to `resumed`; then on to its frontier."""
        ((cell, generation),) = generations.items()
        pid = self.pid(cell)
        began = perf_counter()
        os.kill(pid, signal.SIGKILL)
        self._say("resume", cell, generation)
        self._expect("resumed")
        seconds = perf_counter() - began
        self._say("observe", cell)
        self._until_all_have_paused(generations)
        return seconds

    def pid(self, cell: int) -> int:
        """The worker of a cell, as soon as it has one."""
        deadline = perf_counter() + ENDS_SECONDS_MAX
        while perf_counter() < deadline:
            self._say("pid", cell)
            if pid := self._expect("pid")[2]:
                return int(pid)
        raise RuntimeError("the minimum has made no worker")

    def pause_many(self, source: str, count: int) -> dict[int, int]:
        """Create cells and wait for their first frontiers: generations by cell."""
        cells = {self._create(source, "pausable"): 0 for _ in range(count)}
        for cell in cells:
            self._say("observe", cell)
        return self._until_all_have_paused(cells)

    def cycle(self, generations: dict[int, int], count: int, *, steps: bool = False) -> list[float]:
        """Take every cell through so many tool cycles; seconds of each cycle.

        Each is: resume the frontier that was observed, hear that it was, observe the next. With
        `steps` that is one request, and its answer the next frontier. The tool's result was sent
        as soon as the call was offered.
        """
        verb = "step" if steps else "resume"
        seconds: list[float] = []
        left = dict.fromkeys(generations, count)
        began: dict[int, float] = {}
        for cell, generation in generations.items():
            began[cell] = perf_counter()
            self._say(verb, cell, generation)
        while left:
            kind, cell, *rest = self._hear()
            if kind == "resumed":
                self._say("observe", cell)
            elif kind == "offer":
                self._run_tool(cell, rest)
            elif kind == "event":
                now = perf_counter()
                seconds.append(now - began[cell])
                generations[cell] = rest[0]
                left[cell] -= 1
                if left[cell]:
                    began[cell] = now
                    self._say(verb, cell, rest[0])
                else:
                    del left[cell]
        return seconds

    def _warm_workers(self) -> int:
        self._say("warm", 0)
        return int(self._expect("warm")[1])

    def _create(self, source: str, kind: str) -> int:
        self._made += 1
        self._say("create", self._made, source, kind == "pausable")
        self._expect("created")
        return self._made

    def _until_all_have_paused(self, generations: dict[int, int]) -> dict[int, int]:
        left = set(generations)
        while left:
            kind, cell, *rest = self._hear()
            if kind == "offer":
                self._run_tool(cell, rest)
            elif kind == "event":
                generations[cell] = rest[0]
                left.remove(cell)
        return generations

    def _run_tool(self, cell: int, offered: list[Any]) -> None:
        number, _, arguments = offered
        self._say("result", cell, number, arguments["n"] + 1)

    def _say(self, *said: Any) -> None:
        self._socket.send(msgpack.packb(said))

    def _hear(self) -> list[Any]:
        said: list[Any] = msgpack.unpackb(self._socket.recv())
        return said

    def _expect(self, kind: str) -> list[Any]:
        while True:
            said = self._hear()
            if said[0] == kind:
                return said
            if said[0] == "offer":
                self._run_tool(said[1], said[2:])
