"""How cells come to their workers: asked of the zygote, a few at a time."""

from __future__ import annotations

from ...protocol.ids import worker_token
from . import events as e
from . import records as r
from .changes import replace
from .effects import ForkWorker, KillWorker
from .endings import worker_ended
from .facts import Phase
from .fleet import FORKS_MAX, REPLAY_PLACE_NS, REPLAYS_MAX, Fleet
from .law import CellState, Outcome, Told, Waits, legal
from .levels import level_of_cell
from .shelf import Shelf

RETRY_NS = 500_000_000
GREET_NS = 20_000_000_000  # a hundred times what a crowded machine needs


def queue_worker(fleet: Fleet, state: CellState, now_ns: int) -> None:
    """This new cell needs a worker; it gets one when there is room."""
    fleet.fork_queue[state.cell.id] = None
    fork_some(fleet, now_ns)


def fork_some(fleet: Fleet, now_ns: int) -> None:
    """Ask for as many workers as may be under way at once.

    New cells have their places and cells that are run again have others: neither waits for the
    other, and replays never take the machine.
    """
    while len(fleet.forking) < FORKS_MAX and (state := _next(fleet, fleet.fork_queue)):
        issue_worker(fleet, state, now_ns)
    for name in [name for name, until_ns in fleet.restoring.items() if until_ns <= now_ns]:
        fleet.restoring.pop(name)
    while len(fleet.restoring) < REPLAYS_MAX and (state := _next(fleet, fleet.wake_queue)):
        if state.waits.dormant and state.wants_worker:
            fleet.restoring[state.cell.id] = now_ns + REPLAY_PLACE_NS
            issue_worker(fleet, state, now_ns)


def _next(fleet: Fleet, queue: Shelf[str, None]) -> CellState | None:
    """The first cell of a queue whose zygote is under our command; it leaves the queue."""
    for name in queue:
        state = fleet.cells.get(name)
        if state is None or state.cell.phase is Phase.FINISHED:
            queue.pop(name)
            return _next(fleet, queue)
        if level_of_cell(fleet, state.cell) in fleet.listed:
            queue.pop(name)
            return state
    return None


def issue_worker(fleet: Fleet, state: CellState, now_ns: int) -> None:
    """A new incarnation, in the journal before it is forked.

    It is issued no earlier: a cell without one has certainly never run.
    """
    if state.token:
        fleet.tokens.pop(state.token)
    incarnation = fleet.next_incarnation()
    cell = state.cell
    token = worker_token(fleet.world.secret, cell.id, incarnation)
    waits = state.waits
    state = replace(
        state,
        token=token,
        waits=Waits(
            waits.observer,
            waits.resuming,
            waits.ending,
            waits.final_for,
            forked=True,
            greet_by_ns=now_ns + GREET_NS,
        ),
    )
    fleet.settle(Outcome(state, records=(r.WorkerIssued(incarnation),)), now_ns)
    fleet.tokens[token] = cell.id
    fleet.forking[token] = None
    fleet.speak(ForkWorker(token, cell.id, incarnation, cell.limits, level_of_cell(fleet, cell)))


def on_forked(fleet: Fleet, event: e.WorkerForked, now_ns: int) -> None:
    """The worker lives; it will say Hello."""
    fleet.forking.pop(event.token)
    state = fleet.by_token(event.token)
    if state is None or state.cell.phase is Phase.FINISHED or state.waits.dormant:
        fleet.speak(KillWorker(event.token))
    else:
        fleet.put(state.waiting(pid=event.pid), now_ns)
    fork_some(fleet, now_ns)


def on_not_forked(fleet: Fleet, event: e.WorkerNotForked, now_ns: int) -> None:
    """The machine could not give a worker: the cell waits, and says why."""
    fleet.forking.pop(event.token)
    state = fleet.by_token(event.token)
    if state is None or not legal(state, Told.NOT_FORKED) or state.waits.dormant:
        fleet.dropped += 1
    elif state.cell.phase is Phase.FINISHED:
        worker_ended(fleet, state, now_ns)
    else:
        retry_later(fleet, state, f"no worker could be started: {event.reason}", now_ns)
    fork_some(fleet, now_ns)


def give_up_silent(fleet: Fleet, state: CellState, now_ns: int) -> None:
    """A worker that never came through to us: the machine is to blame, and another one may."""
    fleet.forking.pop(state.token)
    fleet.speak(KillWorker(state.token))
    retry_later(fleet, state, "a worker did not say Hello in time", now_ns)


def retry_later(
    fleet: Fleet, state: CellState, why: str, now_ns: int, delay_ns: int = RETRY_NS
) -> None:
    """The cell has no worker now; it gets one later, if there is something to do then."""
    fleet.leave_past(state.cell.id)
    state = replace(state, waits=state.waits.without_worker())
    fleet.put(state.waiting(retry_at_ns=now_ns + delay_ns, trouble=why), now_ns)
