"""The hand-written minimum, seen from its host: starts it, and drives its cells."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import msgpack
import zmq

ENDS_SECONDS_MAX = 5.0


class MinimumHost:
    """One minimum of its own: a supervisor, its zygote, its workers. Blocks its thread."""

    def __init__(self, durability: str) -> None:
        directory = tempfile.mkdtemp(prefix="minimum-")
        script = Path(__file__).parent / "supervisor.py"
        self._process = subprocess.Popen(
            [sys.executable, str(script), directory, durability],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is the host's; its end is told by closing the pipe
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            raise RuntimeError("the minimum did not start")
        self._context = zmq.Context()
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.connect(f"ipc://{directory}/host.sock")
        self._made = 0

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

    def commits(self) -> int:
        """How many commits it has made."""
        self._say("count", 0)
        while (said := self._hear())[0] != "counted":
            continue
        return int(said[1])

    def run_to_completion(self, source: str) -> float:
        """Seconds from the request to create a cell to its completion."""
        started = perf_counter()
        cell = self._create(source)
        self._say("observe", cell)
        self._expect("event")
        return perf_counter() - started

    def pause_many(self, source: str, count: int) -> dict[int, int]:
        """Create cells and wait for their first frontiers: generations by cell."""
        cells = {self._create(source): 0 for _ in range(count)}
        for cell in cells:
            self._say("observe", cell)
        return self._until_all_have_paused(cells)

    def cycle(self, generations: dict[int, int], count: int) -> list[float]:
        """Take every cell through so many tool cycles; seconds of each cycle.

        Each is: resume the frontier that was observed, hear that it was, observe the next. The
        tool's result was sent as soon as the call was offered.
        """
        seconds: list[float] = []
        left = dict.fromkeys(generations, count)
        began: dict[int, float] = {}
        for cell, generation in generations.items():
            began[cell] = perf_counter()
            self._say("resume", cell, generation)
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
                    self._say("resume", cell, rest[0])
                else:
                    del left[cell]
        return seconds

    def _create(self, source: str) -> int:
        self._made += 1
        self._say("create", self._made, source)
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

    def _expect(self, kind: str) -> None:
        while True:
            said = self._hear()
            if said[0] == kind:
                return
            if said[0] == "offer":
                self._run_tool(said[1], said[2:])
