"""What is said in answer to a commit: one function per record that somebody waits for.

These run when a record is made, and their effects are held until it is in the journal. They may
change what is under way (an observer is answered once), never facts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...protocol.host_answers import AlreadyGiven, CallWithdrawn, EventGiven, ResumedGiven
from ...protocol.host_requests import CallRef
from ...protocol.limits import CANCEL_GRACE_MS
from ...protocol.packed import EventKind, PackedEvent, Reason
from . import records as r
from .ask_steps import CONTINUE_REPEAT_NS, continue_of
from .changes import replace
from .effects import (
    Effect,
    GiveAcknowledge,
    GiveBye,
    GiveEvent,
    GiveInputs,
    KillWorker,
    Refuse,
    RefuseDiverged,
    Reply,
    TellHost,
)
from .facts import CallState, Phase
from .law import CellState, Ending, Resuming

GRACE_NS = CANCEL_GRACE_MS * 1_000_000
KILL_NS_MAX = 2_000_000_000  # a kill that the kernel has not carried out by then holds nobody up
EXIT_NS_MAX = 1_000_000_000  # how long a worker may take to end after Bye

Said = tuple[CellState, tuple[Effect, ...]]


def announce(before: CellState, record: r.CellRecord, after: CellState, now_ns: int) -> Said:
    """The state with answered waits removed, and what to say once `record` is committed."""
    speak = _ANNOUNCE.get(type(record))
    return (after, ()) if speak is None else speak(before, record, after, now_ns)


def _frontier(before: CellState, record: r.FrontierReached, after: CellState, now_ns: int) -> Said:
    return _to_observer(after, record.event)


def _yielded(before: CellState, record: r.YieldMade, after: CellState, now_ns: int) -> Said:
    return _to_observer(after, record.event)


def _said(before: CellState, record: r.WorkerSaid, after: CellState, now_ns: int) -> Said:
    """A yield without output answers who waits, too; it makes no event and so no other record."""
    observer = after.waits.observer
    if observer is None or after.cell.pausable:
        return after, ()
    total = before.cell.output.total
    for step in record.steps:
        if isinstance(step, r.YieldWished):
            break
        total += isinstance(step, r.Put)
    else:
        return after, ()
    if total > before.cell.output.start:
        return after, ()  # YieldMade follows
    nothing = PackedEvent(EventKind.YIELDED, before.cell.output.events, ())
    return after.waiting(observer=None), (Reply(observer.ref, EventGiven(nothing)),)


def _to_observer(state: CellState, event: Any) -> Said:
    observer = state.waits.observer
    if observer is None:
        return state, ()
    return state.waiting(observer=None), (GiveEvent(observer.ref, state.cell.id, event),)


def _consumed(
    before: CellState, record: r.GenerationConsumed, after: CellState, now_ns: int
) -> Said:
    resuming = after.waits.resuming
    state = after.waiting(resuming=None)
    if resuming is not None and not state.waits.adopting_since_ns:
        # Confirmed is what Continue brought. Of an adopted worker that is not sure.
        state = state.waiting(delivered=max(state.waits.delivered, resuming.brought))
    effects: list[Effect] = []
    if resuming is not None:
        # After a crash the worker may confirm for a request that was repeated later than another.
        first = (resuming.ref, resuming.generation, resuming.then_observe)
        for ref, generation, then in (first, *resuming.followers):
            if ref != record.request:
                lost = AlreadyGiven(generation, Phase.RUNNING.value, record.generation)
                effects.append(Reply(ref, lost))
            elif then is not None:
                state = state.waiting(observer=then)
            else:
                effects.append(Reply(ref, ResumedGiven(record.generation)))
    state, delivery = deliver(state)
    return state, (*effects, *delivery)


def _input(before: CellState, record: Any, after: CellState, now_ns: int) -> Said:
    return deliver(after)


def deliver(state: CellState) -> Said:
    """Send the worker what the journal has and the cell may take, and no more."""
    cell = state.cell
    if state.phase is not Phase.RUNNING or not state.hears or state.waits.adopting_at_ns:
        return state, ()
    last = min(cell.inputs, cell.upto) if cell.pausable else cell.inputs
    first = max(state.waits.delivered, cell.taken) + 1
    if first > last:
        return state, ()
    gift = GiveInputs(state.token, cell.id, state.have, first, last)
    return state.waiting(delivered=last, acked=state.have, unacked=0), (gift,)


def _restored(before: CellState, record: r.CellRestored, after: CellState, now_ns: int) -> Said:
    """The cell is where the journal has it: what could not be said to it meanwhile is said now."""
    state = after.waiting(replay=None, acked=record.seq, unacked=0)
    effects: list[Effect] = [GiveAcknowledge(state.token, record.seq)]
    state, delivery = deliver(state)
    effects += delivery
    resuming = state.waits.resuming
    if resuming is not None:
        # The first Continue that this worker is sent, and it has more to bring by now.
        resuming = replace(
            resuming,
            brought=min(resuming.upto, state.cell.inputs),
            repeat_ns=CONTINUE_REPEAT_NS,
            repeat_at_ns=now_ns + CONTINUE_REPEAT_NS,
        )
        state = state.waiting(resuming=resuming)
        effects.append(continue_of(state, resuming))
    return state, tuple(effects)


def _diverged(before: CellState, record: r.ReplayDiverged, after: CellState, now_ns: int) -> Said:
    waits = after.waits
    waiting = [] if waits.observer is None else [waits.observer.ref]
    if waits.resuming is not None:
        waiting += [waits.resuming.ref, *(ref for ref, _, _ in waits.resuming.followers)]
    effects: list[Effect] = [KillWorker(after.token)]
    effects += [RefuseDiverged(ref, after.cell.id, record.divergence) for ref in waiting]
    state = replace(after, waits=waits.without_worker())
    return state.waiting(observer=None, resuming=None), tuple(effects)


def _completed(before: CellState, record: r.CellCompleted, after: CellState, now_ns: int) -> Said:
    by_worker = record.event.reason in (Reason.ENDED, Reason.RAISED, Reason.REFUSED)
    effects: list[Effect] = []
    state = after
    if record.event.reason is Reason.LIMIT or by_worker:
        # The worker waits for Bye; one that exceeded a limit may never read it.
        effects.append(GiveBye(after.token))
        state = state.waiting(kill_at_ns=now_ns + EXIT_NS_MAX)
    return _end(before, state, now_ns, effects, worker_lives=False)


def _terminated(before: CellState, record: r.CellTerminated, after: CellState, now_ns: int) -> Said:
    lives = bool(after.token) and after.waits.forked
    effects: list[Effect] = [KillWorker(after.token)] if lives else []
    return _end(before, after, now_ns, effects, worker_lives=lives)


def _end(
    before: CellState, state: CellState, now_ns: int, effects: list[Effect], *, worker_lives: bool
) -> Said:
    effects += [
        TellHost(call.attachment, CallWithdrawn(CallRef(state.cell.id, call.number)))
        for call in before.cell.calls.values()
        if call.state is CallState.DISPATCHED
    ]
    ending = Ending(now_ns + GRACE_NS, now_ns + KILL_NS_MAX, worker_lives)
    state, told = end_if_done(state.waiting(ending=ending), now_ns)
    return state, (*effects, *told)


def end_if_done(state: CellState, now_ns: int) -> Said:
    """Tell the end when the worker is gone and cancelled calls have ended, or had their time."""
    ending = state.waits.ending
    if ending is None:
        return state, ()
    calls = bool(state.cell.calls) and now_ns < ending.calls_until_ns  # 0: they had their time
    if calls or (ending.worker_lives and now_ns < ending.worker_until_ns):
        return state, ()
    return _tell_end(state)


def _tell_end(state: CellState) -> Said:
    cell, waits = state.cell, state.waits
    final = cell.final
    if final is None:
        raise AssertionError("only a finished cell has an end to tell")
    waiting = list(waits.final_for)
    if waits.observer is not None:
        waiting.append(waits.observer.ref)
    effects: list[Effect] = [GiveEvent(ref, cell.id, final) for ref in waiting]
    if waits.resuming is not None:
        effects += _unresumed(state, waits.resuming)
    state = state.waiting(ending=None, final_for=(), observer=None, resuming=None)
    return state, tuple(effects)


def _unresumed(state: CellState, resuming: Resuming) -> list[Effect]:
    final = state.cell.final
    outcome = "terminated" if final and final.kind is EventKind.TERMINATED else "completed"
    closed = f"the cell has {outcome} before it was resumed; its final event can still be read"
    refused = [resuming.ref, *(ref for ref, _, _ in resuming.followers)]
    if final is not None and final.reason in (Reason.LOST, Reason.POISON):
        # All of them waited for this one outcome; the first may have given up waiting since.
        why = final.error or "the worker is gone"
        text = f"{why}; frontier() still has generation {resuming.generation}"
        return [Refuse(ref, "worker_lost", text, {"reason": why}) for ref in refused]
    return [Refuse(ref, "cell_closed", closed, {"outcome": outcome}) for ref in refused]


_ANNOUNCE: dict[type, Callable[[CellState, Any, CellState, int], Said]] = {
    r.WorkerSaid: _said,
    r.FrontierReached: _frontier,
    r.YieldMade: _yielded,
    r.GenerationConsumed: _consumed,
    r.CallFinished: _input,
    r.TimerDue: _input,
    r.CellRestored: _restored,
    r.ReplayDiverged: _diverged,
    r.CellCompleted: _completed,
    r.CellTerminated: _terminated,
}
