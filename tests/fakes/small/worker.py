"""The worker of the small world: production stream, gate and answers around a fixed cell."""

from __future__ import annotations

from typing import Any

from tidemark.protocol import values
from tidemark.protocol.limits import Limits
from tidemark.protocol.packed import OutputKind, Reason
from tidemark.protocol.worker_messages import (
    Bye,
    Called,
    Emitted,
    Finished,
    FromWorker,
    Start,
    ToWorker,
    Wrote,
)
from tidemark.protocol.zygote_messages import Fork
from tidemark.worker.answers import Unbelievable, answer
from tidemark.worker.isolation.quarters import Sockets
from tidemark.worker.speaker import Speaker
from tidemark.worker.steps import Steps

TOOL = "search"


def text_of(place: int) -> str:
    """The cell's output at this place."""
    return f"after {place} results"


def result_of(call: int) -> bytes:
    """What the tool gives for this call."""
    return values.encode(f"result {call}")


class SmallSpeaker(Speaker):
    """The production speaker; what it sends is taken from `sent`."""

    def __init__(self, fork: Fork) -> None:
        super().__init__(None)  # type: ignore[arg-type]
        self.begin(fork, lambda: Sockets.KEPT)
        self.sent: list[FromWorker] = []
        self.connected = True

    def send(self, message: FromWorker) -> None:
        if self.connected:
            self.sent.append(message)
        else:
            self._must_greet = True

    def greet_if_due(self, steps: Steps | None) -> None:
        if self._must_greet and self.connected:
            self._must_greet = False
            self.greet(0, steps)


class _Changed:
    """Stands for the link's condition: here nobody waits for it."""

    def notify_all(self) -> None:
        """Whoever waits looks again by himself."""


class SmallWorker:
    """One worker's process: its link's thread is `hear`, its cell's thread `think`.

    The cell calls one tool per generation, puts out a text after each result, and ends.

    Attributes:
        stage: how many results its code has; -1 before it runs.
        is_awake: its cell's thread has something to look at.
        is_over: it has heard Bye.
    """

    def __init__(self, fork: Fork, generations: int) -> None:
        self.speaker = SmallSpeaker(fork)
        self.steps: Steps | None = None
        self.start: Start | None = None
        self.remembered: dict[int, int] = {}
        self.generations = generations
        self.stage = -1
        self.is_awake = False
        self.is_over = False
        self.speaker.greet_if_due(None)

    @property
    def changed(self) -> _Changed:
        return _Changed()

    def opened_steps(self) -> Steps:
        if self.steps is None:
            raise Unbelievable("inputs for a cell that was not given yet")
        return self.steps

    def open_gate(self) -> None:
        self.is_awake = True

    @property
    def left(self) -> int:
        """The last generation that it has left."""
        return 0 if self.steps is None else self.steps.left

    # -- the link's thread ------------------------------------------------------------------------

    def hear(self, message: ToWorker) -> None:
        """One message of the supervisor.

        Raises:
            Unbelievable: no supervisor of this version could have said it.
        """
        if isinstance(message, Bye):
            if self.speaker.stream.accepts(message.epoch):
                if not self.speaker.stream.closed:
                    raise Unbelievable("Bye to a cell that has not finished")
                self.is_over = True
            return
        before = self.start
        answer(self, message)  # type: ignore[arg-type]
        self.speaker.greet_if_due(self.steps)
        if self.start is not before:
            self.is_awake = True

    # -- the cell's thread ------------------------------------------------------------------------

    def think(self) -> None:
        """Run the cell until it has to wait."""
        self.is_awake = False
        if self.speaker.stream.closed:
            return
        if self.stage < 0:
            self._goes_on()
        while self.stage < self.generations:
            steps = self.opened_steps()
            if (relived := steps.relived_wait(None)) is not None:
                self._say(relived)
            taken = steps.next_input()
            if taken is None:
                wait = steps.idle(None, ())
                if wait is not None:
                    self.speaker.stream.add(wait)
                self.speaker.send_pending()
                return
            if taken.call != self.stage + 1:
                raise AssertionError(f"input {taken} for a cell that waits for {self.stage + 1}")
            self._goes_on()
        self._say(Finished(Reason.ENDED, None, None, self.opened_steps().taken))
        self.speaker.send_pending()

    def _goes_on(self) -> None:
        """What the code does from one wait to the next."""
        self.stage += 1
        if self.stage == 0:
            content = values.encode("written")
            self._say(Wrote("key", content, values.digest(content)))
        text = text_of(self.stage)
        self._say(Emitted(OutputKind.TEXT, text, None, values.digest(text.encode())))
        if self.stage < self.generations:
            arguments = values.encode({"call": self.stage + 1})
            self._say(Called(self.stage + 1, TOOL, arguments, values.digest(arguments)))

    def _say(self, item: Any) -> None:
        self.speaker.stream.add(item)


def fork_of(token: bytes, cell: str, incarnation: Any) -> Fork:
    """What a worker is born with."""
    return Fork(token, cell, incarnation, "small://", Limits())
