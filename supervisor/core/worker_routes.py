"""What the fleet does when a worker, or the zygote about a worker, has something to say."""

from __future__ import annotations

from ...protocol.ids import worker_token
from ...protocol.limits import UNACKNOWLEDGED_BYTES_MAX, UNACKNOWLEDGED_MESSAGES_MAX
from ...protocol.weights import item_bytes
from ...protocol.worker_messages import Fetch, Hello, Said
from . import events as e
from . import records as r
from .announce import deliver, end_if_done
from .ask_steps import continue_of
from .changes import replace
from .deadlines import adopt
from .effects import ForgetWorker, ForkWorker, GiveAcknowledge, GiveStart, GiveStored, KillWorker
from .endings import end_by_limit, finish, lose, stored_over
from .facts import Cell, Phase
from .fleet import FORKS_MAX, Fleet
from .law import LEGAL, CellState, Hostile, Outcome, Told, legal
from .offers import offer_calls, offer_notices, withdraw
from .stream_steps import Over, said

SIGXCPU = 24  # how the kernel ends a process at its limit of CPU time
SIGXFSZ = 25  # and at its limit for the size of a file
RETRY_NS = 500_000_000
# At a quarter of the window: a worker never waits for what we could have said.
ACKNOWLEDGE_BYTES = UNACKNOWLEDGED_BYTES_MAX // 4
ACKNOWLEDGE_MESSAGES = UNACKNOWLEDGED_MESSAGES_MAX // 4


# -- starting -------------------------------------------------------------------------------------


def queue_worker(fleet: Fleet, state: CellState, now_ns: int) -> None:
    """This cell needs a worker; it gets one when there is room."""
    fleet.put(state.waiting(retry_at_ns=0), now_ns)
    fleet.fork_queue[state.cell.id] = None
    fork_some(fleet, now_ns)


def fork_some(fleet: Fleet, now_ns: int) -> None:
    """Ask for as many workers as may be under way at once."""
    while len(fleet.forking) < FORKS_MAX and len(fleet.fork_queue) and fleet.listed:
        name = next(iter(fleet.fork_queue))
        fleet.fork_queue.pop(name)
        state = fleet.cells.get(name)
        if state is not None and state.cell.phase is not Phase.FINISHED:
            issue_worker(fleet, state, now_ns)


def issue_worker(fleet: Fleet, state: CellState, now_ns: int) -> None:
    """A new incarnation, in the journal before it is forked.

    It is issued no earlier: a cell without one has certainly never run.
    """
    if state.token:
        fleet.tokens.pop(state.token)
    incarnation = fleet.next_incarnation()
    cell = state.cell
    token = worker_token(fleet.world.secret, cell.id, incarnation)
    state = fleet.settle(Outcome(state, records=(r.WorkerIssued(incarnation),)), now_ns)
    state = state.waiting(forked=True, greeted_ns=0, pid=0, trouble="")
    fleet.tokens[token] = cell.id
    fleet.put(replace(state, token=token), now_ns)
    fleet.forking[token] = None
    fleet.speak(ForkWorker(token, cell.id, incarnation, cell.limits))


def on_forked(fleet: Fleet, event: e.WorkerForked, now_ns: int) -> None:
    """The worker lives; it will say Hello."""
    fleet.forking.pop(event.token)
    state = fleet.by_token(event.token)
    if state is None or state.cell.phase is Phase.FINISHED:
        fleet.speak(KillWorker(event.token))
    else:
        fleet.put(state.waiting(pid=event.pid), now_ns)
    fork_some(fleet, now_ns)


def on_not_forked(fleet: Fleet, event: e.WorkerNotForked, now_ns: int) -> None:
    """The machine could not give a worker: the cell waits, and says why."""
    fleet.forking.pop(event.token)
    state = fleet.by_token(event.token)
    if state is None or not legal(state, Told.NOT_FORKED):
        fleet.dropped += 1
    elif state.cell.phase is Phase.FINISHED:
        _worker_gone(fleet, state, now_ns)
    else:
        _retry_later(fleet, state, f"no worker could be started: {event.reason}", now_ns)
    fork_some(fleet, now_ns)


def _retry_later(fleet: Fleet, state: CellState, why: str, now_ns: int) -> None:
    gone = {"forked": False, "pid": 0, "greeted_ns": 0}
    fleet.put(state.waiting(retry_at_ns=now_ns + RETRY_NS, trouble=why, **gone), now_ns)


# -- speaking -------------------------------------------------------------------------------------


def on_spoke(fleet: Fleet, event: e.WorkerSpoke, now_ns: int) -> None:
    """A message of a worker, on the connection that its token names."""
    state = fleet.by_token(event.token)
    if state is None:
        fleet.dropped += 1
        # A worker of an earlier incarnation: nothing it says counts, and nobody needs it.
        fleet.speak(KillWorker(event.token))
        return
    if state.cell.phase is Phase.FINISHED:
        fleet.dropped += 1
        return
    message = event.message
    try:
        if isinstance(message, Hello):
            _on_hello(fleet, state, message, now_ns)
        elif not state.waits.greeted_ns:
            fleet.dropped += 1  # before the handshake; it is said again if it matters
        elif isinstance(message, Fetch):
            _on_fetch(fleet, state, message)
        else:
            _on_said(fleet, state, message, now_ns)
    except Hostile as error:
        punish(fleet, state, str(error), now_ns)


def on_garbled(fleet: Fleet, event: e.WorkerGarbled, now_ns: int) -> None:
    """Bytes that no honest worker could have sent end that worker."""
    state = fleet.by_token(event.token)
    if state is None or state.cell.phase is Phase.FINISHED:
        fleet.dropped += 1
        return
    punish(fleet, state, event.reason, now_ns)


def punish(fleet: Fleet, state: CellState, why: str, now_ns: int) -> None:
    """End a worker that broke the protocol, and with it its cell."""
    fleet.speak(KillWorker(state.token))
    lose(fleet, state, f"the worker broke the protocol: {why}"[:500], now_ns)


def _on_hello(fleet: Fleet, state: CellState, hello: Hello, now_ns: int) -> None:
    cell = state.cell
    if hello.cell != cell.id or hello.incarnation != cell.incarnation:
        raise Hostile("it says Hello for another cell or incarnation")
    if hello.epoch == fleet.world.epoch:
        _on_adopted(fleet, state, hello, now_ns)
    elif hello.epoch == 0 and not hello.started and cell.have == 0:
        started = state.waiting(
            greeted_ns=now_ns, forked=True, pid=state.waits.pid or hello.pid, adopting_at_ns=0
        )
        fleet.speak(GiveStart(state.token, cell.id, cell.tools_of))
        fleet.put(_observation_begins(started, now_ns), now_ns)
    else:
        # It speaks to an earlier supervisor, or has reconnected: ask it for what we do not have.
        asking = state.waiting(adopting_since_ns=now_ns, adopting_at_ns=now_ns)
        fleet.settle(adopt(asking, now_ns), now_ns)


def _observation_begins(state: CellState, now_ns: int) -> CellState:
    """The time of an observation counts from when the cell began to run."""
    observer = state.waits.observer
    if observer is None or observer.yield_after_ns is None or observer.deadline_ns is not None:
        return state
    return state.waiting(observer=replace(observer, deadline_ns=now_ns + observer.yield_after_ns))


def _on_adopted(fleet: Fleet, state: CellState, hello: Hello, now_ns: int) -> None:
    if hello.said < state.cell.have:
        raise Hostile(f"it has said {hello.said} messages, and the journal has {state.cell.have}")
    if not hello.started:
        greeted = state.waiting(greeted_ns=now_ns, adopting_at_ns=0, forked=True)
        fleet.speak(GiveStart(state.token, state.cell.id, state.cell.tools_of))
        fleet.put(_observation_begins(greeted, now_ns), now_ns)
        return
    state = state.waiting(
        greeted_ns=state.waits.greeted_ns or now_ns,
        adopting_at_ns=0,
        forked=True,
        pid=state.waits.pid or hello.pid,
        delivered=min(hello.inputs, state.cell.inputs),
    )
    state, effects = deliver(_observation_begins(state, now_ns))
    fleet.speak(*effects)
    if state.waits.resuming is not None:
        fleet.speak(continue_of(state, state.waits.resuming))
    fleet.put(state, now_ns)


def _on_fetch(fleet: Fleet, state: CellState, fetch: Fetch) -> None:
    if Told.FETCH not in LEGAL[state.phase]:
        raise Hostile(f"Fetch while {state.phase.value}")
    if fetch.epoch != fleet.world.epoch:
        fleet.dropped += 1
        return
    cell = state.cell
    fleet.speak(GiveStored(state.token, fetch.number, cell.session, cell.stored_version, fetch.key))


def _on_said(fleet: Fleet, state: CellState, message: Said, now_ns: int) -> None:
    cell = state.cell
    if message.epoch != fleet.world.epoch or message.seq <= cell.have:
        fleet.dropped += 1
        return
    if message.seq > cell.have + 1:
        fleet.settle(adopt(state.waiting(adopting_since_ns=now_ns), now_ns), now_ns)
        return
    if cell.incarnation is None:
        raise AssertionError("a cell whose worker speaks has an incarnation")
    adopted = cell.incarnation.epoch != fleet.world.epoch
    session = fleet.attachments.get(cell.tools_of)
    external = frozenset(spec.name for spec in session.tools if spec.external) if session else None
    heard = said(state, message, fleet.world.packers, external or frozenset(), adopted=adopted)
    after = fleet.settle(heard.outcome, now_ns)
    _follow_stream(fleet, cell, after, now_ns)
    if after.cell.notices_made > cell.notices_made:
        offer_notices(fleet, cell.id, now_ns)
    if after.cell.calls_made > cell.calls_made and heard.finished is None and heard.over is None:
        offer_calls(fleet, cell.session, now_ns)  # nobody waits for the calls of an ended cell
    _acknowledge(fleet, fleet.cells[cell.id], message, now_ns)
    after = fleet.cells[cell.id]
    over = heard.over or stored_over(fleet, after)
    if over is not None:
        end_by_limit(fleet, after, over, now_ns)
    elif heard.finished is not None:
        finish(fleet, after, heard.finished, now_ns)


def _follow_stream(fleet: Fleet, before: Cell, state: CellState, now_ns: int) -> None:
    """Calls and notifications that this message brought go to the holder."""
    cell = state.cell
    for number in range(before.calls_made + 1, cell.calls_made + 1):
        call = cell.calls.get(number)
        if call is not None and not call.external:
            fleet.backlog(cell.session)[(cell.id, number)] = None
    for call in before.calls.values():
        now = cell.calls.get(call.number)
        if now is None:
            fleet.backlog(cell.session).pop((cell.id, call.number))
        elif now.state is not call.state:
            withdraw(fleet, cell.id, call.number, now.attachment)


def _acknowledge(fleet: Fleet, state: CellState, message: Said, now_ns: int) -> None:
    """Tell the worker what we have, now and then; most of it rides on other messages."""
    size = sum(item_bytes(item) for item in message.items)
    waits = state.waits
    unacked = waits.unacked + size
    enough = state.cell.have - waits.acked >= ACKNOWLEDGE_MESSAGES or unacked >= ACKNOWLEDGE_BYTES
    if enough and state.cell.phase is not Phase.FINISHED:
        fleet.speak(GiveAcknowledge(state.token, state.cell.have))
        fleet.put(state.waiting(acked=state.cell.have, unacked=0), now_ns)
    else:
        fleet.put(state.waiting(unacked=unacked), now_ns)


# -- ending ---------------------------------------------------------------------------------------


def on_ended(fleet: Fleet, event: e.WorkerEnded, now_ns: int) -> None:
    """A worker's process has ended."""
    fleet.forking.pop(event.token)
    fleet.speak(ForgetWorker(event.token))
    state = fleet.by_token(event.token)
    if state is None:
        fleet.tokens.pop(event.token)
    elif state.cell.phase is Phase.FINISHED:
        _worker_gone(fleet, state, now_ns)
    elif _never_ran(fleet, state):
        why = f"a worker {how(event.status)} before it could be given the cell"
        _retry_later(fleet, state, why, now_ns)
    elif (over := _ended_by_limit(state.cell, event.status)) is not None:
        end_by_limit(fleet, state.waiting(forked=False, pid=0), over, now_ns)
    else:
        state = state.waiting(forked=False, pid=0)
        lose(fleet, state, f"the worker {how(event.status)}", now_ns)
    fork_some(fleet, now_ns)


def _never_ran(fleet: Fleet, state: CellState) -> bool:
    """Whether this worker cannot have been given the cell: then the machine is to blame."""
    born = state.cell.incarnation
    ours = born is not None and born.epoch == fleet.world.epoch
    return ours and not state.waits.greeted_ns and state.cell.have == 0


def _worker_gone(fleet: Fleet, state: CellState, now_ns: int) -> None:
    state = state.waiting(forked=False, pid=0, kill_at_ns=0)
    ending = state.waits.ending
    if ending is not None:
        state = state.waiting(ending=replace(ending, worker_lives=False))
    state, effects = end_if_done(state, now_ns)
    fleet.speak(*effects)
    fleet.tokens.pop(state.token)
    fleet.put(state, now_ns)


def _ended_by_limit(cell: Cell, status: int) -> Over | None:
    """The limit at which the kernel ends a process with this signal, if the cell has one."""
    limit = cell.limits.cpu_seconds if status == -SIGXCPU else None
    if status == -SIGXFSZ:
        limit = cell.limits.file_bytes
    if limit is None:
        return None
    return Over("cpu_seconds" if status == -SIGXCPU else "file_bytes", limit, limit)


def how(status: int) -> str:
    """How a process ended, in words."""
    return f"was killed by signal {-status}" if status < 0 else f"exited with status {status}"


def on_listed(fleet: Fleet, event: e.WorkersListed, now_ns: int) -> None:
    """A zygote is under our command: live workers are adopted, missing ones are noted."""
    fleet.listed = True
    living = dict(event.living)
    for token in living:
        known = fleet.by_token(token)
        # Finished: it was terminated before we knew of a worker that had to be killed.
        if known is None or known.cell.phase is Phase.FINISHED:
            fleet.speak(KillWorker(token))
    for name in list(fleet.cells):
        state = fleet.cells[name]
        if state.cell.phase is Phase.FINISHED:
            continue
        if state.token in living:
            asked = state.waiting(forked=True, pid=living[state.token], adopting_since_ns=now_ns)
            fleet.settle(adopt(asked, now_ns), now_ns)
        elif not state.waits.forked and name not in fleet.fork_queue:
            _without_worker(fleet, state, event, now_ns)
    fork_some(fleet, now_ns)


def _without_worker(fleet: Fleet, state: CellState, event: e.WorkersListed, now_ns: int) -> None:
    """A cell of an earlier epoch whose worker this zygote does not have.

    A zygote that was there before and knows neither of its life nor of its end never made it.
    """
    never_made = state.cell.incarnation is None or not (event.fresh or state.cell.have)
    if never_made:
        queue_worker(fleet, state, now_ns)
    else:
        lose(fleet, state, "the worker ended while no supervisor was there", now_ns)


def on_zygote_lost(fleet: Fleet, now_ns: int) -> None:
    """The kernel has killed every worker together with the zygote."""
    fleet.listed = False
    for token in list(fleet.forking):
        fleet.forking.pop(token)
    for name in list(fleet.cells):
        state = fleet.cells[name]
        if state.cell.phase is Phase.FINISHED:
            _worker_gone(fleet, state, now_ns)
        elif not state.waits.forked:
            continue
        elif not _never_ran(fleet, state):
            lose(fleet, state.waiting(forked=False, pid=0), "the zygote was killed", now_ns)
        else:
            _retry_later(fleet, state, "the zygote was killed", now_ns)
