"""What a cell does when a host asks: one function per request, each an `Outcome`."""

from __future__ import annotations

from ...protocol.host_answers import AlreadyGiven, EventGiven, ResumedGiven
from ...protocol.ids import RequestRef
from ...protocol.packed import EventKind, PackedEvent, Stepping
from . import records as r
from .changes import replace
from .effects import GiveContinue, GiveEvent, Refuse, Reply
from .facts import Cell, EventMark, Phase
from .law import CellState, Observer, Outcome, Resuming

CONTINUE_REPEAT_NS = 250_000_000  # the first repeat of an unconfirmed Continue; then doubling
CONTINUE_REPEAT_NS_MAX = 5_000_000_000


def wrong_kind(state: CellState, ref: RequestRef, verb: str) -> Outcome:
    """A verb of the other kind of cell."""
    kind = state.cell.kind.value
    instead = "wait_to_pending() and resume()" if state.cell.pausable else "observe()"
    text = f"{verb} is not for a {kind} cell; use {instead}"
    return Outcome(state, effects=(Refuse(ref, "wrong_cell_kind", text, {"kind": kind}),))


def acknowledge(state: CellState, number: int | None) -> Outcome:
    """A handle has received event `number`. Anything but the current event is no news."""
    event, final = state.cell.output.event, state.cell.final
    if final is not None and number == final.number and not state.cell.final_seen:
        return Outcome(state, records=(r.EventAcknowledged(number),))
    if event is None or number != event.number:
        return Outcome(state)
    return Outcome(state, records=(r.EventAcknowledged(number),))


def _closed(state: CellState, ref: RequestRef, wish: str) -> Outcome:
    outcome = outcome_of(state.cell)
    text = f"the cell has {outcome}, so it cannot {wish}; its final event can still be read"
    return Outcome(state, effects=(Refuse(ref, "cell_closed", text, {"outcome": outcome}),))


def outcome_of(cell: Cell) -> str:
    """How a finished cell has ended: "completed" or "terminated"."""
    final = cell.final
    return "terminated" if final and final.kind is EventKind.TERMINATED else "completed"


def _busy(state: CellState, ref: RequestRef, observer: Observer) -> Outcome:
    text = (
        f"{observer.by} is already observing this cell; "
        "wait for it, or detach it with take_over=True"
    )
    attributes = {"since": observer.since_ns / 1e9, "by": observer.by}
    return Outcome(state, effects=(Refuse(ref, "busy_observer", text, attributes),))


def displace(state: CellState, ref: RequestRef, by: str) -> Outcome:
    """Detach the observer that waits, because another takes its place."""
    old = state.waits.observer
    if old is None or old.ref == ref:
        return Outcome(state)
    text = f"{by} took this observation over; observe again to go on"
    refusal = Refuse(old.ref, "busy_observer", text, {"since": old.since_ns / 1e9, "by": by})
    return Outcome(state.waiting(observer=None), effects=(refusal,))


def _in_the_way(state: CellState, ref: RequestRef) -> Observer | None:
    observer = state.waits.observer
    return None if observer is None or observer.ref == ref else observer


def observe(
    state: CellState,
    ref: RequestRef,
    after: int | None,
    yield_after_ns: int,
    by: str,
    now_ns: int,
) -> Outcome:
    """The event after `after` of a continuing cell."""
    cell = state.cell
    if cell.pausable:
        return wrong_kind(state, ref, "observe()")
    if after is not None and after > cell.output.events:
        text = f"event {after} was never made; the last is {cell.output.events}"
        return Outcome(state, effects=(Refuse(ref, "protocol", text),))
    repeat = cell.output.event
    if repeat is not None and (after is None or after < repeat.number):
        return Outcome(state, effects=(GiveEvent(ref, cell.id, repeat),))
    if cell.final is not None:
        if after is not None and after >= cell.final.number:
            return _closed(state, ref, "give another event")
        return _final(state, ref)
    blocker = _in_the_way(state, ref)
    if blocker is not None:
        return _busy(state, ref, blocker)
    mark = cell.output.yield_mark
    if mark is not None and not cell.output.observed:
        return _yield_now(_watched(state, ref, by, None, now_ns), mark)
    if yield_after_ns == 0:
        return _yield_now(_watched(state, ref, by, None, now_ns), cell.output.total)
    return Outcome(_watched(state, ref, by, yield_after_ns, now_ns))


def first_observed(state: CellState) -> Outcome:
    """Somebody has observed, whatever was handed over: from now on no yield is remembered."""
    output = state.cell.output
    if output.observed or state.cell.final is not None:
        return Outcome(state)
    return Outcome(state, records=(r.FirstObserved(),))


def _watched(
    state: CellState, ref: RequestRef, by: str, yield_after_ns: int | None, now_ns: int
) -> CellState:
    old = state.waits.observer
    since = old.since_ns if old is not None and old.ref == ref else now_ns
    deadline = None
    if yield_after_ns is not None and state.phase is not Phase.STARTING:
        deadline = since + yield_after_ns
        if old is not None and old.ref == ref and old.deadline_ns is not None:
            deadline = old.deadline_ns
    return state.waiting(observer=Observer(ref, since, by, yield_after_ns, deadline))


def yield_to_observer(state: CellState, stop: int) -> Outcome:
    """Hand the output up to position `stop` to the observer that waits."""
    return _yield_now(state, stop)


def _yield_now(state: CellState, stop: int) -> Outcome:
    observer = state.waits.observer
    if observer is None:
        raise AssertionError("a yield needs an observer")
    output = state.cell.output
    if stop > output.start:
        event = EventMark(EventKind.YIELDED, output.events + 1, output.start, stop)
        return Outcome(state, records=(r.YieldMade(event),), answers=observer.ref)
    # Without output there is no event: it has the number of the last one.
    nothing = PackedEvent(EventKind.YIELDED, output.events, ())
    reply = Reply(observer.ref, EventGiven(nothing))
    return Outcome(state.waiting(observer=None), effects=(reply,))


def _final(state: CellState, ref: RequestRef) -> Outcome:
    """The final event: at once, or when the end has been carried out."""
    if state.waits.ending is not None:
        if ref in state.waits.final_for:
            return Outcome(state)
        return Outcome(state.waiting(final_for=(*state.waits.final_for, ref)))
    final = state.cell.final
    if final is None:
        raise AssertionError("the cell has not ended")
    return Outcome(state, effects=(GiveEvent(ref, state.cell.id, final),))


def wait_to_pending(state: CellState, ref: RequestRef, by: str, now_ns: int) -> Outcome:
    """The current frontier or the end; waits while the cell runs."""
    cell = state.cell
    if not cell.pausable:
        return wrong_kind(state, ref, "wait_to_pending()")
    if cell.final is not None:
        return _final(state, ref)
    if cell.phase is Phase.PAUSED and cell.frontier is not None:
        return Outcome(state, effects=(GiveEvent(ref, cell.id, cell.frontier),))
    blocker = _in_the_way(state, ref)
    if blocker is not None:
        return _busy(state, ref, blocker)
    return Outcome(_watched(state, ref, by, None, now_ns))


def resume(state: CellState, ref: RequestRef, generation: int, now_ns: int) -> Outcome:
    """The whole resume table."""
    return _resume(state, ref, generation, now_ns, None)


def step(state: CellState, ref: RequestRef, generation: int, by: str, now_ns: int) -> Outcome:
    """Resume, then the next event, in one request."""
    blocker = _in_the_way(state, ref)
    if state.cell.pausable and blocker is not None and _would_continue(state, generation):
        return _busy(state, ref, blocker)
    return _resume(state, ref, generation, now_ns, Observer(ref, now_ns, by, None, None))


def _would_continue(state: CellState, generation: int) -> bool:
    return state.phase is Phase.PAUSED and generation == state.cell.generation


def _resume(
    state: CellState, ref: RequestRef, generation: int, now_ns: int, then: Observer | None
) -> Outcome:
    cell = state.cell
    if not cell.pausable:
        return wrong_kind(state, ref, "resume()" if then is None else "step()")
    if generation < 1:
        return _invalid(state, ref, generation, "generations begin with 1")
    if cell.consumed_by == ref and cell.consumed == generation:
        return _consumed_before(state, ref, generation, then)
    if cell.phase is Phase.FINISHED:
        if generation <= cell.consumed:
            return Outcome(state, effects=(_already(state, ref, generation),))
        return _closed(state, ref, f"be resumed at generation {generation}")
    if cell.phase is not Phase.PAUSED:
        return _resume_running(state, ref, generation)
    if generation < cell.generation:
        return Outcome(state, effects=(_already(state, ref, generation),))
    if generation > cell.generation:
        return _invalid(state, ref, generation, f"the cell is paused at {cell.generation}")
    resuming = state.waits.resuming
    if resuming is None:
        return _begin(state, ref, now_ns, then)
    if resuming.ref == ref and then is not None and resuming.then_observe is None:
        return Outcome(state.waiting(resuming=replace(resuming, then_observe=then)))
    if resuming.ref == ref or any(follower == ref for follower, _, _ in resuming.followers):
        return Outcome(state)  # a repeat takes its own place
    followers = (*resuming.followers, (ref, generation, then))
    return Outcome(state.waiting(resuming=replace(resuming, followers=followers)))


def _resume_running(state: CellState, ref: RequestRef, generation: int) -> Outcome:
    if not state.cell.consumed:
        text = "the cell has not reached its first frontier yet; wait_to_pending() first"
        return _invalid(state, ref, generation, text)
    if generation <= state.cell.consumed:
        return Outcome(state, effects=(_already(state, ref, generation),))
    text = f"the cell runs; the last generation it left is {state.cell.consumed}"
    return _invalid(state, ref, generation, text)


def _invalid(state: CellState, ref: RequestRef, generation: int, why: str) -> Outcome:
    latest = latest_of(state.cell)
    text = f"generation {generation} cannot be resumed: {why}; look at frontier() and decide again"
    attributes = {"cell_id": state.cell.id, "requested": generation, "latest": latest or None}
    return Outcome(state, effects=(Refuse(ref, "invalid_generation", text, attributes),))


def latest_of(cell: Cell) -> int:
    """The current generation of a paused cell, else the last one consumed (0: none)."""
    return cell.generation if cell.phase is Phase.PAUSED else cell.consumed


def _already(state: CellState, ref: RequestRef, generation: int) -> Reply:
    cell = state.cell
    name = outcome_of(cell) if cell.final else cell.phase.value
    return Reply(ref, AlreadyGiven(generation, name, latest_of(cell)))


def _consumed_before(
    state: CellState, ref: RequestRef, generation: int, then: Observer | None
) -> Outcome:
    """This very request consumed the generation, and is repeated."""
    if then is None:
        return Outcome(state, effects=(Reply(ref, ResumedGiven(generation)),))
    return after_step(state, then)


def after_step(state: CellState, observer: Observer) -> Outcome:
    """The second half of a step: the next event, or wait for it."""
    cell = state.cell
    if cell.final is not None:
        return _final(state, observer.ref)
    if cell.phase is Phase.PAUSED and cell.frontier is not None:
        return Outcome(state, effects=(GiveEvent(observer.ref, cell.id, cell.frontier),))
    return Outcome(state.waiting(observer=observer))


def _begin(state: CellState, ref: RequestRef, now_ns: int, then: Observer | None) -> Outcome:
    cell = state.cell
    # All that is queued, or with nothing queued the first that will arrive; one with "one".
    upto = cell.inputs if cell.inputs > cell.taken else cell.taken + 1
    if cell.stepping is Stepping.ONE:
        upto = cell.taken + 1
    # The acknowledgement was a step of its own: what is no longer the cell's event was received.
    event = cell.frontier
    acknowledged = event.number if event is not None and cell.output.event is None else 0
    resuming = Resuming(
        ref=ref,
        generation=cell.generation,
        upto=upto,
        brought=min(upto, cell.inputs),
        acknowledged=acknowledged,
        then_observe=then,
        followers=(),
        repeat_ns=CONTINUE_REPEAT_NS,
        repeat_at_ns=now_ns + CONTINUE_REPEAT_NS,
    )
    state = state.waiting(resuming=resuming)
    # Without a worker it is sent when there is one again.
    return Outcome(state, effects=(continue_of(state, resuming),) if state.hears else ())


def continue_of(state: CellState, resuming: Resuming) -> GiveContinue:
    """The Continue of a resume, as often as it has to be sent."""
    cell = state.cell
    return GiveContinue(
        token=state.token,
        cell=cell.id,
        have=state.have,
        generation=resuming.generation,
        upto=resuming.upto,
        request=resuming.ref,
        acknowledged=resuming.acknowledged,
        first=cell.taken + 1,
        last=min(resuming.upto, cell.inputs),
    )


def terminate(state: CellState, ref: RequestRef) -> Outcome:
    """The end, unless it has come already: the journal decides."""
    cell = state.cell
    if cell.final is not None:
        return _final(state, ref)
    return end_by_host(state.waiting(final_for=(*state.waits.final_for, ref)), ref)


def end_by_host(state: CellState, ref: RequestRef) -> Outcome:
    """The decision to terminate; whom it is told is another matter."""
    output = state.cell.output
    event = EventMark(EventKind.TERMINATED, output.events + 1, output.start, output.total)
    return Outcome(state, records=(r.CellTerminated(event, ref),), answers=ref)
