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
from tidemark.simulation.promise import Promise, PromiseBroken
from tidemark.simulation.promises import JournalPromises
from tidemark.supervisor.core import records as r

from .host import Reply, SmallHost
from .worker import text_of

EVENTS = (r.FrontierReached, r.CellCompleted, r.CellTerminated)
EXPECTED = {"busy_observer", "cell_closed", "invalid_generation", "worker_lost"}


def broken(promise: Promise, detail: object) -> NoReturn:
    """Say so, and stop."""
    raise PromiseBroken(promise, str(detail))


class _Believed:
    """A world for the journal's own checkers, where workers are looked at elsewhere."""

    def note(self, *_: object) -> None:
        """No story is told here."""

    def worker_of(self, cell: str, incarnation: Incarnation | None) -> Any:
        return SimpleNamespace(steps=SimpleNamespace(left=1 << 30), is_dead=True, is_lost=True)


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
            broken(Promise.CONFIRMED, f"{record.generation}; no worker has left it")
        if isinstance(record, r.WorkerLost) and record.incarnation in living:
            broken(Promise.HONEST, record.why)


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
        broken(Promise.TOLD, message)
    elif isinstance(message, a.Answered):
        ref = RequestRef(attachment, message.number)
        _check_answer(ref, unpack_answer(message.content), records)


def _check_answer(ref: RequestRef, answer: a.Answer, records: list[r.Record]) -> None:
    by = {each.generation: each.request for each in records if type(each) is r.GenerationConsumed}
    if isinstance(answer, a.ResumedGiven) and by.get(answer.generation) != ref:
        broken(Promise.TOLD, f"{ref} is told {answer}; consumed: {by}")
    if isinstance(answer, a.AlreadyGiven):
        if answer.generation not in by or by[answer.generation] == ref:
            broken(Promise.TOLD, f"{ref} is told {answer}; consumed: {by}")
        if answer.latest < max(by) or answer.generation > answer.latest:
            broken(Promise.TRUE_STATE, f"{answer}; consumed: {by}")
    if isinstance(answer, a.CellMade) and not _has(records, r.CellCreated):
        broken(Promise.TOLD, answer)
    if isinstance(answer, a.EventGiven):
        _check_event(answer.event, records)


def _check_event(event: PackedEvent, records: list[r.Record]) -> None:
    marks = [each.event for each in records if isinstance(each, EVENTS)]
    mark = next((each for each in marks if each.number == event.number), None)
    if mark is None:
        broken(Promise.TOLD, event)
    same = (mark.kind, mark.generation) == (event.kind, event.generation)
    calls = [call.number for call in event.calls] == [call.number for call in mark.calls]
    if not (same and calls):
        broken(Promise.SAME, f"{mark} became {event}")
    if [item.index for item in event.output] != list(range(mark.start, mark.stop)):
        broken(Promise.SAME, f"{mark} became {event}")
    for item in event.output:
        if item.content != text_of(item.index):
            broken(Promise.OUTPUT, f"{item} instead of {text_of(item.index)!r}")


def _check_refusal(message: a.Refused, records: list[r.Record]) -> None:
    error = error_of(message)
    if error.code == "replay_diverged":
        broken(Promise.SAME_AGAIN, message)
    if error.code not in EXPECTED:
        broken(Promise.REFUSED, message)
    if error.code == "invalid_generation":
        asked = getattr(error, "requested", 0)
        if any(
            isinstance(each, r.FrontierReached) and each.event.generation >= asked
            for each in records
        ):
            broken(Promise.REFUSED, message)
    needed = {"cell_closed": (r.CellCompleted, r.CellTerminated), "worker_lost": (r.WorkerLost,)}
    if error.code in needed and not _has(records, needed[error.code]):
        broken(Promise.REFUSED, message)


def _has(records: list[r.Record], kind: Any) -> bool:
    return any(isinstance(each, kind) for each in records)


def check_to_worker(message: w.ToWorker, entries: list[r.Entry]) -> None:
    """Frontiers, inputs and ends that a worker is told of are in the journal."""
    records = [entry.record for entry in entries]
    if isinstance(message, w.Continue):
        reached = {each.event.generation for each in records if type(each) is r.FrontierReached}
        if message.generation not in reached:
            broken(Promise.BELIEVABLE, message)
    if isinstance(message, (w.Continue, w.Deliver)):
        inputs = {each.input: each.call for each in records if type(each) is r.CallFinished}
        if any(inputs.get(each.number) != each.call for each in message.inputs):
            broken(Promise.BELIEVABLE, f"{message}; inputs: {inputs}")
    if isinstance(message, w.Bye) and not _has(records, r.CellCompleted):
        broken(Promise.BELIEVABLE, message)


# -- what hosts see -------------------------------------------------------------------------------


def check_reply(host: SmallHost, reply: Reply) -> None:
    """An answer against what this host, and everybody, had been told when it was asked for."""
    answer, ask = reply.answer, reply.asked.ask
    if isinstance(answer, a.ResumedGiven):
        named = ask.generation if isinstance(ask, h.Resume) else None
        if answer.generation != named:
            broken(Promise.NAMED, reply)
    if isinstance(answer, a.EventGiven):
        event = answer.event
        least = reply.asked.resumed
        if isinstance(ask, h.Step):
            least = max(least, ask.generation)
        if event.kind is EventKind.PENDING and event.generation <= least:
            broken(Promise.KEPT, f"{host.name} sees {event.generation} after {least} was resumed")
        if event.number < reply.asked.last:
            broken(Promise.BACK, f"{host.name} sees {event.number} after {reply.asked.last}")
        if event.number > reply.asked.last:
            again = [each.index for each in event.output if each.index < reply.asked.stop]
            if again:
                broken(Promise.OUTPUT, f"{host.name} gets {again} again with {event.number}")


def check_received(received: int, event: PackedEvent) -> None:
    """With the final event every output item has been had by somebody. `received`: as bits."""
    if event.kind in (EventKind.COMPLETED, EventKind.TERMINATED) and event.output:
        stop = event.output[-1].index + 1
        missing = [place for place in range(stop) if not received >> place & 1]
        if missing:
            broken(Promise.OUTPUT, f"at the end nobody ever got {missing}")


def check_runs(host: SmallHost) -> None:
    """No call is run twice because of us."""
    calls = [call for call, _ in host.runs]
    if len(set(calls)) != len(calls):
        broken(Promise.CALLS, f"{host.name} ran {host.runs}")
