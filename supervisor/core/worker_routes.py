"""What the fleet does when a worker has something to say."""

from __future__ import annotations

from ...protocol.worker_messages import Fetch, Hello, Said
from . import events as e
from . import spares
from .acknowledging import acknowledge
from .announce import deliver
from .ask_steps import continue_of
from .deadlines import adopt
from .effects import GiveStored, KillWorker
from .endings import end_by_limit, finish, lose, stored_over
from .facts import Cell, Phase
from .fleet import Fleet
from .law import LEGAL, CellState, Hostile, Told
from .losses import worker_lost
from .offers import offer_calls, offer_notices, withdraw
from .replay_routes import (
    begin,
    observation_begins,
    on_adopted_replaying,
    on_gap,
    on_replayed,
)
from .stream_steps import said
from .worker_starts import fork_some


def on_spoke(fleet: Fleet, event: e.WorkerSpoke, now_ns: int) -> None:
    """A message of a worker, on the connection that its token names."""
    state = fleet.by_token(event.token)
    if event.token in fleet.spares:
        spares.on_spoke(fleet, event.token, event.message, now_ns)
        fork_some(fleet, now_ns)
        return
    if state is None:
        fleet.dropped += 1
        # A worker of an earlier incarnation: nothing it says counts, and nobody needs it.
        fleet.speak(KillWorker(event.token))
        return
    if state.cell.phase is Phase.FINISHED or _given_up(state):
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


def _given_up(state: CellState) -> bool:
    """Whether this worker is known to be none any more.

    By an earlier supervisor, it may be, which could not kill it: that is done when the zygote says
    that it lives, and by then it can have come to us with all that it has said.
    """
    return state.waits.dormant or state.cell.gone


def on_garbled(fleet: Fleet, event: e.WorkerGarbled, now_ns: int) -> None:
    """Bytes that no honest worker could have sent end that worker."""
    if event.token in fleet.spares:
        spares.drop(fleet, event.token, now_ns + spares.AGAIN_NS)
        return
    state = fleet.by_token(event.token)
    if state is None or state.cell.phase is Phase.FINISHED or _given_up(state):
        fleet.dropped += 1
        return
    if event.other_version and not state.waits.greeted_ns:
        fleet.speak(KillWorker(state.token))
        why = "its worker was of another version of Tidemark"
        worker_lost(fleet, state, why, now_ns, counts=False)
        return
    punish(fleet, state, event.reason, now_ns)


def punish(fleet: Fleet, state: CellState, why: str, now_ns: int) -> None:
    """End a worker that broke the protocol, and with it its cell."""
    fleet.speak(KillWorker(state.token))
    lose(fleet, state, f"the worker broke the protocol: {why}"[:500], now_ns)


def _on_hello(fleet: Fleet, state: CellState, hello: Hello, now_ns: int) -> None:
    cell = state.cell
    # A spare one does not know whose it is before it has been told.
    unaware = cell.spare > 0 and not hello.started and not hello.cell
    if not unaware and (hello.cell != cell.id or hello.incarnation != cell.incarnation):
        raise Hostile("it says Hello for another cell or incarnation")
    if hello.epoch == fleet.world.epoch and not _compared_before(state, hello):
        _on_adopted(fleet, state, hello, now_ns)
    elif hello.epoch == 0 and not hello.started and state.have == 0:
        begin(fleet, state, hello.python, now_ns)
    elif _compared_before(state, hello):
        fleet.dropped += 1  # an earlier supervisor compared what it says; the zygote will end it
    else:
        # It speaks to an earlier supervisor, or has reconnected: ask it for what we do not have.
        asking = state.waiting(adopting_since_ns=now_ns, adopting_at_ns=now_ns)
        fleet.settle(adopt(asking, now_ns), now_ns)


def _compared_before(state: CellState, hello: Hello) -> bool:
    """Whether an earlier supervisor has given it the past, of which it has not said all."""
    return hello.started and state.cell.replays and state.waits.replay is None


def _on_adopted(fleet: Fleet, state: CellState, hello: Hello, now_ns: int) -> None:
    if hello.journal > fleet.journal or hello.acknowledged > state.have:
        _refuse_journal(fleet, state, hello, now_ns)
        return
    if hello.said < state.have:
        raise Hostile(f"it has said {hello.said} messages, and we have {state.have}")
    if not hello.started:
        begin(fleet, state, hello.python, now_ns)
        return
    if state.waits.replay is not None:
        on_adopted_replaying(fleet, state.waiting(adopting_at_ns=0), hello, now_ns)
        return
    state = state.waiting(
        greeted_ns=state.waits.greeted_ns or now_ns,
        adopting_at_ns=0,
        greet_by_ns=0,
        forked=True,
        delivered=min(hello.inputs, state.cell.inputs),
    )
    state, effects = deliver(observation_begins(state, now_ns))
    fleet.speak(*effects)
    if state.waits.resuming is not None:
        fleet.speak(continue_of(state, state.waits.resuming))
    fleet.put(state, now_ns)


def _refuse_journal(fleet: Fleet, state: CellState, hello: Hello, now_ns: int) -> None:
    """What the cell has done since is not in this journal, and must not be done again."""
    fleet.speak(KillWorker(state.token))
    text = (
        f"the journal ends at record {fleet.journal} with message {state.have} of this cell, and "
        f"its worker was told of record {hello.journal} and message {hello.acknowledged}: it has "
        "gone back (a restored backup or a lying disk), and what the cell has done since is not "
        "known; see what its tools have done before you run it again"
    )
    lose(fleet, state, text, now_ns)


def _on_fetch(fleet: Fleet, state: CellState, fetch: Fetch) -> None:
    if Told.FETCH not in LEGAL[state.phase]:
        raise Hostile(f"Fetch while {state.phase.value}")
    if fetch.epoch != fleet.world.epoch:
        fleet.dropped += 1
        return
    cell = state.cell
    fleet.speak(GiveStored(state.token, fetch.number, cell.session, cell.stored_version, fetch.key))


def _on_said(fleet: Fleet, state: CellState, message: Said, now_ns: int) -> None:
    if state.waits.replay is not None:
        fresh = on_replayed(fleet, state, message, now_ns)
        if fresh is None:
            return
        state, message = fleet.cells[state.cell.id], fresh
    cell = state.cell
    if message.epoch != fleet.world.epoch or message.seq <= cell.have:
        fleet.dropped += 1
        return
    if message.seq > cell.have + 1:
        on_gap(fleet, state, now_ns)
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
    acknowledge(fleet, fleet.cells[cell.id], message, now_ns)
    after = fleet.cells[cell.id]
    over = heard.over
    # At its end again: others may have published since.
    if over is None and (heard.finished or after.cell.writes_made > cell.writes_made):
        over = stored_over(fleet, after)
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
