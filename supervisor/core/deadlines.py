"""What time does to a cell: when something is due, and the step that is taken then."""

from __future__ import annotations

from ...protocol import limits
from ...protocol.ids import NO_REQUEST
from ...protocol.packed import EventKind, InputKind, PackedInput, Reason
from . import records as r
from .announce import end_if_done
from .ask_steps import CONTINUE_REPEAT_NS_MAX, continue_of, yield_to_observer
from .changes import replace
from .effects import GiveAdopt, KillWorker
from .facts import Cell, EventMark, Phase
from .law import LEGAL, CellState, Outcome, Told
from .stream_steps import Over, Packers

ADOPT_REPEAT_NS = 5_000_000
ADOPT_REPEAT_NS_SLOW = 50_000_000
ADOPT_FAST_NS = 1_000_000_000


def timer_due_ns(state: CellState) -> int | None:
    """When the cell's next timer has to become an input; None: no timer, or it already is one."""
    cell = state.cell
    due = cell.next_timer_ns
    if due is None or Told.TIMER_DUE not in LEGAL[state.phase]:
        return None
    if any(queued.due_ns >= due for queued in cell.queued):
        return None
    return due


def time_limit_ns(cell: Cell) -> int | None:
    """When one of the cell's limits of time ends it, if nothing else happens."""
    if cell.phase is Phase.FINISHED:
        return None
    wall, lifetime = cell.limits.wall_seconds, cell.limits.lifetime_seconds
    created_ns = cell.created_us * 1_000
    moments = [] if lifetime is None else [created_ns + int(lifetime * 1e9)]
    if wall is not None and not cell.tools_since_ns:
        moments.append(created_ns + cell.tools_ns + int(wall * 1e9))
    return min(moments, default=None)


def deadline_of(state: CellState) -> int | None:
    """The first moment at which `due_step` has something to do."""
    waits, cell = state.waits, state.cell
    moments = [waits.kill_at_ns, waits.adopting_at_ns, waits.retry_at_ns, waits.greet_by_ns]
    moments.append(waits.sleep_at_ns)
    if cell.next_timer_ns is not None:
        moments.append(timer_due_ns(state) or 0)
    if cell.limits.wall_seconds is not None or cell.limits.lifetime_seconds is not None:
        moments.append(time_limit_ns(cell) or 0)
    if waits.observer is not None:
        moments.append(waits.observer.deadline_ns or 0)
    if waits.resuming is not None and state.phase is Phase.CONTINUING and state.hears:
        moments.append(waits.resuming.repeat_at_ns)
    if waits.ending is not None:
        if cell.calls and waits.ending.calls_until_ns:
            moments.append(waits.ending.calls_until_ns)
        if waits.ending.worker_lives:
            moments.append(waits.ending.worker_until_ns)
    return min([moment for moment in moments if moment], default=None)


def due_step(state: CellState, packers: Packers, now_ns: int) -> Outcome | None:
    """The next step that is due by now; None when nothing is. Call again until None."""
    waits, cell = state.waits, state.cell
    timer = timer_due_ns(state)
    if timer is not None and timer <= now_ns:
        return timer_input(state, timer, packers, now_ns)
    observer = waits.observer
    if observer is not None and observer.deadline_ns is not None and observer.deadline_ns <= now_ns:
        if state.phase is not Phase.FINISHED:
            return yield_to_observer(state, cell.output.total)
        return Outcome(state.waiting(observer=replace(observer, deadline_ns=None)))
    if waits.adopting_at_ns and waits.adopting_at_ns <= now_ns:
        return adopt(state, now_ns)
    resuming = waits.resuming if state.hears and state.phase is Phase.CONTINUING else None
    if resuming is not None and resuming.repeat_at_ns <= now_ns:
        gap = min(resuming.repeat_ns * 2, CONTINUE_REPEAT_NS_MAX)
        again = replace(resuming, repeat_ns=gap, repeat_at_ns=now_ns + gap)
        return Outcome(state.waiting(resuming=again), effects=(continue_of(state, again),))
    return _due_end(state, now_ns)


def _due_end(state: CellState, now_ns: int) -> Outcome | None:
    waits = state.waits
    if waits.kill_at_ns and waits.kill_at_ns <= now_ns:
        return Outcome(state.waiting(kill_at_ns=0), effects=(KillWorker(state.token),))
    if waits.ending is not None:
        told, effects = end_if_done(state, now_ns)
        if told is not state:
            return Outcome(told, effects=effects)
        if state.cell.calls and 0 < waits.ending.calls_until_ns <= now_ns:
            late = replace(waits.ending, calls_until_ns=0)
            return Outcome(state.waiting(ending=late))
    return None


def over_time(state: CellState, now_ns: int) -> Over | None:
    """The limit of time that has passed, if one has."""
    cell = state.cell
    deadline = time_limit_ns(cell)
    if deadline is None or now_ns < deadline:
        return None
    age_ns = now_ns - cell.created_us * 1_000
    lifetime = cell.limits.lifetime_seconds
    if lifetime is not None and age_ns >= int(lifetime * 1e9):
        return Over("lifetime_seconds", lifetime, round(age_ns / 1e9, 3))
    wall = cell.limits.wall_seconds
    assert wall is not None  # the deadline is one of the two
    return Over("wall_seconds", wall, round((age_ns - cell.tools_ns) / 1e9, 3))


def timer_input(state: CellState, due_ns: int, packers: Packers, now_ns: int) -> Outcome:
    """The timer becomes the cell's next input."""
    number = state.cell.inputs + 1
    packed = PackedInput(number, InputKind.TIMER, 0, b"", "", False, due_ns, now_ns)
    content = r.Content(state.cell.id, r.INPUT, number, packers.input(packed))
    return Outcome(state, records=(r.TimerDue(number, due_ns),), contents=(content,))


def adopt(state: CellState, now_ns: int) -> Outcome:
    """Ask a worker for what we do not have; again and again until it says Hello."""
    fast = now_ns - state.waits.adopting_since_ns < ADOPT_FAST_NS
    at_ns = now_ns + (ADOPT_REPEAT_NS if fast else ADOPT_REPEAT_NS_SLOW)
    ask = GiveAdopt(state.token, state.have)
    return Outcome(state.waiting(adopting_at_ns=at_ns), effects=(ask,))


def complete(
    state: CellState, reason: Reason, error: str | None, value: bytes | None, published: int
) -> Outcome:
    """The cell's end is decided: completed, for this reason."""
    output = state.cell.output
    event = EventMark(
        kind=EventKind.COMPLETED,
        number=output.events + 1,
        start=output.start,
        stop=output.total,
        reason=reason,
        error=error,
        value=value,
    )
    return Outcome(state, records=(r.CellCompleted(event, published),), answers=NO_REQUEST)


def too_many_inputs(state: CellState) -> Over | None:
    """The bound on a cell's inputs, when the next one would pass it."""
    if state.cell.inputs < limits.INPUTS_MAX:
        return None
    return Over("inputs", limits.INPUTS_MAX, state.cell.inputs + 1)
