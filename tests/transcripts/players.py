"""Hosts and workers as tests play them: a few words for what they say, a list of what they hear."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tidemark.protocol import codec
from tidemark.protocol import host_answers as a
from tidemark.protocol import host_requests as h
from tidemark.protocol import worker_messages as w
from tidemark.protocol.ids import Incarnation, RequestRef
from tidemark.protocol.limits import MESSAGE_BYTES_MAX, Limits
from tidemark.protocol.packed import CellKind, InputKind, PackedEvent, Stepping, ToolSpec
from tidemark.supervisor.core import events as e

if TYPE_CHECKING:
    from transcripts.stage import Stage

SECOND = 1_000_000_000


class Worker:
    """One incarnation: keeps what it has said until it is acknowledged, as the real one does."""

    def __init__(self, stage: Stage, token: bytes, cell: str, incarnation: Incarnation) -> None:
        self.stage = stage
        self.token = token
        self.cell = cell
        self.incarnation = incarnation
        self.epoch = 0
        self.started = False
        self.said: list[tuple[w.Item, ...]] = []

    @property
    def received(self) -> list[w.ToWorker]:
        return [message for token, message in self.stage.wires.to_workers if token == self.token]

    def last(self, kind: type[Any]) -> Any:
        """The last message of this kind."""
        return [message for message in self.received if isinstance(message, kind)][-1]

    def sends(self, message: w.FromWorker) -> None:
        """Any message, on this worker's connection."""
        message = codec.FROM_WORKER.decode(codec.FROM_WORKER.encode(message))
        self.stage.wires.arrived.append(e.WorkerSpoke(self.token, message))
        self.stage.run()

    def hello(self) -> Worker:
        """It connects, and is given its cell."""
        taken = self.inputs
        hello = w.Hello(
            self.cell, self.incarnation, self.epoch, self.started, len(self.said), taken, 77, "3.11"
        )
        self.sends(hello)
        for message in self.received:
            if isinstance(message, w.Start):
                self.started = True
                self.epoch = message.epoch
        return self

    @property
    def inputs(self) -> int:
        """The last input that it has received."""
        brought = [m for m in self.received if isinstance(m, w.Deliver | w.Continue)]
        return max([i.number for m in brought for i in m.inputs], default=0)

    def says(self, *items: w.Item) -> None:
        """One message of its stream."""
        self.said.append(items)
        self.sends(w.Said(self.epoch, len(self.said), (), items))

    def adopted(self) -> None:
        """It answers Adopt, and says again what the journal does not have."""
        adopt = self.last(w.Adopt)
        self.epoch = adopt.epoch
        hello = w.Hello(
            self.cell,
            self.incarnation,
            self.epoch,
            self.started,
            len(self.said),
            self.inputs,
            77,
            "3.11",
        )
        self.sends(hello)
        for number, items in enumerate(self.said, 1):
            if number > adopt.have:
                self.sends(w.Said(self.epoch, number, (), items))

    def confirms(self) -> None:
        """It confirms the last Continue."""
        last = self.last(w.Continue)
        self.says(w.Confirmed(last.generation, last.upto, last.request, last.acknowledged))

    def ends(self, status: int = -9) -> None:
        """Its process ends."""
        self.stage.processes.end(self.token, status)
        self.stage.run()


class Host:
    """A client that counts its requests and can repeat each of them."""

    def __init__(
        self,
        stage: Stage,
        number: int,
        session: str | None,
        tools: tuple[ToolSpec, ...],
        wishes: dict[str, Any],
    ) -> None:
        self.stage = stage
        self.token = number.to_bytes(16, "big")
        self.pid = 100 + number
        self.connection = b"connection-%d.0" % number
        self.attachment = 0
        self.requests: list[h.Request] = []
        self.answers: dict[int, Any] = {}
        self.unasked: list[a.ToHost] = []
        self.answered = 0
        self.holding: tuple[h.CallRef, ...] = ()
        self.session = None if session is None else self._session(session, tools, wishes)

    def _session(
        self, name: str, tools: tuple[ToolSpec, ...], wishes: dict[str, Any]
    ) -> h.SessionAsk:
        return h.SessionAsk(
            name=name,
            tools=tools,
            isolation=wishes.get("isolation"),
            replay=wishes.get("replay"),
            durability=wishes.get("durability"),
            limits=wishes.get("limits", Limits()),
            take_over=wishes.get("take_over", False),
        )

    # -- connections ------------------------------------------------------------------------------

    def attach(self, journal: int = 0) -> Any:
        """Say who we are, on the connection of now."""
        ask = h.Attach(
            token=self.token,
            attachment=self.attachment,
            pid=self.pid,
            host="here",
            process_started_ns=5,
            journal=journal,
            session=self.session,
            holding=self.holding,
        )
        answer = self.ask(ask)
        if isinstance(answer, a.Attached):
            self.attachment = answer.attachment
        return answer

    def reconnects(self) -> Any:
        """A new connection of the same attachment."""
        life = self.connection.rpartition(b".")[2]
        number = self.token[-1]
        self.connection = b"connection-%d.%d" % (number, int(life or b"0") + 1 + len(self.requests))
        return self.attach()

    def vanishes(self) -> None:
        """Its process ends."""
        self.stage.happens(e.HostGone(self.attachment))

    # -- requests ---------------------------------------------------------------------------------

    def sends(self, ask: h.Ask, *acknowledged: tuple[str, int]) -> int:
        """A new request; its number."""
        number = len(self.requests) + 1
        attachment = 0 if isinstance(ask, h.Attach) else self.attachment
        refs = tuple(h.EventRef(cell, event) for cell, event in acknowledged)
        self.requests.append(h.Request(attachment, number, self.answered, refs, ask))
        self.repeats(number)
        return number

    def repeats(self, number: int) -> Any:
        """The same request once more; its answer, if there is one now."""
        request = self.requests[number - 1]
        self.answers.pop(number, None)
        request = codec.FROM_HOST.decode(codec.FROM_HOST.encode(request))
        self.stage.wires.arrived.append(e.HostAsked(self.connection, request))
        self.stage.run()
        self._collect()
        return self.answers.get(number)

    def ask(self, ask: h.Ask, *acknowledged: tuple[str, int]) -> Any:
        """A request and its answer; None while it is not answered."""
        return self.answer(self.sends(ask, *acknowledged))

    def answer(self, number: int) -> Any:
        """The answer or refusal of a request; None while there is none."""
        self._collect()
        return self.answers.get(number)

    @property
    def last(self) -> int:
        return len(self.requests)

    def ref(self, number: int) -> RequestRef:
        return RequestRef(self.attachment, number)

    def _collect(self) -> None:
        mine = [m for to, m in self.stage.wires.to_hosts if to == self.connection]
        others = [(to, m) for to, m in self.stage.wires.to_hosts if to != self.connection]
        self.stage.wires.to_hosts = others
        parts: dict[int, bytes] = {}
        for message in mine:
            if isinstance(message, a.Answered):
                parts[message.number] = parts.get(message.number, b"") + message.content
                if message.part == message.parts:
                    body = parts.pop(message.number)
                    answer = codec.unpack_body(body, codec.ANSWER, 8 * MESSAGE_BYTES_MAX)
                    self.answers[message.number] = answer
            elif isinstance(message, a.Refused | a.Unattached):
                self.answers[message.number] = message
            else:
                self.unasked.append(message)

    def heard(self, kind: type[Any]) -> list[Any]:
        """What it was told unasked, of one kind."""
        self._collect()
        return [message for message in self.unasked if isinstance(message, kind)]

    # -- requests that tests make often -----------------------------------------------------------

    def creates(self, kind: CellKind = CellKind.PAUSABLE, **fields: Any) -> str:
        """A new cell's id."""
        return str(self.ask(creation(kind, **fields)).cell)

    def observes(
        self, cell: str, after: int | None = None, seconds: float = 10, *, take_over: bool = False
    ) -> Any:
        return self.ask(h.Observe(cell, after, int(seconds * SECOND), take_over))

    def waits(self, cell: str, *, take_over: bool = False) -> Any:
        return self.ask(h.WaitToPending(cell, take_over))

    def resumes(self, cell: str, generation: int, after: int | None = None) -> Any:
        return self.ask(h.Resume(cell, generation, after))

    def steps(self, cell: str, generation: int, after: int | None = None) -> Any:
        return self.ask(h.Step(cell, generation, after))

    def terminates(self, cell: str, after: int | None = None) -> Any:
        return self.ask(h.Terminate(cell, after))

    def finishes(self, cell: str, number: int, content: bytes = b"\x01") -> Any:
        ref = h.CallRef(cell, number)
        return self.ask(h.FinishCall(ref, InputKind.RESULT, content, "", False))

    def lets_go(self, cell: str, number: int) -> Any:
        return self.ask(h.FinishCall(h.CallRef(cell, number), InputKind.ERROR, b"", "", True))


def creation(kind: CellKind = CellKind.PAUSABLE, **fields: Any) -> h.CreateCell:
    """A request for a cell; nobody compiles its source here."""
    return h.CreateCell(
        kind=kind,
        source=fields.get("source", b"pass"),
        inputs=fields.get("inputs", b"\x80"),
        name=fields.get("name", ""),
        key=fields.get("key", ""),
        limits=fields.get("limits", Limits()),
        stepping=fields.get("stepping", Stepping.DRAIN),
    )


def output(answer: Any) -> list[str]:
    """The texts that an event carries."""
    event: PackedEvent = answer.event
    return [item.content for item in event.output]
