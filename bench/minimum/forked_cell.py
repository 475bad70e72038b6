"""The hand-written minimum's worker: one cell on asyncio, one socket, one thread."""

from __future__ import annotations

import ast
import asyncio
import os
import selectors
import types
from typing import Any, NoReturn

import msgpack
import zmq

REHEARSAL = "import asyncio\nawait asyncio.sleep(0)"


class Gate(selectors.SelectSelector):
    """Where the cell's loop has nothing ready: the frontier is said here, and Continue taken."""

    def __init__(self, link: zmq.Socket[bytes] | None) -> None:
        super().__init__()
        self.link = link
        self.generation = 0
        self.output: list[str] = []
        self.calls: list[tuple[int, str, dict[str, Any]]] = []
        self.waiting: dict[int, asyncio.Future[Any]] = {}
        self.past: list[list[Any]] | None = None  # what an earlier worker had taken

    def select(self, timeout: float | None = None) -> list[Any]:
        """As asked; but with nothing ready, pause until the next Continue."""
        if timeout == 0 or self.link is None:
            return super().select(timeout)
        self.generation += 1
        if self.past is None:
            self.say("paused", self.generation, self.output, self.calls)
        elif len(self.past) < self.generation:
            self.past = None
            self.say("restored", self.generation)
        self.output, self.calls = [], []
        if self.past is not None:
            self._take(self.past[self.generation - 1])
            return []
        _, generation, inputs = msgpack.unpackb(self.link.recv())
        self.say("confirmed", generation)
        self._take(inputs)
        return []

    def _take(self, inputs: list[Any]) -> None:
        for number, result in inputs:
            self.waiting.pop(number).set_result(result)

    def say(self, *said: Any) -> None:
        """Send to the supervisor."""
        assert self.link is not None
        self.link.send(msgpack.packb(said))


class Tools:
    """`tools` as the cell sees it."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._made = 0

    def __getattr__(self, tool: str) -> Any:
        def call(**arguments: Any) -> asyncio.Future[Any]:
            self._made += 1
            self._gate.calls.append((self._made, tool, arguments))
            future = asyncio.get_running_loop().create_future()
            self._gate.waiting[self._made] = future
            return future

        return call


def run(source: str, gate: Gate) -> None:
    """Run a cell's source to its end."""
    code = compile(source, "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    names = {"tools": Tools(gate), "text": gate.output.append}
    loop = asyncio.SelectorEventLoop(gate)
    asyncio.set_event_loop(loop)
    coroutine = types.FunctionType(code, names)()
    if coroutine is not None:
        loop.run_until_complete(coroutine)
    if gate.link is None:
        loop.close()


def rehearse() -> None:
    """One cell, before any fork: its children need not warm up again."""
    run(REHEARSAL, Gate(None))
    msgpack.unpackb(msgpack.packb(["x", 1, {"n": 1}]))


def live(endpoint: str, name: bytes) -> NoReturn:
    """Be a worker, of the first cell that it is given."""
    try:
        link: zmq.Socket[bytes] = zmq.Context().socket(zmq.DEALER)
        link.routing_id = name
        link.connect(endpoint)
        gate = Gate(link)
        gate.say("hello", os.getpid())
        _, source, gate.past = msgpack.unpackb(link.recv())
        run(source, gate)
        gate.say("finished", gate.output)
        link.recv()
    finally:
        os._exit(0)
