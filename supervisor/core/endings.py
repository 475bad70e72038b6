"""How cells end, by their own completion, by a limit or by the loss of their worker."""

from __future__ import annotations

from ...protocol.ids import NO_REQUEST
from ...protocol.limits import exceeded_text
from ...protocol.packed import EventKind, Reason
from ...protocol.worker_messages import Finished
from . import records as r
from .announce import end_if_done
from .changes import replace
from .deadlines import complete
from .effects import KillWorker
from .facts import Cell, EventMark
from .fleet import Fleet
from .holding import held_with, written
from .law import CellState, Outcome
from .stream_steps import Over


def finish(fleet: Fleet, state: CellState, finished: Finished, now_ns: int) -> None:
    """The worker's own completion: its writes become visible with it, or not at all."""
    state = _remembered_yield(fleet, state, now_ns)
    cell = state.cell
    published = 0
    if finished.reason in (Reason.ENDED, Reason.RAISED) and cell.writes:
        session = fleet.sessions[cell.session]
        published = session.stored_version + 1
    outcome = complete(state, finished.reason, finished.error, finished.value, published)
    fleet.settle(outcome, now_ns)
    if published:
        publish(fleet, cell, published)
    drop_backlog(fleet, cell)


def publish(fleet: Fleet, cell: Cell, version: int) -> None:
    """The cell's writes are the session's next version of its stored values."""
    sizes = tuple(cell.writes.items())
    record = r.StoredChanged(cell.session, version, sizes, cell.id, NO_REQUEST, b"")
    fleet.append(r.session_scope(cell.session), record)
    change_stored(fleet, record)


def change_stored(fleet: Fleet, record: r.StoredChanged) -> None:
    """A new version of the stored values becomes a fact."""
    session = fleet.sessions[record.session]
    holding = held_with(fleet, session, record.sizes)
    for key, size in record.sizes:
        if size is None:
            fleet.stored.pop((session.name, key))
        else:
            fleet.stored[(session.name, key)] = size
    fleet.sessions[session.name] = replace(
        session,
        stored_version=record.version,
        stored_bytes=holding.total,
        stored_keys=holding.keys,
        stored_names=holding.names,
    )


def stored_over(fleet: Fleet, state: CellState) -> Over | None:
    """Whether the session could not hold its values with what this cell has written."""
    writes = state.cell.writes.items()
    if not writes:
        return None
    session = fleet.sessions[state.cell.session]
    return written(writes).over() or held_with(fleet, session, writes).over()


def end_by_limit(fleet: Fleet, state: CellState, over: Over, now_ns: int) -> None:
    """The cell has exceeded a limit of its own; the others do not notice."""
    if state.token:
        fleet.speak(KillWorker(state.token))
    _end(fleet, state, Reason.LIMIT, exceeded_text(over.limit, over.value, over.used), now_ns)


def lose(fleet: Fleet, state: CellState, why: str, now_ns: int) -> None:
    """The worker is gone and the cell is not run again: that ends it."""
    if state.cell.incarnation is not None:
        lost = r.WorkerLost(state.cell.incarnation, why, counts=False)
        state = fleet.settle(Outcome(state, records=(lost,)), now_ns)
    _end(fleet, state, Reason.LOST, why, now_ns)


def park(fleet: Fleet, state: CellState, now_ns: int) -> None:
    """The cell ends every worker that it is given: no more of them, and here is the evidence."""
    losses = state.cell.losses
    evidence = "".join(f"\n{number}. {why}" for number, why in enumerate(losses, 1))
    text = f"the cell has lost {len(losses)} workers without taking an input between:{evidence}"
    _end(fleet, state, Reason.POISON, text, now_ns)


def worker_ended(fleet: Fleet, state: CellState, now_ns: int) -> None:
    """The worker of a finished cell is gone, which may have been waited for."""
    state = state.waiting(forked=False, pid=0, kill_at_ns=0)
    ending = state.waits.ending
    if ending is not None:
        state = state.waiting(ending=replace(ending, worker_lives=False))
    state, effects = end_if_done(state, now_ns)
    fleet.speak(*effects)
    fleet.tokens.pop(state.token)
    fleet.put(state, now_ns)


def _remembered_yield(fleet: Fleet, state: CellState, now_ns: int) -> CellState:
    """The first yield is for the first who observes, also when the cell has completed by then."""
    output = state.cell.output
    if output.observed or output.yield_mark is None or output.yield_mark <= output.start:
        return state
    event = EventMark(EventKind.YIELDED, output.events + 1, output.start, output.yield_mark)
    return fleet.settle(Outcome(state, records=(r.YieldMade(event),)), now_ns)


def _end(fleet: Fleet, state: CellState, reason: Reason, text: str, now_ns: int) -> None:
    state = _remembered_yield(fleet, state, now_ns)
    fleet.settle(complete(state, reason, text, None, 0), now_ns)
    drop_backlog(fleet, state.cell)


def drop_backlog(fleet: Fleet, cell: Cell) -> None:
    """No call of this cell waits to be dispatched any more."""
    for number in cell.calls:
        fleet.backlog(cell.session).pop((cell.id, number))
