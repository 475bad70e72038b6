"""What becomes of a cell whose worker is gone: it is run again, or it ends."""

from __future__ import annotations

from typing import Final

from ...protocol.limits import LIMITS_OF_LEVEL, Limits
from . import events as e
from . import records as r
from . import spares
from .changes import replace
from .deadlines import adopt
from .effects import ForgetWorker, KillWorker, LodgeWorker
from .endings import end_by_limit, lose, park, worker_ended
from .facts import Cell, Phase
from .fleet import Fleet
from .law import CellState, Outcome
from .levels import level_of_cell
from .stream_steps import Over
from .worker_starts import fork_some, queue_worker, retry_later

SIGXCPU: Final = 24  # how the kernel ends a process at its limit of CPU time
SIGXFSZ: Final = 25  # and at its limit for the size of a file
#: How a worker ends that cannot understand its supervisor, or has lost the one that it had.
EXITS_OF_SUCCESSION: Final = (76, 81)
LOSSES_MAX: Final = 3
AGAIN_NS: Final = 100_000_000  # before a worker that its cell has ended is replaced once more


def on_ended(fleet: Fleet, event: e.WorkerEnded, now_ns: int) -> None:
    """A worker's process has ended."""
    fleet.forking.pop(event.token)
    fleet.speak(ForgetWorker(event.token))
    state = fleet.by_token(event.token)
    if event.token in fleet.spares:
        spares.on_gone(fleet, event.token, now_ns)
    elif state is None:
        fleet.tokens.pop(event.token)
    elif state.cell.phase is Phase.FINISHED:
        worker_ended(fleet, state, now_ns)
    elif state.waits.dormant or state.cell.gone:
        fleet.tokens.pop(event.token)  # it is known to be gone, and why
    elif _never_ran(fleet, state):
        why = f"a worker {how(event)} before it could be given the cell"
        retry_later(fleet, state, why, now_ns)
    elif (over := _ended_by_limit(_limits_in_force(fleet, state.cell), event)) is not None:
        end_by_limit(fleet, state.waiting(forked=False, pid=0), over, now_ns)
    else:
        counts = not event.killed and _was_given(state, event.status)
        worker_lost(fleet, state, f"the worker {how(event)}", now_ns, counts=counts)
    fork_some(fleet, now_ns)


def _never_ran(fleet: Fleet, state: CellState) -> bool:
    """Whether this worker cannot have been given the cell: then the machine is to blame."""
    born = state.cell.incarnation
    ours = born is not None and born.epoch == fleet.world.epoch
    return ours and not state.waits.greeted_ns and state.cell.have == 0


def _was_given(state: CellState, status: int) -> bool:
    """Whether the cell can have ended its worker.

    One of an earlier supervisor that this one has not heard may be of another version, or may have
    no way to a new one; then it says so.
    """
    return state.waits.greeted_ns > 0 or (state.cell.have > 0 and status not in EXITS_OF_SUCCESSION)


def worker_lost(fleet: Fleet, state: CellState, why: str, now_ns: int, *, counts: bool) -> None:
    """The worker has ended without a completion. `counts`: the cell itself may have ended it."""
    cell = state.cell
    if not fleet.replays(cell) or cell.incarnation is None:
        lose(fleet, state.waiting(forked=False, pid=0), why, now_ns)
        return
    fleet.leave_past(cell.id)
    if counts:
        why = f"{why} (incarnation {cell.incarnation}, after input {cell.taken})"
    state = replace(state, waits=state.waits.without_worker())
    counted = len(cell.losses) + counts
    if 1 < counted < LOSSES_MAX:
        state = state.waiting(retry_at_ns=now_ns + AGAIN_NS)
    lost = r.WorkerLost(cell.incarnation, why, counts)
    state = fleet.settle(Outcome(state, records=(lost,)), now_ns)
    if counted >= LOSSES_MAX:
        park(fleet, state, now_ns)


def _ended_by_limit(limits: Limits, event: e.WorkerEnded) -> Over | None:
    """The limit at which the kernel has ended the process, if the cell has one."""
    if event.limit:
        value = getattr(limits, event.limit, None)
        return Over(event.limit, event.used if value is None else value, event.used)
    if event.status == -SIGXCPU and limits.cpu_seconds is not None:
        return Over("cpu_seconds", limits.cpu_seconds, limits.cpu_seconds)
    if event.status == -SIGXFSZ and limits.file_bytes is not None:
        return Over("file_bytes", limits.file_bytes, limits.file_bytes)
    return None


def _limits_in_force(fleet: Fleet, cell: Cell) -> Limits:
    """Those of the cell, and where it has none those of its level."""
    return cell.limits.over(LIMITS_OF_LEVEL.get(level_of_cell(fleet, cell), Limits()))


def how(event: e.WorkerEnded) -> str:
    """How a process ended, in words."""
    status, more = event.status, f": {event.reason}" if event.reason else ""
    if status < 0:
        return f"was killed by signal {-status}{more}"
    return f"exited with status {status}{more}"


def on_listed(fleet: Fleet, event: e.WorkersListed, now_ns: int) -> None:
    """A zygote is under our command: live workers are adopted, missing ones are noted."""
    fleet.listed.add(event.level)
    living = dict(event.living)
    for token in living:
        if token in fleet.spares:
            continue
        known = fleet.by_token(token)
        # Finished: it was terminated before we knew of a worker that had to be killed. Others were
        # given up, or had not yet come to where the journal is, which nobody can go on comparing.
        if known is None or known.cell.phase is Phase.FINISHED or _given_up(known.cell):
            fleet.speak(KillWorker(token))
    for name in list(fleet.cells):
        state = fleet.cells[name]
        if state.cell.phase is Phase.FINISHED or level_of_cell(fleet, state.cell) != event.level:
            continue
        if state.token in living and not _given_up(state.cell):
            asked = state.waiting(forked=True, pid=living[state.token], adopting_since_ns=now_ns)
            if state.cell.spare:  # what its last supervisor said to the zygote may not have arrived
                fleet.speak(LodgeWorker(state.token, name))
            fleet.settle(adopt(asked, now_ns), now_ns)
        elif not (state.waits.forked or state.waits.dormant) and name not in fleet.fork_queue:
            _without_worker(fleet, state, event, now_ns)
    fork_some(fleet, now_ns)


def _given_up(cell: Cell) -> bool:
    return cell.gone or cell.replays


def _without_worker(fleet: Fleet, state: CellState, event: e.WorkersListed, now_ns: int) -> None:
    """A cell of an earlier epoch whose worker this zygote does not have.

    A zygote that was there before and knows neither of its life nor of its end never made it.
    """
    never_made = state.cell.incarnation is None or (
        state.cell.phase is Phase.STARTING and not event.fresh
    )
    if never_made:
        queue_worker(fleet, state, now_ns)
    elif fleet.replays(state.cell):
        # No record: nothing is lost by it, and 10 000 cells may be in this state.
        fleet.put(state.waiting(dormant=True), now_ns)
    else:
        lose(fleet, state, "the worker ended while no supervisor was there", now_ns)


def on_zygote_lost(fleet: Fleet, event: e.ZygoteLost, now_ns: int) -> None:
    """The kernel has killed every worker of this level together with its zygote."""
    fleet.listed.discard(event.level)
    spares.forget_level(fleet, event.level, now_ns)
    for name in list(fleet.cells):
        state = fleet.cells[name]
        if level_of_cell(fleet, state.cell) != event.level:
            continue
        fleet.forking.pop(state.token)
        if state.cell.phase is Phase.FINISHED:
            worker_ended(fleet, state, now_ns)
        elif not state.waits.forked:
            continue
        elif not _never_ran(fleet, state):
            worker_lost(fleet, state, "the zygote was killed", now_ns, counts=False)
        else:
            retry_later(fleet, state, "the zygote was killed", now_ns)
