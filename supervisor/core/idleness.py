"""Whether a cell needs the worker that it has, and when it gives it up."""

from __future__ import annotations

from .facts import Phase
from .hosts import Session
from .law import CellState


def why_awake(state: CellState, session: Session) -> str:
    """Why the cell needs the worker that it has; empty if it can be without."""
    cell, waits = state.cell, state.waits
    if cell.phase is Phase.FINISHED or (waits.dormant and not state.wants_worker):
        return ""
    if cell.flagged:
        return f"it cannot be run again: {cell.flagged}"
    if not session.replay:
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


def rested(
    before: CellState | None, state: CellState, session: Session, now_ns: int, rest_ns: int
) -> CellState:
    """The state with the moment at which it gives up its worker; whatever is recorded defers it.

    One whose timer comes before that is not idle: it would be run again for it.
    """
    was_ns = state.waits.sleep_at_ns
    waits = state.waits
    if not was_ns and (waits.observer is not None or waits.resuming is not None):
        return state  # as nearly always: this is asked with every step
    ended = state.phase is Phase.FINISHED
    if ended or state.waits.dormant or not state.hears or why_awake(state, session):
        sleep_ns = 0
    elif was_ns and before is not None and before.cell is state.cell:
        sleep_ns = was_ns
    else:
        sleep_ns = now_ns + rest_ns
    timer_ns = None if state.phase is Phase.PAUSED else state.cell.next_timer_ns
    if timer_ns is not None and timer_ns <= sleep_ns:
        sleep_ns = 0
    return state if sleep_ns == was_ns else state.waiting(sleep_at_ns=sleep_ns)
