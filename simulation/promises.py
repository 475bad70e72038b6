"""What Tidemark promises, checked at every commit: each check is named by the promise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from ..protocol.ids import NO_REQUEST, Incarnation, RequestRef
from ..protocol.packed import Reason, Stepping
from ..supervisor.core import records as r
from ..supervisor.core.facts import EventMark
from .promise import Promise, PromiseBroken

if TYPE_CHECKING:
    from .world import World


ASLEEP = "it was put to sleep"


@dataclass
class CellLog:
    """What the journal has said of one cell so far."""

    session: str
    stepping: Stepping
    taken: int = 0
    upto: int = 0
    generation: int = 0
    consumed: int = 0
    number: int = 0
    inputs: int = 0
    incarnation: Incarnation | None = None
    notices: int = 0
    finished_calls: set[int] = field(default_factory=set)
    dispatched: dict[int, int] = field(default_factory=dict)
    unknown: set[int] = field(default_factory=set)
    returned: dict[int, int] = field(default_factory=dict)
    start: int = 0
    frontier: EventMark | None = None
    final: EventMark | None = None


class JournalPromises:
    """Told of every commit."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.cells: dict[str, CellLog] = {}
        self.requests: dict[RequestRef, str] = {}
        self.keys: dict[tuple[str, str], str] = {}
        self.versions: dict[str, int] = {}
        self.last_incarnation = Incarnation(0, 0)
        self.ended_attachments: set[int] = set()
        self._published: dict[str, int] = {}

    def broken(self, promise: Promise, detail: str, cell: str = "") -> NoReturn:
        """Say so, and stop."""
        raise PromiseBroken(promise, detail, cell)

    def committed(self, epoch: int, entries: list[tuple[int, r.Entry]]) -> None:
        """All of this is in the journal now."""
        self._published = {}
        for _, entry in entries:
            record = entry.record
            self.world.note("journal", "has", record)
            if isinstance(record, r.CellCreated):
                self._created(record)
                continue
            check = _CHECKS.get(type(record))
            log = self.cells.get(entry.scope)
            ended = log is not None and log.final is not None
            if ended and not isinstance(record, (*r.LAZY, r.CallsUnknown)):
                self.broken(Promise.ENDED, f"then {record}", entry.scope)
            if check is not None:
                check(self, entry.scope, log, record)
        for cell in self._published:
            self.broken(Promise.WRITES, "it was published without its values", cell)

    def _acts(self, request: RequestRef, what: str) -> None:
        if request == NO_REQUEST:
            return
        before = self.requests.setdefault(request, what)
        if before != what:
            self.broken(Promise.ONCE, f"request {request} did {before}, then {what}")

    def _created(self, record: r.CellCreated) -> None:
        self._acts(record.request, f"create {record.cell}")
        if record.key:
            owner = self.keys.setdefault((record.session, record.key), record.cell)
            if owner != record.cell:
                self.broken(Promise.ONCE, f"key {record.key} made {owner} and {record.cell}")
        if record.cell in self.cells:
            self.broken(Promise.ONCE, "it was made twice", record.cell)
        self.cells[record.cell] = CellLog(record.session, record.stepping)

    def _issued(self, cell: str, log: CellLog, record: r.WorkerIssued) -> None:
        if record.incarnation <= self.last_incarnation:
            self.broken(Promise.LIVES, f"{record.incarnation} after {self.last_incarnation}", cell)
        self.last_incarnation = log.incarnation = record.incarnation
        if record.spare:
            self.world.give_spare(cell, record.incarnation, record.spare)

    def _said(self, cell: str, log: CellLog, record: r.WorkerSaid) -> None:
        if record.incarnation != log.incarnation:
            self.broken(Promise.LIVES, f"{record.incarnation} speaks for {log.incarnation}", cell)
        waits = [step.taken for step in record.steps if isinstance(step, r.WaitBegun)]
        log.taken = waits[-1] if waits else log.taken
        log.notices += sum(isinstance(step, r.NoticeMade) for step in record.steps)

    def _numbered(self, cell: str, log: CellLog, mark: EventMark) -> None:
        if mark.number != log.number + 1:
            self.broken(Promise.RISING, f"{mark.number} after {log.number}", cell)
        log.number = mark.number
        if mark.start != log.start:
            self.broken(Promise.CARRIED, f"{mark.start} instead of {log.start} in {mark}", cell)

    def _frontier(self, cell: str, log: CellLog, record: r.FrontierReached) -> None:
        self._numbered(cell, log, record.event)
        if record.event.generation != log.generation + 1 or log.consumed != log.generation:
            detail = f"{record.event.generation} after {log.generation}, consumed {log.consumed}"
            self.broken(Promise.GENERATIONS, detail, cell)
        if log.taken != log.upto:
            self.broken(Promise.STEPS, f"it took {log.taken} of {log.upto}", cell)
        log.generation = record.event.generation
        log.frontier = record.event
        numbers = [call.number for call in record.event.calls]
        if numbers != sorted(set(numbers)):
            self.broken(Promise.ORDERED, str(numbers), cell)

    def _consumed(self, cell: str, log: CellLog, record: r.GenerationConsumed) -> None:
        if record.generation != log.generation or record.generation <= log.consumed:
            detail = f"{record.generation} of {log.generation}, consumed {log.consumed}"
            self.broken(Promise.CONSUMED, detail, cell)
        self._acts(record.request, f"consume {record.generation} of {cell}")
        one = log.stepping is Stepping.ONE
        if record.upto <= log.taken or (one and record.upto != log.taken + 1):
            self.broken(Promise.STEPS, f"from {log.taken} up to {record.upto}", cell)
        log.consumed, log.upto = record.generation, record.upto
        self._acknowledged(cell, log, record.acknowledged)
        log.frontier = None
        worker = self.world.worker_of(cell, log.incarnation)
        left = worker.steps.left if worker is not None and worker.steps is not None else 0
        if left < record.generation:
            self.broken(Promise.CONFIRMED, f"{record.generation}; the worker has left {left}", cell)

    def _acknowledged(self, cell: str, log: CellLog, number: int) -> None:
        if log.frontier is not None and log.frontier.number == number:
            log.start = log.frontier.stop

    def _event_acknowledged(self, cell: str, log: CellLog, record: r.EventAcknowledged) -> None:
        self._acknowledged(cell, log, record.number)

    def _yielded(self, cell: str, log: CellLog, record: r.YieldMade) -> None:
        self._numbered(cell, log, record.event)
        log.start = record.event.stop

    def _lost(self, cell: str, log: CellLog, record: r.WorkerLost) -> None:
        worker = self.world.worker_of(cell, record.incarnation)
        if worker is not None and not worker.is_dead and record.why != ASLEEP:
            self.broken(Promise.HONEST, record.why, cell)
        if record.counts and (worker is None or not worker.is_lost):
            self.broken(Promise.COUNTED, record.why, cell)

    def _diverged(self, cell: str, log: CellLog, record: r.ReplayDiverged) -> None:
        self.broken(Promise.SAME_AGAIN, str(record.divergence), cell)

    def _input(self, cell: str, log: CellLog, record: Any) -> None:
        if isinstance(record, r.CallFinished):
            if record.call in log.finished_calls:
                self.broken(Promise.NUMBERED, f"call {record.call} has finished twice", cell)
            log.finished_calls.add(record.call)
        if record.input:
            if record.input != log.inputs + 1:
                self.broken(Promise.NUMBERED, f"{record.input} after {log.inputs}", cell)
            log.inputs = record.input

    def _returned(self, cell: str, log: CellLog, record: r.CallsReturned) -> None:
        for call in record.calls:
            if call not in log.unknown:
                self.broken(Promise.UNKNOWN, f"call {call} is given out again", cell)
            log.unknown.discard(call)
            log.returned[call] = log.returned.get(call, 0) + 1

    def _dispatched(self, cell: str, log: CellLog, record: r.CallsDispatched) -> None:
        for call in record.calls:
            if call in log.dispatched and call not in log.returned:
                self.broken(Promise.UNKNOWN, f"call {call} is dispatched again", cell)
            log.dispatched[call] = record.attachment

    def _unknown(self, cell: str, log: CellLog, record: r.CallsUnknown) -> None:
        for call in record.calls:
            if log.dispatched.get(call) not in self.ended_attachments:
                self.broken(Promise.UNKNOWN, f"call {call} is said to be unknown", cell)
            log.unknown.add(call)

    def _detached(self, scope: str, log: None, record: r.AttachmentEnded) -> None:
        self.ended_attachments.add(record.attachment)

    def _completed(self, cell: str, log: CellLog, record: r.CellCompleted) -> None:
        self._numbered(cell, log, record.event)
        log.final = record.event
        if record.published:
            if record.event.reason not in (Reason.ENDED, Reason.RAISED):
                self.broken(Promise.WRITES, f"published with reason {record.event.reason}", cell)
            self._published[cell] = record.published

    def _terminated(self, cell: str, log: CellLog, record: r.CellTerminated) -> None:
        self._numbered(cell, log, record.event)
        log.final = record.event

    def _stored(self, scope: str, log: None, record: r.StoredChanged) -> None:
        version = self.versions.get(record.session, 0) + 1
        if record.version != version:
            self.broken(
                Promise.WRITES, f"version {record.version} instead of {version}", record.session
            )
        self.versions[record.session] = version
        self._acts(record.request, f"set {record.version}")
        if record.cell and self._published.pop(record.cell, 0) != version:
            self.broken(Promise.WRITES, "its values appeared without its completion", record.cell)


_CHECKS: dict[type, Callable[[JournalPromises, str, Any, Any], None]] = {
    r.WorkerIssued: JournalPromises._issued,
    r.WorkerSaid: JournalPromises._said,
    r.FrontierReached: JournalPromises._frontier,
    r.GenerationConsumed: JournalPromises._consumed,
    r.YieldMade: JournalPromises._yielded,
    r.EventAcknowledged: JournalPromises._event_acknowledged,
    r.WorkerLost: JournalPromises._lost,
    r.ReplayDiverged: JournalPromises._diverged,
    r.CallFinished: JournalPromises._input,
    r.TimerDue: JournalPromises._input,
    r.CallsReturned: JournalPromises._returned,
    r.CallsDispatched: JournalPromises._dispatched,
    r.CallsUnknown: JournalPromises._unknown,
    r.AttachmentEnded: JournalPromises._detached,
    r.CellCompleted: JournalPromises._completed,
    r.CellTerminated: JournalPromises._terminated,
    r.StoredChanged: JournalPromises._stored,
}
