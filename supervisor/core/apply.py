"""How a record changes a cell: the only way facts change.

Nothing here decides or refuses: a record in the journal is true. The same functions run when a
record is made and when it is read back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import records as r
from .changes import replace
from .facts import Call, CallState, Cell, EventMark, Output, Phase, Queued

# What `apply` raises for a record that cannot follow the ones before it.
IMPOSSIBLE = (LookupError, TypeError, ValueError, AttributeError, AssertionError)


def created(record: r.CellCreated, at_ns: int) -> Cell:
    """A cell's first facts."""
    return Cell(
        id=record.cell,
        session=record.session,
        kind=record.kind,
        stepping=record.stepping,
        name=record.name,
        limits=record.limits,
        created_us=record.created_us,
        created_by=record.request,
        stored_version=record.stored_version,
        tools_of=record.tools_of,
        since_ns=at_ns,
    )


def apply(cell: Cell, record: r.CellRecord, at_ns: int) -> Cell:
    """The cell after this record, written at `at_ns`."""
    cell = _APPLY[type(record)](cell, record, at_ns)
    return cell if cell.limits.wall_seconds is None else _timed(cell, at_ns)


def _timed(cell: Cell, at_ns: int) -> Cell:
    """With the time that it waits for tools counted from the records' own times."""
    if cell.waits_for_tools():
        return cell if cell.tools_since_ns else replace(cell, tools_since_ns=at_ns)
    if not cell.tools_since_ns:
        return cell
    waited_ns = cell.tools_ns + at_ns - cell.tools_since_ns
    return replace(cell, tools_ns=waited_ns, tools_since_ns=0)


def _issued(cell: Cell, record: r.WorkerIssued, at_ns: int) -> Cell:
    return replace(
        cell,
        incarnation=record.incarnation,
        spare=record.spare,
        restarts=cell.restarts + (cell.incarnation is not None),
        have=0,
        replays=cell.phase is not Phase.STARTING,
        gone=False,
        diverged=None,
    )


def _said(cell: Cell, record: r.WorkerSaid, at_ns: int) -> Cell:
    phase = Phase.RUNNING if cell.phase is Phase.STARTING else cell.phase
    cell = replace(cell, have=record.seq, phase=phase, waiting=False)
    written = [step for step in record.steps if isinstance(step, r.ValueWritten)]
    if written:  # together: each alone would copy all the earlier ones
        writes = {**cell.writes, **{step.key: step.size for step in written}}
        cell = replace(cell, writes=writes, writes_made=cell.writes_made + len(written))
    for step in record.steps:
        if not isinstance(step, r.ValueWritten):
            cell = _STEPS[type(step)](cell, step)
    return cell


def _put(cell: Cell, step: r.Put) -> Cell:
    output = replace(cell.output, total=cell.output.total + 1, bytes=cell.output.bytes + step.size)
    return replace(cell, output=output)


def _call_made(cell: Cell, step: r.CallMade) -> Cell:
    calls = dict(cell.calls)
    calls[step.number] = Call(step.number, step.tool, step.size, step.external)
    return replace(
        cell, calls=calls, calls_made=step.number, calls_bytes=cell.calls_bytes + step.size
    )


def _call_dropped(cell: Cell, step: r.CallDropped) -> Cell:
    call = cell.calls.get(step.number)
    if call is None:
        return cell
    if call.state is CallState.DISPATCHED:
        return _with_calls(cell, replace(call, state=CallState.WITHDRAWN))
    return _without_calls(cell, frozenset({step.number}))


def _notice_made(cell: Cell, step: r.NoticeMade) -> Cell:
    number = cell.notices_made + 1
    return replace(cell, notices=(*cell.notices, (number, step.text)), notices_made=number)


def _yield_wished(cell: Cell, step: r.YieldWished) -> Cell:
    output = cell.output
    if cell.pausable or output.observed or output.yield_mark is not None:
        return cell
    return replace(cell, output=replace(output, yield_mark=output.total))


def _wait_begun(cell: Cell, step: r.WaitBegun) -> Cell:
    over = {c.number for c in cell.calls.values() if c.input and c.input <= step.taken}
    cell = _without_calls(cell, frozenset(over)) if over else cell
    return replace(
        cell,
        waiting=True,
        losses=() if step.taken > cell.taken else cell.losses,
        taken=step.taken,
        queued=tuple(q for q in cell.queued if q.number > step.taken),
        next_timer_ns=step.next_timer_ns,
        own_work=step.own_work,
    )


def _own_work(cell: Cell, step: r.OwnWorkBegun) -> Cell:
    where = f" (line {step.line})" if step.line else ""
    return replace(cell, flagged=cell.flagged or f"{step.why}{where}")


_STEPS: dict[type, Callable[[Cell, Any], Cell]] = {
    r.Put: _put,
    r.CallMade: _call_made,
    r.CallDropped: _call_dropped,
    r.NoticeMade: _notice_made,
    r.YieldWished: _yield_wished,
    r.WaitBegun: _wait_begun,
    r.OwnWorkBegun: _own_work,
}


def _frontier(cell: Cell, record: r.FrontierReached, at_ns: int) -> Cell:
    event = record.event
    return replace(
        cell,
        phase=Phase.PAUSED,
        since_ns=at_ns,
        generation=event.generation,
        frontier=event,
        calls_shown=cell.calls_made,
        output=_numbered(cell.output, event, start=cell.output.start),
    )


def _consumed(cell: Cell, record: r.GenerationConsumed, at_ns: int) -> Cell:
    output = cell.output
    if output.event is not None and record.acknowledged == output.event.number:
        output = replace(output, start=output.event.stop)
    # An event that nobody acknowledged is skipped: its output comes with the next one.
    return replace(
        cell,
        phase=Phase.RUNNING,
        since_ns=at_ns,
        consumed=record.generation,
        consumed_by=record.request,
        upto=record.upto,
        waiting=False,
        output=replace(output, event=None),
    )


def _yielded(cell: Cell, record: r.YieldMade, at_ns: int) -> Cell:
    output = _numbered(cell.output, record.event, start=record.event.stop)
    return replace(cell, output=replace(output, observed=True, yield_mark=None))


def _numbered(output: Output, event: EventMark, *, start: int) -> Output:
    return replace(output, event=event, events=event.number, start=start)


def _acknowledged(cell: Cell, record: r.EventAcknowledged, at_ns: int) -> Cell:
    if cell.final is not None and cell.final.number == record.number:
        return replace(cell, final_seen=True)
    event = cell.output.event
    if event is None or event.number != record.number:
        return cell
    return replace(cell, output=replace(cell.output, event=None, start=event.stop))


def _observed(cell: Cell, record: r.FirstObserved, at_ns: int) -> Cell:
    return replace(cell, output=replace(cell.output, observed=True, yield_mark=None))


def _dispatched(cell: Cell, record: r.CallsDispatched, at_ns: int) -> Cell:
    changed = [
        replace(
            cell.calls[number],
            state=CallState.DISPATCHED,
            attachment=record.attachment,
            attempt=cell.calls[number].attempt + 1,
        )
        for number in record.calls
        if number in cell.calls
    ]
    return _with_calls(cell, *changed)


def _finished_call(cell: Cell, record: r.CallFinished, at_ns: int) -> Cell:
    if not record.input:
        return _without_calls(cell, frozenset({record.call}))
    call = replace(cell.calls[record.call], state=CallState.FINISHED, input=record.input)
    cell = _with_calls(cell, call)
    queued = (*cell.queued, Queued(record.input, record.call, 0))
    return replace(cell, inputs=record.input, queued=queued)


def _unknown(cell: Cell, record: r.CallsUnknown, at_ns: int) -> Cell:
    return _in_state(cell, record.calls, CallState.UNKNOWN)


def _returned(cell: Cell, record: r.CallsReturned, at_ns: int) -> Cell:
    return _in_state(cell, record.calls, CallState.WAITING)


def _timer(cell: Cell, record: r.TimerDue, at_ns: int) -> Cell:
    queued = (*cell.queued, Queued(record.input, 0, record.due_ns))
    return replace(cell, inputs=record.input, queued=queued)


def _delivered(cell: Cell, record: r.NoticesDelivered, at_ns: int) -> Cell:
    if not cell.notices:
        return cell
    gone = max(0, record.upto + 1 - cell.notices[0][0])  # their numbers have no gaps
    return replace(cell, notices=cell.notices[gone:])


def _cancelled(cell: Cell, record: r.CallsCancelled, at_ns: int) -> Cell:
    return _without_calls(cell, frozenset(record.calls))


def _lost(cell: Cell, record: r.WorkerLost, at_ns: int) -> Cell:
    losses = (*cell.losses, record.why) if record.counts else cell.losses
    return replace(cell, gone=True, replays=False, losses=losses)


def _greeted(cell: Cell, record: r.WorkerGreeted, at_ns: int) -> Cell:
    return replace(cell, python=record.python)


def _restored(cell: Cell, record: r.CellRestored, at_ns: int) -> Cell:
    return replace(cell, have=record.seq, replays=False)


def _diverged(cell: Cell, record: r.ReplayDiverged, at_ns: int) -> Cell:
    return replace(cell, gone=True, replays=False, diverged=record.divergence)


def _completed(cell: Cell, record: r.CellCompleted, at_ns: int) -> Cell:
    return _ended(cell, record.event, at_ns)


def _terminated(cell: Cell, record: r.CellTerminated, at_ns: int) -> Cell:
    return _ended(cell, record.event, at_ns)


def _ended(cell: Cell, event: EventMark, at_ns: int) -> Cell:
    withdrawn = {
        call.number: replace(call, state=CallState.WITHDRAWN)
        for call in cell.calls.values()
        if call.state in (CallState.DISPATCHED, CallState.WITHDRAWN)
    }
    output = cell.output
    if output.event is not None and output.event.kind is event.kind.PENDING:
        output = replace(output, event=None)  # skipped: the final event carries its output
    return replace(
        cell,
        phase=Phase.FINISHED,
        since_ns=at_ns,
        calls=withdrawn,
        queued=(),
        waiting=False,
        next_timer_ns=None,
        own_work=(),
        output=replace(output, events=event.number),
        final=event,
    )


def _with_calls(cell: Cell, *changed: Call) -> Cell:
    return replace(cell, calls={**cell.calls, **{call.number: call for call in changed}})


def _without_calls(cell: Cell, numbers: frozenset[int]) -> Cell:
    gone = sum(cell.calls[number].size for number in numbers if number in cell.calls)
    calls = {number: call for number, call in cell.calls.items() if number not in numbers}
    return replace(cell, calls=calls, calls_bytes=cell.calls_bytes - gone)


def _in_state(cell: Cell, numbers: tuple[int, ...], state: CallState) -> Cell:
    found = [cell.calls[number] for number in numbers if number in cell.calls]
    return _with_calls(cell, *(replace(call, state=state) for call in found))


_APPLY: dict[type, Callable[[Cell, Any, int], Cell]] = {
    r.WorkerIssued: _issued,
    r.WorkerSaid: _said,
    r.FrontierReached: _frontier,
    r.GenerationConsumed: _consumed,
    r.YieldMade: _yielded,
    r.EventAcknowledged: _acknowledged,
    r.FirstObserved: _observed,
    r.CallsDispatched: _dispatched,
    r.CallFinished: _finished_call,
    r.CallsUnknown: _unknown,
    r.CallsReturned: _returned,
    r.TimerDue: _timer,
    r.NoticesDelivered: _delivered,
    r.CallsCancelled: _cancelled,
    r.WorkerLost: _lost,
    r.WorkerGreeted: _greeted,
    r.CellRestored: _restored,
    r.ReplayDiverged: _diverged,
    r.CellCompleted: _completed,
    r.CellTerminated: _terminated,
}
