"""What the fleet does with a worker that says again what the journal has."""

from __future__ import annotations

from ...protocol import limits
from ...protocol.worker_messages import Confirmed, Hello, Said
from . import records as r
from .acknowledging import acknowledge
from .changes import replace
from .deadlines import adopt
from .effects import GiveInputs, GiveStart, LodgeWorker
from .facts import Divergence
from .fleet import Fleet
from .law import CellState, Hostile, Outcome, Replaying
from .past import compare, deliverable

INPUTS_AT_ONCE = 128  # so that a long past is neither read nor sent in one piece


def begin(fleet: Fleet, state: CellState, python: str, now_ns: int) -> None:
    """Give the cell to its worker, which runs this Python."""
    state = state.waiting(greeted_ns=now_ns, greet_by_ns=0, forked=True, adopting_at_ns=0)
    state = _start(fleet, state, python, now_ns)
    fleet.put(observation_begins(state, now_ns), now_ns)


def observation_begins(state: CellState, now_ns: int) -> CellState:
    """The time of an observation counts from when the cell began to run."""
    observer = state.waits.observer
    if observer is None or observer.yield_after_ns is None or observer.deadline_ns is not None:
        return state
    return state.waiting(observer=replace(observer, deadline_ns=now_ns + observer.yield_after_ns))


def _start(fleet: Fleet, state: CellState, python: str, now_ns: int) -> CellState:
    """One that has lived before is given with its past."""
    cell = state.cell
    if cell.incarnation is None:
        raise AssertionError("a cell that has a worker has an incarnation")
    began_ns, life = cell.created_us * 1_000, cell.incarnation
    past = fleet.pasts.get(cell.id) if cell.replays else None
    if past is None:
        if cell.replays:
            raise AssertionError("the past of a cell is learned before its worker is heard")
        fleet.leave_past(cell.id)
        _give(fleet, state, GiveStart(state.token, cell.id, life, cell.tools_of, began_ns))
        if cell.python == python:
            return state
        greeted = r.WorkerGreeted(cell.incarnation, python)
        return fleet.settle(Outcome(state, records=(greeted,)), now_ns)
    if cell.python and cell.python != python:
        expected, actual = f"a worker with {cell.python}", f"a worker with {python}"
        return diverge(fleet, state, Divergence(expected, actual, 0), now_ns)
    earlier = past.earlier(cell)
    _give(
        fleet,
        state,
        GiveStart(state.token, cell.id, life, cell.tools_of, began_ns, earlier, past),
    )
    # From the first input, also when an earlier Start was lost together with what followed it.
    state = state.waiting(replay=Replaying(readings=past.readings), delivered=0)
    if not past.steps:
        return _restored(fleet, state, 0, now_ns)
    return give_inputs(fleet, state)


def _give(fleet: Fleet, state: CellState, gift: GiveStart) -> None:
    if state.cell.spare:
        # It waits for its directory, so this may arrive before or after.
        fleet.speak(LodgeWorker(state.token, state.cell.id))
    fleet.speak(gift)


def give_inputs(fleet: Fleet, state: CellState) -> CellState:
    """The next inputs of its past, a bounded number of them."""
    cell = state.cell
    first = state.waits.delivered + 1
    last = min(deliverable(cell), state.waits.delivered + INPUTS_AT_ONCE)
    if first > last:
        return state
    fleet.speak(GiveInputs(state.token, cell.id, state.have, first, last))
    return state.waiting(delivered=last, acked=state.have, unacked=0)


def on_replayed(fleet: Fleet, state: CellState, message: Said, now_ns: int) -> Said | None:
    """A message of a worker that has not reached the present. Returns what of it is new.

    Raises:
        Hostile: no honest worker could have said this.
    """
    cell, replay = state.cell, state.waits.replay
    past = fleet.pasts.get(cell.id)
    if replay is None or past is None:
        raise AssertionError("nothing to compare with")
    if message.epoch != fleet.world.epoch or message.seq <= replay.heard:
        fleet.dropped += 1
        return None
    if message.seq > replay.heard + 1:
        on_gap(fleet, state, now_ns)
        return None
    if any(isinstance(item, Confirmed) for item in message.items):
        raise Hostile("it confirms a Continue that nobody sent")
    compared = compare(past, replay.position, message.items, cell)
    if compared.divergence is not None:
        diverge(fleet, state, compared.divergence, now_ns)
        return None
    if compared.fresh:
        _restored(fleet, state, message.seq - 1, now_ns)
        return replace_items(message, compared.fresh)
    ticks = replay.ticks + message.ticks
    if len(ticks) > limits.ITEMS_MAX:
        raise Hostile(f"{len(ticks):,} ticks of the clock in one replay")
    replay = Replaying(message.seq, compared.position, ticks, message.readings)
    state = state.waiting(replay=replay)
    if compared.fresh is not None:
        _restored(fleet, state, message.seq, now_ns)
        return None
    if compared.waits_at is not None and compared.waits_at >= state.waits.delivered:
        state = give_inputs(fleet, state)
    acknowledge(fleet, state, message, now_ns)
    return None


def on_gap(fleet: Fleet, state: CellState, now_ns: int) -> None:
    """Ask for what is between, once: a worker answers with all that we do not have.

    What it had sent when it hears us is behind the gap too, and would ask for all of it each time.
    """
    if state.waits.adopting_at_ns:
        fleet.dropped += 1  # it has been asked, and `due_step` asks again
        return
    fleet.settle(adopt(state.waiting(adopting_since_ns=now_ns), now_ns), now_ns)


def replace_items(message: Said, items: tuple[object, ...]) -> Said:
    """The same message with these items alone."""
    return Said(message.epoch, message.seq, message.ticks, items, message.readings)  # type: ignore[arg-type]


def _restored(fleet: Fleet, state: CellState, seq: int, now_ns: int) -> CellState:
    """The past is reached: from here on what the worker says is recorded."""
    cell, replay = state.cell, state.waits.replay
    if cell.incarnation is None or replay is None:
        raise AssertionError("only a cell that is run again is restored")
    fleet.leave_past(cell.id)
    record = r.CellRestored(cell.incarnation, seq, replay.ticks, replay.readings)
    return fleet.settle(Outcome(state, records=(record,)), now_ns)


def on_adopted_replaying(fleet: Fleet, state: CellState, hello: Hello, now_ns: int) -> None:
    """It has been asked for what did not arrive; it may miss inputs as well."""
    delivered = min(hello.inputs, deliverable(state.cell))
    fleet.put(give_inputs(fleet, state.waiting(delivered=delivered)), now_ns)


def diverge(fleet: Fleet, state: CellState, divergence: Divergence, now_ns: int) -> CellState:
    """This life is another one: it is ended, and whoever waits is told."""
    cell = state.cell
    if cell.incarnation is None:
        raise AssertionError("only a cell that is run again diverges")
    fleet.leave_past(cell.id)
    record = r.ReplayDiverged(cell.incarnation, divergence)
    return fleet.settle(Outcome(state, records=(record,)), now_ns)
