"""Puts a worker's messages on the wire. Every method must be called with the link's lock held."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from ..protocol import codec
from ..protocol.ids import NO_LIFE
from ..protocol.version import REPLAY_VERSION
from ..protocol.worker_messages import Fetch, FromWorker, Hello, Said
from ..protocol.zygote_messages import Fork
from .clock import CellClock
from .isolation.quarters import Sockets
from .steps import Steps
from .stream import Stream, Ticks
from .wire import Wire


class Asked:
    """A stored value that the cell waits for."""

    def __init__(self, key: str | None) -> None:
        self.key = key
        self.is_answered = False
        self.content: bytes | None = None
        self.keys: tuple[str, ...] = ()


class Speaker:
    """The stream on its way out, and what is said beside it.

    Attributes:
        stream: what the cell says.
        asked: stored values that were asked for, by the number of the question.
        clock: the cell's, whose record travels with what depends on it; None before the cell.
        journal: the highest record number that this worker was told of.
        cell, incarnation: whose worker this is; empty and 0.0 of a spare one.
    """

    def __init__(self, wire: Wire) -> None:
        """Nobody's yet; see `begin`."""
        self.stream = Stream()
        self.asked: dict[int, Asked] = {}
        self.clock: CellClock | None = None
        self.cell, self.incarnation = "", NO_LIFE
        self._wire = wire
        self._unsaid: Ticks = ()
        self._must_greet = True
        self._on_connected: Callable[[], Sockets] | None = None
        self.journal = 0

    def begin(self, fork: Fork, on_connected: Callable[[], Sockets]) -> None:
        """Speak for this worker; `on_connected` is called once, before the first word."""
        self.cell, self.incarnation = fork.cell, fork.incarnation
        self._on_connected = on_connected

    def send_pending(self) -> None:
        """Send everything that is pending."""
        clock = self.clock
        if not self.stream.pending and (clock is None or not clock.is_crowded):
            return
        ticks, readings = ((), 0) if clock is None else clock.drain()
        # Here and below nothing is called: at the end of the stack or the memory that would fail.
        ticks = self._unsaid + ticks
        self._unsaid = ()
        try:
            while (said := self.stream.take(ticks, readings)) is not None:
                ticks = ()
                self.send(said)
        except BaseException:
            self._unsaid = ticks + self._unsaid
            raise

    def send(self, message: FromWorker) -> None:
        """Send a message, or note that the supervisor must be greeted when it is back."""
        if not self._wire.send(codec.FROM_WORKER.encode(message)):
            self._must_greet = True

    def greet(self, epoch: int, steps: Steps | None) -> None:
        """Say Hello (epoch 0: unasked)."""
        python = f"{sys.implementation.name} {sys.version.split()[0]} {sys.platform}"
        self.send(
            Hello(
                cell=self.cell,
                incarnation=self.incarnation,
                epoch=epoch,
                started=steps is not None,
                said=self.stream.said,
                inputs=steps.received if steps is not None else 0,
                pid=os.getpid(),
                python=f"{python}, replay {REPLAY_VERSION}",
                journal=self.journal,
                acknowledged=self.stream.have,
            )
        )

    def greet_if_due(self, steps: Steps | None) -> None:
        """Say Hello unasked if there is a connection that may be new."""
        if self._must_greet and self._wire.is_connected:
            self._must_greet = False
            if self._on_connected is not None:
                # Before Hello, which is what a cell is given in answer to.
                if self._on_connected() is Sockets.GIVEN_UP:
                    self._wire.end_when_cut_off()
                self._on_connected = None
            self.greet(0, steps)

    def say_again(self, said: list[Said]) -> None:
        """What a supervisor asked to hear again, and the questions that were not answered."""
        for message in said:
            self.send(message)
        for number, asked in self.asked.items():
            if not asked.is_answered:
                self.send(Fetch(self.stream.epoch, number, asked.key))
