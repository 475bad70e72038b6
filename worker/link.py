"""The worker's end of the link: what the cell says, and what it is told.

While the cell waits, its own thread listens to the supervisor: a step that is short wakes no other.
A stand-by (`standby.py`) listens while the cell is busy. Whoever has something to say sends it
itself when it is due; one lock orders everything that is said and every move of the gate.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Final, NoReturn

from ..protocol.packed import PackedInput, Reason
from ..protocol.worker_messages import Fetch, Finished, Item, Start
from ..protocol.zygote_messages import Fork
from .answers import Unbelievable
from .exits import EXIT_COPY_FAILED, EXIT_DEFECT, EXIT_DONE, EXIT_NO_MEMORY
from .hearing import Hearing
from .isolation.quarters import Sockets
from .speaker import Asked, Speaker
from .steps import Steps
from .wire import Wire

SPARE_FRAMES: Final = 500  # so that a cell at its recursion limit can still end properly


class Link:
    """One worker's link to whichever supervisor lives.

    Methods are for the cell's threads unless they say otherwise; all may block while the journal
    is behind. `answers.py` has what is done with each message.
    """

    def __init__(self) -> None:
        """Nobody's yet, and without a descriptor; see `open`."""
        self.fork: Fork
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.steps: Steps | None = None
        self.start: Start | None = None
        self.remembered: dict[int, int] = {}
        self._questions = 0
        self._wire = Wire()
        self.speaker = Speaker(self._wire)
        self._is_copy = False
        self.hearing = Hearing(self, self._wire)

    def open(self, fork: Fork, on_connected: Callable[[], Sockets]) -> None:
        """Be this worker's, on its main thread; `wait_for_start` goes on with connecting.

        `on_connected` is called once, before the first word.
        """
        self.fork = fork
        self._wire.open(fork.endpoint, fork.token)
        self.speaker.begin(fork, on_connected)
        os.register_at_fork(after_in_child=self._become_copy)
        self.hearing.open()

    @property
    def is_copy(self) -> bool:
        """Whether this is a process that the cell forked: it has no supervisor to speak to."""
        return self._is_copy

    def wait_for_start(self) -> Start:
        """Block until the supervisor has given the cell."""
        self.hearing.until(lambda: self.start is not None)
        assert self.start is not None
        return self.start

    # -- saying -----------------------------------------------------------------------------------

    def say(self, item: Item) -> None:
        """Put an item into the stream; sent when it is due. Blocks while the window is full.

        It is durable when it has been acknowledged, which nobody here waits for. After the end of
        the cell this never returns. In a process that the cell forked, nothing is said.
        """
        if self._is_copy:
            return
        # Out of a handler or finalizer in the middle of our own work: it is never waited there.
        is_nested = self.lock._is_owned()  # type: ignore[attr-defined]
        # The lock itself and not its condition, which enters by a function of Python's own: what a
        # signal calls can raise in there, when the lock is taken and nobody would give it back.
        with self.lock:
            while self.speaker.stream.is_full and not (is_nested or self.speaker.stream.closed):
                self.hearing.send()
                with self.hearing.served():
                    self._wait()
            if not self.speaker.stream.closed:
                is_first = not self.speaker.stream.pending
                self.speaker.stream.add(item)
                if self.speaker.stream.is_due:
                    self.hearing.send()
                elif is_first:
                    self.hearing.note_pending()
                return
        self.park()

    def last_call(self) -> int:
        """The number of the last tool call that was said."""
        with self.lock:
            return self.speaker.stream.last_call

    def _wait(self) -> None:
        """Wait for news. The lock is held afterwards, also when what a signal calls raises."""
        try:
            self.changed.wait()
        except BaseException:
            while not self.lock._is_owned():  # type: ignore[attr-defined]
                try:
                    self.lock.acquire()
                except BaseException:  # noqa: BLE001 - one more signal; the first is raised
                    continue
            raise

    def flush(self) -> None:
        """Send what is pending now."""
        if self._is_copy:
            return
        with self.lock:
            self.hearing.send()

    def fetch(self, key: str | None) -> Asked:
        """Ask for a stored value (None: the list of keys) and block until it is here."""
        if self._is_copy:
            raise RuntimeError("a process that the cell forked has no stored values")
        with self.lock:  # not its condition: see `say`
            self._questions += 1
            number = self._questions
            asked = self.speaker.asked[number] = Asked(key)
            try:
                self.hearing.ask(Fetch(self.speaker.stream.epoch, number, key))
                with self.hearing.served():
                    while not asked.is_answered:
                        self._wait()
            finally:
                del self.speaker.asked[number]
            return asked

    def finish(
        self, reason: Reason, error: str | None = None, value: bytes | None = None
    ) -> NoReturn:
        """End the cell: the last item, and nothing after it. Never returns, on any thread.

        The process ends when the journal has the completion.
        """
        if self._is_copy:
            os._exit(EXIT_DONE if reason is Reason.ENDED else EXIT_COPY_FAILED)
        while True:
            try:
                sys.setrecursionlimit(sys.getrecursionlimit() + SPARE_FRAMES)
                self.hearing.silence_signals()
                with self.lock:
                    if not self.speaker.stream.closed:
                        taken = self.steps.taken if self.steps is not None else 0
                        self.speaker.stream.add(Finished(reason, error, value, taken))
                        self.hearing.send()
                self.park()
            except MemoryError:
                os._exit(EXIT_NO_MEMORY)
            except BaseException:  # noqa: BLE001 - a completion must not be lost
                if self.hearing.is_silent:  # else a signal has called something of the cell's
                    os._exit(EXIT_DEFECT)

    def park(self) -> NoReturn:
        """Block this thread for ever; the stand-by ends the process."""
        self.hearing.leave_for_good()
        while self.lock._is_owned():  # type: ignore[attr-defined]
            # A finalizer or signal handler ended the cell in the middle of one of our own calls,
            # on this thread. That call is never resumed, and its lock is needed.
            self.lock.release()
        never = threading.Lock()
        never.acquire()
        while True:
            try:
                never.acquire()
            except BaseException:  # noqa: BLE001 - a signal handler of an ended cell
                continue

    # -- the gate ---------------------------------------------------------------------------------

    def next_turn(self, next_timer_ns: int | None, own_work: tuple[str, ...]) -> PackedInput | None:
        """The input that the cell takes now. None: it must wait, and that has been said."""
        if self._is_copy:
            os._exit(EXIT_DONE)
        with self.lock:
            steps = self.opened_steps()
            if (wait := steps.relived_wait(next_timer_ns)) is not None:
                self.say(wait)
            taken = steps.next_input()
            self.hearing.cell_sleeps = taken is None
            if taken is None:
                said = steps.idle(next_timer_ns, own_work)
                if not self.speaker.stream.closed:
                    if said is not None:
                        self.speaker.stream.add(said)
                    self.hearing.send()
            return taken

    def takes_own_work(self) -> bool:
        """Whether own work may move the cell now."""
        with self.lock:
            return self.opened_steps().takes_own_work

    def own_work_taken(self) -> None:
        """Own work has been handed to the cell."""
        with self.lock:
            self.hearing.cell_sleeps = False
            self.opened_steps().own_work_taken()

    def open_gate(self) -> None:
        """Let the cell's thread look at its inputs again."""
        self.hearing.open_gate()

    def opened_steps(self) -> Steps:
        """The cell's steps; it must have been started."""
        if self.steps is None:
            raise Unbelievable("inputs for a cell that was not given yet")
        return self.steps

    def _become_copy(self) -> None:
        self._is_copy = True
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self._wire.leave()
