"""A host of the small world: the production core of the client, and what the host remembers."""

from __future__ import annotations

from typing import Any, NamedTuple

from tidemark.client._attachment import Identity
from tidemark.client._core import HostCore
from tidemark.client._happenings import CallToCancel, CallToRun, Opened, Settled
from tidemark.client._held import Outcome
from tidemark.protocol import host_requests as h
from tidemark.protocol import values
from tidemark.protocol.host_answers import Answer, CellMade, EventGiven, ResumedGiven, ToHost
from tidemark.protocol.ids import RequestRef
from tidemark.protocol.limits import Limits
from tidemark.protocol.packed import (
    CellKind,
    EventKind,
    InputKind,
    OnUnknown,
    PackedEvent,
    Stepping,
    ToolKind,
    ToolSpec,
)

from .worker import TOOL, result_of

FINAL = (EventKind.COMPLETED, EventKind.TERMINATED)
TOOLS = (ToolSpec(TOOL, TOOL, "", "()", ToolKind.FUNCTION, OnUnknown.ASK, False, 0),)
CREATE = h.CreateCell(
    CellKind.PAUSABLE, b"small", values.encode({}), "small", "", Limits(), Stepping.DRAIN
)


class Asked(NamedTuple):
    """A request, and what the asker, and everybody, had been told when it was made.

    Attributes:
        last: the number of the last event that the asker had; 0 without one.
        stop: the end of the output which the request acknowledges.
        resumed: the highest generation that anybody had been told was resumed.
    """

    ask: h.Ask
    last: int
    stop: int
    resumed: int


class Reply(NamedTuple):
    """What has been answered to what was asked."""

    asked: Asked
    ref: RequestRef
    answer: Answer | None
    error: Any


class SmallHost:
    """One host process, which asks one thing at a time and runs the tool.

    Attributes:
        last, stop, generation: of the last event that it has received: its number, the end of its
            output, and its generation.
        walked: the last generation that it has asked to step from.
        was_busy: it was refused because another observes; so it insists.
        acknowledged: the end of the output that it knows to be acknowledged.
        running: calls of the tool that have not returned, with their attempt.
        runs: every call that it has begun to run.
    """

    def __init__(self, number: int, *, replay: bool) -> None:
        session = h.SessionAsk("s", TOOLS, None, replay, None, Limits(), False)
        self.name = "AB"[number - 1]
        token = self.name.encode() * 16
        self.core = HostCore(
            Identity(token, 100 + number, self.name, 0), None if number > 1 else session
        )
        self.cell = ""
        self.last = 0
        self.stop = 0
        self.generation = 0
        self.walked = 0
        self.was_busy = False
        self.acknowledged = 0
        self.asked: dict[int, Asked] = {}
        self.running: dict[h.CallRef, int] = {}
        self.runs: list[tuple[h.CallRef, int]] = []
        self.has_ended = False

    @property
    def is_attaching(self) -> bool:
        """Whether it waits for the answer to Attach."""
        return self.core._attachment.attaching is not None

    def attach(self) -> list[h.Request]:
        """There is a new connection."""
        self.core.attach()
        return self._sends()

    def ask(self, ask: h.Ask, resumed: int) -> list[h.Request]:
        """A request; it is sent when this host is attached."""
        stop = self.acknowledged
        if isinstance(ask, (h.Resume, h.Step)) and ask.generation == self.generation:
            stop = self.stop  # said later, or of the end, it comes too late for the next event
        if isinstance(ask, h.Step):
            self.walked = max(self.walked, ask.generation)
        self.asked[self.core.ask(ask)] = Asked(ask, self.last, stop, resumed)
        return self._sends()

    def menu(self, generations: int) -> list[h.Ask]:
        """Everything that it could ask now."""
        after = self.last or None
        asks: list[h.Ask] = [h.WaitToPending(self.cell, False)]
        for generation in range(1, generations + 1):
            asks.append(h.Resume(self.cell, generation, after))
            asks.append(h.Step(self.cell, generation, after))
        asks.append(h.Terminate(self.cell, after))
        return asks

    def walk(self) -> list[h.Ask]:
        """The one thing that it asks when it follows the cell to its end; nothing: it is there."""
        if self.has_ended:
            return []
        if self.generation > self.walked:
            return [h.Step(self.cell, self.generation, self.last)]
        return [h.WaitToPending(self.cell, self.was_busy)]

    def returned(self, call: h.CallRef) -> list[h.Request]:
        """The tool has returned."""
        attempt = self.running.pop(call)
        self.core.finish(call, attempt, Outcome(InputKind.RESULT, result_of(call.number)))
        return self._sends()

    def hear(self, message: ToHost) -> tuple[list[h.Request], list[Reply]]:
        """One message: what is sent in turn, and what it has answered."""
        self.core.receive(message)
        replies: list[Reply] = []
        requests: list[h.Request] = []
        while True:
            turn = self.core.drain()
            if not (turn.sends or turn.happened):
                return requests, replies
            requests += turn.sends
            for happening in turn.happened:
                match happening:
                    case Settled(number, answer, error):
                        assert self.core.attached is not None
                        ref = RequestRef(self.core.attached.attachment, number)
                        if number in self.asked:  # else the core has told the end of a call
                            asked = self.asked.pop(number)
                            replies.append(Reply(asked, ref, answer, error))
                    case CallToRun(offered):
                        self.runs.append((offered.call, offered.attempt))
                        self.running[offered.call] = offered.attempt
                    case CallToCancel() | Opened():
                        pass  # like many a tool, ours does not listen, and returns all the same
                    case _:
                        raise AssertionError(f"host {self.name} did not expect {happening}")

    def learn(self, reply: Reply) -> None:
        """Keep what an answer tells."""
        self.was_busy = getattr(reply.error, "code", "") == "busy_observer"
        if isinstance(reply.answer, CellMade):
            self.cell = reply.answer.cell
        if isinstance(reply.answer, (EventGiven, ResumedGiven)):
            self.acknowledged = max(self.acknowledged, reply.asked.stop)
        if isinstance(reply.answer, EventGiven):
            self._received(reply.answer.event)

    def _received(self, event: PackedEvent) -> None:
        self.last, self.generation = max(self.last, event.number), event.generation
        if event.output:
            self.stop = max(self.stop, event.output[-1].index + 1)
        if event.kind in FINAL and not self.has_ended:
            self.has_ended = True
            self.core.acknowledge(self.cell, event.number)

    def _sends(self) -> list[h.Request]:
        turn = self.core.drain()
        if turn.happened:
            raise AssertionError(f"host {self.name} did not expect {turn.happened}")
        return list(turn.sends)
