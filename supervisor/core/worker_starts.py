"""How cells come to their workers: asked of the zygote, a few at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ...protocol.ids import worker_token
from . import events as e
from . import records as r
from . import spares
from .changes import replace
from .deadlines import adopt
from .effects import ForkWorker, KillWorker
from .endings import worker_ended
from .facts import Phase
from .fleet import FORKS_MAX, REPLAY_PLACE_NS, REPLAYS_MAX, Fleet
from .law import CellState, Outcome, Told, Waits, legal
from .levels import level_of_cell
from .replay_routes import begin
from .shelf import Shelf

RETRY_NS = 500_000_000
LOOKED_AT_MAX: Final = 256  # cells of a queue at a time
FORKS_TOGETHER: Final = 4  # are asked for at least, when more cells wait than there are places
GREET_NS = 20_000_000_000  # a hundred times what a crowded machine needs


def queue_worker(fleet: Fleet, state: CellState, now_ns: int) -> None:
    """This new cell needs a worker; it gets one when there is room."""
    fleet.fork_queue[state.cell.id] = None
    fork_some(fleet, now_ns)


def fork_some(fleet: Fleet, now_ns: int) -> None:
    """Give spare workers to cells, and ask for as many others as may be under way at once.

    New cells have their places and cells that are run again have others: neither waits for the
    other, and replays never take the machine.
    """
    for state in _next_new(fleet):
        fleet.fork_queue.pop(state.cell.id)
        issue_worker(fleet, state, now_ns)
    for name in [name for name, until_ns in fleet.restoring.items() if until_ns <= now_ns]:
        fleet.restoring.pop(name)
    while len(fleet.restoring) < REPLAYS_MAX and (again := _next_again(fleet)):
        if again.waits.dormant and again.wants_worker:
            fleet.restoring[again.cell.id] = now_ns + REPLAY_PLACE_NS
            issue_worker(fleet, again, now_ns)


def _next_new(fleet: Fleet) -> list[CellState]:
    """The new cells that get a worker now: a spare one, or one that is made for them.

    Those whose kind of spare is on its way wait for it: it was begun before theirs would be. When
    there are too few places for all, several get theirs in one commit, and the zygote always has
    some to make meanwhile.
    """
    waiting = len(fleet.fork_queue)
    if not waiting:  # as nearly always: this is asked at every end of a worker
        return []
    places, free = FORKS_MAX - len(fleet.forking), spares.free(fleet)
    if not free and places < min(waiting, FORKS_TOGETHER):
        places = 0
    if not (places > 0 or free):
        return []
    soon = spares.coming(fleet)
    chosen: list[CellState] = []
    for state in _startable(fleet, fleet.fork_queue):
        kind = spares.kind_of(fleet, state.cell)
        if free.get(kind):
            free[kind] -= 1
        elif soon.get(kind):
            soon[kind] -= 1
            continue
        elif places > 0:
            places -= 1
        elif not any(free.values()):
            break
        else:
            continue
        chosen.append(state)
    return chosen


def _next_again(fleet: Fleet) -> CellState | None:
    """The first cell that is to be run again; it leaves the queue."""
    for state in _startable(fleet, fleet.wake_queue):
        fleet.wake_queue.pop(state.cell.id)
        return state
    return None


def _startable(fleet: Fleet, queue: Shelf[str, None]) -> Iterator[CellState]:
    """The cells of a queue whose zygote is under our command; others that have ended leave it."""
    for _, name in list(zip(range(LOOKED_AT_MAX), queue, strict=False)):
        state = fleet.cells.get(name)
        if state is None or state.cell.phase is Phase.FINISHED:
            queue.pop(name)
        elif level_of_cell(fleet, state.cell) in fleet.listed:
            yield state


def issue_worker(fleet: Fleet, state: CellState, now_ns: int) -> None:
    """A new incarnation, in the journal before it is forked, or before the spare one is given it.

    It is issued no earlier: a cell without one has certainly never run.
    """
    if state.token:
        fleet.tokens.pop(state.token)
    kind = spares.kind_of(fleet, state.cell)
    spares.note_use(fleet, kind, now_ns)
    token = spares.ready(fleet, kind)
    if token is None:
        _fork(fleet, state, now_ns)
    else:
        _give_spare(fleet, state, token, now_ns)


def _fork(fleet: Fleet, state: CellState, now_ns: int) -> None:
    cell = state.cell
    incarnation = fleet.next_incarnation()
    token = worker_token(fleet.world.secret, cell.id, incarnation)
    _issue(fleet, state, token, r.WorkerIssued(incarnation), now_ns)
    fleet.forking[token] = None
    fleet.speak(ForkWorker(token, cell.id, incarnation, cell.limits, level_of_cell(fleet, cell)))


def _give_spare(fleet: Fleet, state: CellState, token: bytes, now_ns: int) -> None:
    spare = fleet.spares[token]
    fleet.spares.pop(token)  # for good: no other cell ever has it
    record = r.WorkerIssued(fleet.next_incarnation(), spare.number)
    state = _issue(fleet, state, token, record, now_ns).waiting(pid=spare.pid)
    if state.cell.replays:
        # Its past is learned when it says Hello, as that of all others.
        fleet.settle(adopt(state.waiting(adopting_since_ns=now_ns), now_ns), now_ns)
    else:
        begin(fleet, state, spare.python, now_ns)


def _issue(
    fleet: Fleet, state: CellState, token: bytes, record: r.WorkerIssued, now_ns: int
) -> CellState:
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
    fleet.tokens[token] = state.cell.id
    return fleet.settle(Outcome(state, records=(record,)), now_ns)


def on_forked(fleet: Fleet, event: e.WorkerForked, now_ns: int) -> None:
    """The worker lives; it will say Hello."""
    fleet.forking.pop(event.token)
    state = fleet.by_token(event.token)
    if event.token in fleet.spares:
        spares.on_forked(fleet, event.token, event.pid)
    elif state is None or state.cell.phase is Phase.FINISHED or state.waits.dormant:
        fleet.speak(KillWorker(event.token))
    else:
        fleet.put(state.waiting(pid=event.pid), now_ns)
    fork_some(fleet, now_ns)


def on_not_forked(fleet: Fleet, event: e.WorkerNotForked, now_ns: int) -> None:
    """The machine could not give a worker: the cell waits, and says why."""
    fleet.forking.pop(event.token)
    state = fleet.by_token(event.token)
    if event.token in fleet.spares:
        spares.on_gone(fleet, event.token, now_ns)
    elif state is None or not legal(state, Told.NOT_FORKED) or state.waits.dormant:
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
