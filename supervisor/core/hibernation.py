"""Cells without a worker by choice: an idle one can be run again when something moves it."""

from __future__ import annotations

from ...protocol.host_answers import Hibernated
from ...protocol.host_requests import Hibernate
from ...protocol.ids import RequestRef
from . import records as r
from .changes import replace
from .effects import KillWorker, Reply
from .facts import Phase
from .fleet import Fleet
from .hosts import Attachment
from .law import CellState, Outcome


def on_hibernate(
    fleet: Fleet, attachment: Attachment, ref: RequestRef, ask: Hibernate, now_ns: int
) -> None:
    """A host wants the cell to give up its worker."""
    state = fleet.cells.get(ask.cell)
    if state is None:
        raise AssertionError("the cell is looked up before")
    why = why_awake(fleet, state)
    if not why and not state.waits.dormant and state.cell.phase is not Phase.FINISHED:
        put_to_sleep(fleet, state, now_ns)
    fleet.speak(Reply(ref, Hibernated(why)))


def why_awake(fleet: Fleet, state: CellState) -> str:
    """Why the cell needs the worker that it has; empty if it can be without."""
    cell, waits = state.cell, state.waits
    if cell.phase is Phase.FINISHED or (waits.dormant and not state.wants_worker):
        return ""
    if cell.flagged:
        return f"it cannot be run again: {cell.flagged}"
    if not fleet.replays(cell):
        return "its session was opened without replay"
    if state.phase is Phase.CONTINUING:
        return "a Continue is under way"
    if not state.hears or waits.adopting_at_ns:
        return "its worker is starting, or being found again"
    if cell.own_work:
        return f"it has work of its own: {cell.own_work[0]}"
    # Without an observer nothing would wake it as soon as it sleeps.
    if waits.observer is not None:
        return "somebody observes it"
    return "it is running" if state.wants_worker else ""


def put_to_sleep(fleet: Fleet, state: CellState, now_ns: int) -> None:
    """End the worker of a cell that can be without it."""
    incarnation = state.cell.incarnation
    if incarnation is None:
        raise AssertionError("a cell that hears has an incarnation")
    fleet.speak(KillWorker(state.token))
    state = replace(state, waits=state.waits.without_worker())
    lost = r.WorkerLost(incarnation, "it was put to sleep", counts=False)
    fleet.settle(Outcome(state, records=(lost,)), now_ns)
