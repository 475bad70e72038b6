"""A worker whose supervisor is replaced again and again: its stream stays complete and in order."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from tidemark.protocol import codec
from tidemark.protocol.packed import PackedInput
from tidemark.protocol.worker_messages import (
    Acknowledge,
    Adopt,
    Called,
    Deliver,
    Emitted,
    Finished,
    Hello,
    Item,
    ToWorker,
)

from fakes.supervisor_end import SECONDS, CellEnd, ZygoteEnd, only_with_sockets, result

pytestmark = only_with_sockets

AGAIN_SECONDS = 0.005

SOURCES = {
    "streaming": "for n in range(20_000): text(str(n))",
    "busy": "for n in range(300):\n    text(str(n))\n    for _ in range(20_000): pass",
    "calling": "for n in range(500):\n    await tools.search(n=n)\n    text(str(n))",
}


class Successors:
    """Supervisors on one endpoint, each of which takes over what the last one had journaled."""

    def __init__(self, cell: CellEnd, seed: int) -> None:
        self.cell = cell
        self.zygote = cell.zygote
        self.random = random.Random(seed)
        self.have = self.lives = 0
        self.items: list[Item] = []
        self.inputs: list[PackedInput] = []
        self.is_adopted = True
        self.ends_at = time.monotonic() + 0.01
        self.asked_at = 0.0

    def run(self) -> None:
        """Until the cell has finished."""
        deadline = time.monotonic() + 3 * SECONDS
        while not (self.items and isinstance(self.items[-1], Finished)):
            assert time.monotonic() < deadline, f"stuck at seq {self.have}"
            if time.monotonic() > self.ends_at:
                self.be_replaced()
            if not self.is_adopted and time.monotonic() > self.asked_at + AGAIN_SECONDS:
                self.ask()
            if self.zygote.router.poll(AGAIN_SECONDS * 1000):
                self.hear()

    def be_replaced(self) -> None:
        self.zygote.router.close()
        self.zygote.router = self.zygote.bind()
        self.zygote.epoch += 1
        self.lives += 1
        self.is_adopted = False
        self.ends_at = time.monotonic() + self.random.uniform(0.02, 0.1)

    def ask(self) -> None:
        self.asked_at = time.monotonic()
        self.send(Adopt(self.zygote.epoch, self.have, 0))

    def send(self, message: ToWorker) -> None:
        try:
            self.cell.send(message)
        except zmq.ZMQError:
            assert not self.is_adopted  # it has not connected again yet

    def hear(self) -> None:
        _, *frames = self.zygote.router.recv_multipart()
        message = codec.FROM_WORKER.decode(frames)
        epoch = self.zygote.epoch
        if isinstance(message, Hello):
            if message.epoch == epoch:
                self.is_adopted = True
                self.send(Deliver(epoch, self.have, tuple(self.inputs[message.inputs :])))
            return
        if message.epoch != epoch or message.seq <= self.have:
            return
        if message.seq > self.have + 1:
            self.ask()
            return
        self.have = message.seq
        for item in message.items:
            self.items.append(item)
            if isinstance(item, Called):
                self.inputs.append(result(len(self.inputs) + 1, item.number))
                self.send(Deliver(epoch, self.have, (self.inputs[-1],)))
        self.send(Acknowledge(epoch, self.have, 0))


@pytest.fixture
def zygote() -> Iterator[ZygoteEnd]:
    with tempfile.TemporaryDirectory(prefix="tm") as directory:
        end = ZygoteEnd(Path(directory))
        yield end
        end.close()


@pytest.mark.parametrize("source", SOURCES)
def test_nothing_is_lost_or_said_twice(zygote: ZygoteEnd, source: str) -> None:
    cell = zygote.fork()
    cell.start(SOURCES[source])
    successors = Successors(cell, seed=1)
    successors.run()
    assert successors.lives
    numbers = [int(item.content) for item in successors.items if isinstance(item, Emitted)]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) in {20_000, 300, 500}
    calls = [item.number for item in successors.items if isinstance(item, Called)]
    assert calls == list(range(1, len(calls) + 1))
    cell.bye()
