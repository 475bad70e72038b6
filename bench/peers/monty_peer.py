"""Monty behind the same hop: host, ZeroMQ, a server that has Monty's workers and stores dumps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import msgpack
import zmq
from serving import CYCLE, HELLO, INPUTS, Opened, none, nothing, pss_bytes, repeated, serve

PASSED_MS_MAX = 60_000


class Host:
    """Drives cells of one server."""

    def __init__(self, cells: int) -> None:
        self.directory = tempfile.mkdtemp()
        self.cells = cells
        self.context = zmq.Context()
        self.made = 0
        self.start()

    def start(self) -> None:
        """Start a server, the first or the next one."""
        script = Path(__file__).parent / "monty_hop.py"
        self.server = subprocess.Popen(
            [sys.executable, str(script), self.directory, str(self.cells)]
        )
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.rcvtimeo = PASSED_MS_MAX
        self.socket.connect(f"ipc://{self.directory}/hop.sock")

    def close(self) -> None:
        """End it and its workers."""
        for pid in children(self.server.pid):
            os.kill(pid, signal.SIGKILL)
        self.server.kill()
        self.server.wait()
        self.context.destroy(linger=0)

    def say(self, *said: Any) -> None:
        self.socket.send(msgpack.packb(said))

    def hear(self) -> list[Any]:
        said: list[Any] = msgpack.unpackb(self.socket.recv())
        return said

    def commits(self) -> int:
        """How many the server has made."""
        self.say("count", 0)
        return int(self.hear()[1])

    def pause(self, count: int) -> dict[int, int]:
        """New cells, each at its first call: the call's argument by cell."""
        for _ in range(count):
            self.made += 1
            self.say("run", self.made, CYCLE)
        heard = [self.hear() for _ in range(count)]
        return {cell: arguments[0] for _, cell, arguments in heard}

    def cycle(self, at: dict[int, int], count: int) -> list[float]:
        """Each cell so many times from call to call."""
        left, began, seconds = dict.fromkeys(at, count), {}, []
        for cell, argument in at.items():
            began[cell] = perf_counter()
            self.say("result", cell, argument + 1)
        while left:
            _, cell, arguments = self.hear()
            now = perf_counter()
            seconds.append(now - began[cell])
            at[cell] = arguments[0]
            left[cell] -= 1
            if left[cell]:
                began[cell] = now
                self.say("result", cell, at[cell] + 1)
            else:
                del left[cell]
        return seconds

    def create(self) -> float:
        """A source, run to its end."""
        began = perf_counter()
        self.made += 1
        self.say("run", self.made, HELLO)
        self.hear()
        return perf_counter() - began

    def lose_and_load(self) -> float:
        """A worker of Monty's is killed; a new session is loaded from the dump and goes on."""
        at = self.pause(1)
        self.cycle(at, INPUTS)
        ((cell, argument),) = at.items()
        before = children(self.server.pid)
        began = perf_counter()
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        self.say("load", cell)
        self.hear()
        self.say("result", cell, argument + 1)
        self.hear()
        return perf_counter() - began

    def memory(self, count: int) -> float:
        """Bytes that one more paused cell adds."""
        before = self.all_bytes()
        self.pause(count)
        return (self.all_bytes() - before) / count

    def all_bytes(self) -> int:
        return sum(pss_bytes(pid) for pid in [self.server.pid, *children(self.server.pid)])


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for each in lists for child in each.read_text().split()]


def opening(asked: dict[str, Any]) -> Opened:
    """What is asked for."""
    cells, work = asked["cells"], asked["work"]
    if work == "pauses":
        return repeated(lambda: pauses(cells)), nothing, none
    host = Host(cells * 4 + asked["among"] + 64)
    if work == "cycle":
        at = host.pause(cells)
        host.pause(asked["among"])
        return lambda count: host.cycle(at, count), host.close, host.commits
    works: dict[str, Callable[[], float]] = {
        "create": host.create,
        "return": host.lose_and_load,
        "memory": lambda: host.memory(cells),
    }
    host.create()
    return repeated(works[work]), host.close, host.commits


def pauses(cells: int) -> float:
    """Seconds to have so many cells paused."""
    host = Host(cells)
    try:
        host.create()
        began = perf_counter()
        host.pause(cells)
        return perf_counter() - began
    finally:
        host.close()


if __name__ == "__main__":
    serve(opening)
