"""Who hears the supervisor when: the cell's own thread while it waits, else the stand-by.

A cell that handles signals has the stand-by hear and send for it always: Python calls handlers on
the cell's thread between any two steps of ours, and they may speak, raise, or take their time.
"""

from __future__ import annotations

import os
import select
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NoReturn

from ..protocol import codec
from ..protocol.worker_messages import Fetch
from ..protocol.zmtp import Violation
from . import real, signals
from .answers import Unbelievable, answer
from .bell import Bell
from .exits import EXIT_PROTOCOL
from .standby import FLUSH_AGE_MS, Duty, Standby
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
        self._delegates = self.is_silent = False
        self._is_due = False
        self._questions: deque[Fetch] = deque()
        self.cell_sleeps = True
        self.pending_since = 0.0
        self._standby = Standby(self)

    def open(self) -> None:
        """Begin to connect; whoever waits goes on with it. On the cell's main thread."""
        self._main = threading.get_ident()
        self.gate_bell.open()
        self._look()
        self._standby.open(self._wire.fileno())
        self._wire.on_lost = self._lost
        signals.tell_of_first(self.delegate)

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
        if self._delegates:
            with suppress(KeyError):
                poll.unregister(self._wire.fileno())
            poll.poll()
            self._silence()
            self.cell_sleeps = False
            return
        self._standby.rest()
        try:
            while not self._gate_opened and self._waits_on(poll):
                continue
        finally:
            self._standby.expect()
            self._gate_opened = self.cell_sleeps = False

    def _waits_on(self, poll: select.poll) -> bool:
        """One look and one wait; False: something but the supervisor has ended it."""
        patience_ms = self._look()
        if self._gate_opened:
            return True
        wire = self._wire.fileno()
        if all(descriptor == wire for descriptor, _ in poll.poll(patience_ms)):
            return True
        self._silence()
        return False

    def _silence(self) -> None:
        # What a signal calls can fork; in the copy the bell is still that of the original.
        if not self._link.is_copy:
            self.gate_bell.silence()

    def open_gate(self) -> None:
        """Let the cell's thread look at its inputs again."""
        self._gate_opened = True
        if threading.get_ident() != self._main:
            self.gate_bell.ring()

    def delegate(self) -> None:
        """The cell handles signals from now on; on its main thread."""
        self._delegates = True
        self._standby.call()

    def send(self) -> None:
        """Send what is pending now, on this thread or by the stand-by. With the lock held."""
        if self._delegates and threading.get_ident() == self._main:
            self._is_due = True
            self._standby.call()
        else:
            self._link.speaker.send_pending()

    def ask(self, question: Fetch) -> None:
        """Send a question likewise. With the lock held.

        Raises:
            RuntimeError: out of a finalizer that runs in the middle of a sending.
        """
        if self._wire.is_busy:
            raise RuntimeError("a finalizer asks for a stored value while its worker speaks")
        if self._delegates and threading.get_ident() == self._main:
            self._questions.append(question)
            self._standby.call()
        else:
            self._link.speaker.send(question)

    def note_pending(self) -> None:
        """Something is pending since now; it is sent when it is old. With the lock held."""
        self.pending_since = real.monotonic()
        if self.cell_sleeps or self._delegates:
            self._standby.call()  # else it looks by itself soon enough

    @contextmanager
    def served(self) -> Iterator[None]:
        """The stand-by listens: this may be the cell's thread, in a signal of the cell's wait."""
        self._waiting += 1
        self._standby.call()
        try:
            yield
        finally:
            self._waiting -= 1

    def silence_signals(self) -> None:
        """The cell has ended: nothing of it runs on its thread any more, if this is that thread."""
        if threading.get_ident() == self._main:
            signals.silence()
        self.is_silent = True

    def leave_for_good(self) -> None:
        """The stand-by listens from now on."""
        self._waiting += 1
        self._standby.call()

    def _lost(self) -> None:
        """Whoever polls may have looked when the connection was gone already, and would sleep."""
        self.gate_bell.ring()
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

    def stand_by(self) -> Duty:
        """What the stand-by does at each look; what it has to do until the next."""
        speaker = self._link.speaker
        with self._link.lock:
            if self._is_unheard:
                self._look()
            if speaker.stream.pending and (self._is_due or self._pending_ms() >= FLUSH_AGE_MS):
                self._is_due = False
                speaker.send_pending()
            while self._questions:
                speaker.send(self._questions.popleft())
            if not self._is_unheard and not speaker.stream.pending:
                return Duty.REST
            sleeps = self.cell_sleeps and self._wire.is_connected and not speaker.stream.pending
            return Duty.LISTEN if sleeps and not self._waiting else Duty.LOOK

    @property
    def _is_unheard(self) -> bool:
        return self._delegates or self._waiting > 0 or not self.cell_sleeps

    def _pending_ms(self) -> float:
        return (real.monotonic() - self.pending_since) * 1_000


def end_for(error: Exception) -> NoReturn:
    """End the process: nobody who could say this is our supervisor."""
    print(f"tidemark worker {os.getpid()}: {error}", file=sys.__stderr__, flush=True)
    os._exit(EXIT_PROTOCOL)
