"""Who hears the supervisor when: the cell's own thread while it waits, else the stand-by."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from ..protocol import codec
from ..protocol.zmtp import Violation
from . import real
from .answers import Unbelievable, answer
from .bell import Bell
from .exits import EXIT_PROTOCOL
from .standby import FLUSH_AGE_MS, Standby
from .wire import Wire

if TYPE_CHECKING:
    from .link import Link


class Hearing:
    """The hearing half of a link, whose lock orders what is heard among what is said.

    Attributes:
        cell_sleeps: the cell's thread listens, or is about to.
        pending_since: since when something has waited to be said, in seconds.
    """

    def __init__(self, link: Link, wire: Wire) -> None:
        """Without a descriptor; see `open`."""
        self._link = link
        self._wire = wire
        self._main = 0
        self.gate_bell = Bell()
        self._gate_opened = False
        self._waiting = 0
        self.cell_sleeps = True
        self.pending_since = 0.0
        self._standby = Standby(self)

    def open(self) -> None:
        """Begin to connect; whoever waits goes on with it. On the cell's main thread."""
        self._main = threading.get_ident()
        self.gate_bell.open()
        self._look()
        self._standby.open(self._wire.fileno())

    def watched(self) -> tuple[int, ...]:
        """What the cell's thread polls for reading while it waits."""
        return (self.gate_bell.fileno(), self._wire.fileno())

    def until(self, done: Callable[[], bool]) -> None:
        """Listen on this thread, before there is a cell, until something is so."""
        poll = select.poll()
        poll.register(self._wire.fileno(), select.POLLIN)
        patience_ms = self._look()
        while not done():
            poll.poll(patience_ms)
            patience_ms = self._look()
        self.cell_sleeps = False
        self._standby.expect()

    def wait(self, poll: select.poll) -> None:
        """Block until the gate may have opened; on the cell's main thread, which listens.

        `poll` has what is in `watched`, and maybe more that ends the wait.
        """
        self._standby.rest()
        try:
            while not self._gate_opened and self._waits_on(poll):
                continue
        finally:
            self._gate_opened = self.cell_sleeps = False
            self._standby.expect()

    def _waits_on(self, poll: select.poll) -> bool:
        """One look and one wait; False: something but the supervisor has ended it."""
        patience_ms = self._look()
        if self._gate_opened:
            return True
        wire = self._wire.fileno()
        if all(descriptor == wire for descriptor, _ in poll.poll(patience_ms)):
            return True
        self.gate_bell.silence()
        return False

    def open_gate(self) -> None:
        """Let the cell's thread look at its inputs again."""
        self._gate_opened = True
        if threading.get_ident() != self._main:
            self.gate_bell.ring()

    def call(self) -> None:
        """Have the stand-by look at what is pending, and send it when it is old."""
        self._standby.call()

    @contextmanager
    def served(self) -> Iterator[None]:
        """The stand-by listens: this may be the cell's thread, in a signal of the cell's wait."""
        self._waiting += 1
        self._standby.call()
        try:
            yield
        finally:
            self._waiting -= 1

    def leave_for_good(self) -> None:
        """The stand-by listens from now on."""
        self._waiting += 1
        self._standby.call()

    # -- listening --------------------------------------------------------------------------------

    def _look(self) -> int | None:
        """Do what the supervisor asks; how many ms may pass until the next look, None: any."""
        with self._link.lock:
            try:
                return self._listen()
            except (codec.BadFrame, Unbelievable, Violation) as error:
                end_for(error)

    def _listen(self) -> int | None:
        wire = self._wire
        wire.mend()
        while (frames := wire.receive()) is not None:
            answer(self._link, codec.TO_WORKER.decode(frames))
        self._link.speaker.greet_if_due(self._link.steps)
        wire.flush()
        return wire.patience_ms

    def stand_by(self) -> bool:
        """What the stand-by does at each look; whether it has to look again soon."""
        speaker = self._link.speaker
        with self._link.lock:
            if self._is_unheard:
                self._look()
            if speaker.stream.pending and self._pending_ms() >= FLUSH_AGE_MS:
                speaker.send_pending()
            return self._is_unheard or speaker.stream.pending > 0

    @property
    def _is_unheard(self) -> bool:
        return self._waiting > 0 or not self.cell_sleeps

    def _pending_ms(self) -> float:
        return (real.monotonic() - self.pending_since) * 1_000


def end_for(error: Exception) -> NoReturn:
    """End the process: nobody who could say this is our supervisor."""
    print(f"tidemark worker {os.getpid()}: {error}", file=sys.__stderr__, flush=True)
    os._exit(EXIT_PROTOCOL)
