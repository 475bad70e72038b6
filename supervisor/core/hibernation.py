"""Cells without a worker by choice: an idle one can be run again when something moves it."""

from __future__ import annotations

from typing import Final

from ...protocol.host_answers import Hibernated
from ...protocol.host_requests import Hibernate
from ...protocol.ids import RequestRef
from . import records as r
from .changes import replace
from .effects import KillWorker, Reply
from .facts import Phase
from .fleet import Fleet
from .hosts import Attachment
from .idleness import why_awake
from .law import CellState, Outcome
from .spares import drop_all

ASLEEP_AT_ONCE: Final = 32


def on_hibernate(
    fleet: Fleet, attachment: Attachment, ref: RequestRef, ask: Hibernate, now_ns: int
) -> None:
    """A host wants the cell to give up its worker."""
    state = fleet.cells.get(ask.cell)
    if state is None:
        raise AssertionError("the cell is looked up before")
    why = why_awake(state, fleet.sessions[state.cell.session])
    if not why and not state.waits.dormant and state.cell.phase is not Phase.FINISHED:
        put_to_sleep(fleet, state, now_ns)
    fleet.speak(Reply(ref, Hibernated(why)))


def on_due(fleet: Fleet, name: str, now_ns: int) -> None:
    """The cell gives up its worker if it has been idle for long enough."""
    state = fleet.cells[name]
    if 0 < state.waits.sleep_at_ns <= now_ns and not fleet.draining:
        put_to_sleep(fleet, state, now_ns)


def on_memory_short(fleet: Fleet, now_ns: int) -> None:
    """The machine has little memory left: first what no cell has, then what no cell needs now.

    Those that have been idle for longest are the first, a bounded number of them: whether that was
    enough is seen before there are more.
    """
    if len(fleet.spares):
        drop_all(fleet)
        return
    idle = [state for state in fleet.cells.values() if state.waits.sleep_at_ns]
    idle.sort(key=lambda state: state.waits.sleep_at_ns)
    for state in idle[:ASLEEP_AT_ONCE]:
        put_to_sleep(fleet, state, now_ns)


def put_to_sleep(fleet: Fleet, state: CellState, now_ns: int) -> None:
    """End the worker of a cell that can be without it."""
    incarnation = state.cell.incarnation
    if incarnation is None:
        raise AssertionError("a cell that hears has an incarnation")
    fleet.speak(KillWorker(state.token))
    state = replace(state, waits=state.waits.without_worker())
    lost = r.WorkerLost(incarnation, "it was put to sleep", counts=False)
    fleet.settle(Outcome(state, records=(lost,)), now_ns)
