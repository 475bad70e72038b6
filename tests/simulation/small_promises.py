"""The promises of the small world: at every commit, at every message, at every answer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NoReturn

from tidemark.client._core import error_of
from tidemark.client._requests import unpack_answer
from tidemark.protocol import host_answers as a
from tidemark.protocol import host_requests as h
from tidemark.protocol import worker_messages as w
from tidemark.protocol.ids import Incarnation, RequestRef
from tidemark.protocol.packed import EventKind, PackedEvent
from tidemark.supervisor.core import records as r

from . import host_promises as words
from .promises import CONFIRMED, HONEST, JournalPromises, PromiseBroken
from .small_host import Reply, SmallHost
from .small_worker import text_of

EVENTS = (r.FrontierReached, r.CellCompleted, r.CellTerminated)
EXPECTED = {"busy_observer", "cell_closed", "invalid_generation", "worker_lost"}
REFUSED = "A refusal is true when it leaves the supervisor"
AGAIN = "A cell that does the same again is never said to do something else"
GIVEN = "A worker is given nothing that is not in the journal"


def broken(promise: str, detail: object) -> NoReturn:
    """Say so, and stop."""
    raise PromiseBroken(f"{promise}: {detail}")


class _Believed:
    """A world for the journal's own checkers, where workers are looked at elsewhere."""

    def note(self, *_: object) -> None:
        """No story is told here."""

    def worker_of(self, cell: str, incarnation: Incarnation | None) -> Any:
        return SimpleNamespace(steps=SimpleNamespace(left=1 << 30), is_dead=True)


def check_journal(batches: list[tuple[r.Entry, ...]]) -> None:
    """Every promise that can be seen in the journal alone, from its beginning."""
    promises = JournalPromises(_Believed())  # type: ignore[arg-type]
    for batch in batches:
        promises.committed(0, list(enumerate(batch)))


def check_commit(batch: tuple[r.Entry, ...], left: int, living: set[Incarnation]) -> None:
    """What is committed must have happened: `left` is the last generation a worker has left."""
    for entry in batch:
        record = entry.record
        if isinstance(record, r.GenerationConsumed) and record.generation > left:
            broken(CONFIRMED, f"{record.generation}; no worker has left it")
        if isinstance(record, r.ReplayDiverged):
            broken(AGAIN, record.divergence)
        if isinstance(record, r.WorkerLost) and record.incarnation in living:
            broken(HONEST, record.why)


# -- what leaves the supervisor -------------------------------------------------------------------


def check_to_host(attachment: int, message: a.ToHost, entries: list[r.Entry]) -> None:
    """What a host is told is in the journal when it is told."""
    records = [entry.record for entry in entries]
    if isinstance(message, a.Refused):
        _check_refusal(message, records)
    elif isinstance(message, a.CallOffered):
        for record in records:
            if isinstance(record, r.CallsDispatched) and message.call.number in record.calls:
                return
        broken(words.TOLD, message)
    elif isinstance(message, a.Answered):
        ref = RequestRef(attachment, message.number)
        _check_answer(ref, unpack_answer(message.content), records)


def _check_answer(ref: RequestRef, answer: a.Answer, records: list[r.Record]) -> None:
    by = {each.generation: each.request for each in records if type(each) is r.GenerationConsumed}
    if isinstance(answer, a.ResumedGiven) and by.get(answer.generation) != ref:
        broken(words.TOLD, f"{ref} is told {answer}; consumed: {by}")
    if isinstance(answer, a.AlreadyGiven):
        if answer.generation not in by or by[answer.generation] == ref:
            broken(words.TOLD, f"{ref} is told {answer}; consumed: {by}")
        if answer.latest < max(by) or answer.generation > answer.latest:
            broken("AlreadyRunning tells the truth", f"{answer}; consumed: {by}")
    if isinstance(answer, a.CellMade) and not _has(records, r.CellCreated):
        broken(words.TOLD, answer)
    if isinstance(answer, a.EventGiven):
        _check_event(answer.event, records)


def _check_event(event: PackedEvent, records: list[r.Record]) -> None:
    marks = [each.event for each in records if isinstance(each, EVENTS)]
    mark = next((each for each in marks if each.number == event.number), None)
    if mark is None:
        broken(words.TOLD, event)
    same = (mark.kind, mark.generation) == (event.kind, event.generation)
    calls = [call.number for call in event.calls] == [call.number for call in mark.calls]
    if not (same and calls):
        broken(words.SAME, f"{mark} became {event}")
    if [item.index for item in event.output] != list(range(mark.start, mark.stop)):
        broken(words.SAME, f"{mark} became {event}")
    for item in event.output:
        if item.content != text_of(item.index):
            broken(words.OUTPUT, f"{item} instead of {text_of(item.index)!r}")


def _check_refusal(message: a.Refused, records: list[r.Record]) -> None:
    error = error_of(message)
    if error.code not in EXPECTED:
        broken(REFUSED, message)
    if error.code == "invalid_generation":
        asked = getattr(error, "requested", 0)
        if any(
            isinstance(each, r.FrontierReached) and each.event.generation >= asked
            for each in records
        ):
            broken(REFUSED, message)
    needed = {"cell_closed": (r.CellCompleted, r.CellTerminated), "worker_lost": (r.WorkerLost,)}
    if error.code in needed and not _has(records, needed[error.code]):
        broken(REFUSED, message)


def _has(records: list[r.Record], kind: Any) -> bool:
    return any(isinstance(each, kind) for each in records)


def check_to_worker(message: w.ToWorker, entries: list[r.Entry]) -> None:
    """Frontiers, inputs and ends that a worker is told of are in the journal."""
    records = [entry.record for entry in entries]
    if isinstance(message, w.Continue):
        reached = {each.event.generation for each in records if type(each) is r.FrontierReached}
        if message.generation not in reached:
            broken(GIVEN, message)
    if isinstance(message, (w.Continue, w.Deliver)):
        inputs = {each.input: each.call for each in records if type(each) is r.CallFinished}
        if any(inputs.get(each.number) != each.call for each in message.inputs):
            broken(GIVEN, f"{message}; inputs: {inputs}")
    if isinstance(message, w.Bye) and not _has(records, r.CellCompleted):
        broken(GIVEN, message)


# -- what hosts see -------------------------------------------------------------------------------


def check_reply(host: SmallHost, reply: Reply) -> None:
    """An answer against what this host, and everybody, had been told when it was asked for."""
    answer, ask = reply.answer, reply.asked.ask
    if isinstance(answer, a.ResumedGiven):
        named = ask.generation if isinstance(ask, h.Resume) else None
        if answer.generation != named:
            broken("A resume leaves the generation that it names", reply)
    if isinstance(answer, a.EventGiven):
        event = answer.event
        least = reply.asked.resumed
        if isinstance(ask, h.Step):
            least = max(least, ask.generation)
        if event.kind is EventKind.PENDING and event.generation <= least:
            broken(words.KEPT, f"{host.name} sees {event.generation} after {least} was resumed")
        if event.number < reply.asked.last:
            broken(words.BACK, f"{host.name} sees {event.number} after {reply.asked.last}")
        if event.number > reply.asked.last:
            again = [each.index for each in event.output if each.index < reply.asked.stop]
            if again:
                broken(words.OUTPUT, f"{host.name} gets {again} again with {event.number}")


def check_received(received: int, event: PackedEvent) -> None:
    """With the final event every output item has been had by somebody. `received`: as bits."""
    if event.kind in (EventKind.COMPLETED, EventKind.TERMINATED) and event.output:
        stop = event.output[-1].index + 1
        missing = [place for place in range(stop) if not received >> place & 1]
        if missing:
            broken(words.OUTPUT, f"at the end nobody ever got {missing}")


def check_runs(host: SmallHost) -> None:
    """No call is run twice because of us."""
    calls = [call for call, _ in host.runs]
    if len(set(calls)) != len(calls):
        broken(words.CALLS, f"{host.name} ran {host.runs}")
