"""What the fleet does when a host asks: which cell, which request, said before or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...protocol import host_requests as h
from ...protocol import limits
from ...protocol.host_answers import Done, Refused, ResumedGiven, Unattached
from ...protocol.ids import RequestRef
from . import ask_steps as steps
from . import events as e
from .attach_routes import detach_observer, on_attach, on_close, on_detach
from .changes import replace
from .create_routes import on_create
from .effects import Read, Refuse, Reply, TellConnection
from .endings import drop_backlog
from .fleet import Fleet
from .hibernation import on_hibernate
from .hosts import Attachment
from .law import CellState, Observer
from .offers import on_finish_call, on_notice_received, on_run_again
from .stored import on_stored_set
from .watching import never_watch

#: What a former holder may still do after its session was taken over.
_AFTER_TAKEN = (h.FinishCall, h.Detach, h.NoticeReceived, h.Cancel)


def on_asked(fleet: Fleet, event: e.HostAsked, journal: int, now_ns: int) -> RequestRef | None:
    """One request. Returns the name by which it is answered, or None when it is not."""
    request, connection = event.request, event.connection
    ask = request.ask
    if isinstance(ask, h.Attach):
        return on_attach(fleet, connection, request.number, ask, journal, now_ns)
    attachment = fleet.attachments.get(request.attachment)
    bound = fleet.connections.get(connection)
    if attachment is not None and attachment.left and bound == request.attachment:
        return _after_leaving(fleet, h.ref(request), ask)
    if attachment is None or attachment.ended or bound != request.attachment:
        unknown = Unattached(request.number, fleet.world.epoch)
        fleet.speak(TellConnection(connection, unknown))
        return None
    ref = h.ref(request)
    if request.number < attachment.answered:
        fleet.dropped += 1  # its host has had the answer, and what was kept for repeats is gone
        return None
    _note_answers(fleet, attachment, request, now_ns)
    for known in request.acknowledged:
        _acknowledge(fleet, known.cell, known.number, now_ns)
    if _taken(fleet, attachment) and not isinstance(ask, _AFTER_TAKEN):
        text = f"session {attachment.session!r} has been taken over by another host; open it again"
        fleet.speak(Refuse(ref, "session_taken", text))
        return ref
    _ASKS[type(ask)](fleet, attachment, ref, ask, now_ns)
    return ref


def on_garbled(fleet: Fleet, event: e.HostGarbled) -> None:
    """Bytes that no honest host could have sent are answered, and change nothing."""
    text = f"the message was refused: {event.reason}"[:1_000]
    refusal = Refused(0, 0, "protocol", text, b"\x80")
    fleet.speak(TellConnection(event.connection, refusal))


def _after_leaving(fleet: Fleet, ref: RequestRef, ask: h.Ask) -> RequestRef:
    """A host that has left can hear so again, and do nothing more."""
    if isinstance(ask, (h.Detach, h.CloseSession)):
        fleet.speak(Reply(ref, Done()))
    else:
        text = "this host has left its session; open it again to go on"
        fleet.speak(Refuse(ref, "session_taken", text))
    return ref


def _taken(fleet: Fleet, attachment: Attachment) -> bool:
    session = fleet.sessions.get(attachment.session)
    return session is not None and session.holder != attachment.number


def _note_answers(fleet: Fleet, attachment: Attachment, request: h.Request, now_ns: int) -> None:
    """The host has its answers to everything below `answered`: forget what is kept for repeats."""
    if request.answered <= attachment.answered:
        return
    gone = range(attachment.answered, request.answered)
    if len(gone) <= limits.REQUESTS_IN_FLIGHT_MAX:
        refs = [RequestRef(attachment.number, number) for number in gone]
    else:
        known = [*fleet.answers, *fleet.places]
        refs = [ref for ref in known if ref.attachment == attachment.number and ref.number in gone]
    for ref in refs:
        name = fleet.places.get(ref)
        if name is not None and name in fleet.cells:
            # Nobody waits for this answer any more, even if the Cancel was lost.
            detach_observer(fleet, name, ref.attachment, ref.number, now_ns)
        fleet.forget_request(ref)
    fleet.attachments[attachment.number] = replace(
        fleet.attachments[attachment.number], answered=request.answered
    )


def _acknowledge(fleet: Fleet, cell: str, number: int | None, now_ns: int) -> None:
    state = fleet.cells.get(cell)
    if state is not None:
        fleet.settle(steps.acknowledge(state, number), now_ns)


# -- cells ----------------------------------------------------------------------------------------


def find_cell(fleet: Fleet, ref: RequestRef, cell: str) -> CellState | None:
    """The cell, or a refusal that says it is unknown."""
    state = fleet.cells.get(cell)
    if state is not None:
        fleet.places[ref] = cell
    else:
        text = f"there is no cell {cell!r} here; list them with cells()"
        fleet.speak(Refuse(ref, "cell_not_found", text, {"cell_id": cell}))
    return state


def _observe(
    fleet: Fleet, attachment: Attachment, ref: RequestRef, ask: h.Observe, now_ns: int
) -> None:
    _acknowledge(fleet, ask.cell, ask.after, now_ns)
    state = _detached(fleet, attachment, ref, ask, now_ns)
    if state is not None:
        by = str(attachment)
        step = steps.observe(state, ref, ask.after, ask.yield_after_ns, by, now_ns)
        fleet.settle(step, now_ns)
        if not any(isinstance(effect, Refuse) for effect in step.effects):
            fleet.settle(steps.first_observed(fleet.cells[ask.cell]), now_ns)


def _wait(
    fleet: Fleet, attachment: Attachment, ref: RequestRef, ask: h.WaitToPending, now_ns: int
) -> None:
    state = _detached(fleet, attachment, ref, ask, now_ns)
    if state is not None:
        fleet.settle(steps.wait_to_pending(state, ref, str(attachment), now_ns), now_ns)


def _detached(
    fleet: Fleet, attachment: Attachment, ref: RequestRef, ask: Any, now_ns: int
) -> CellState | None:
    state = find_cell(fleet, ref, ask.cell)
    if state is None or not ask.take_over:
        return state
    if state.cell.pausable != isinstance(ask, h.WaitToPending):
        return state  # it will be refused, and a refusal changes nothing
    if (getattr(ask, "after", None) or 0) > state.cell.output.events:
        return state
    return fleet.settle(steps.displace(state, ref, str(attachment)), now_ns)


def _resume(
    fleet: Fleet, attachment: Attachment, ref: RequestRef, ask: h.Resume, now_ns: int
) -> None:
    if _repeat_of_consumed(fleet, ref, ask.cell, ask.generation):
        fleet.speak(Reply(ref, ResumedGiven(ask.generation)))
        return
    _acknowledge(fleet, ask.cell, ask.after, now_ns)
    state = find_cell(fleet, ref, ask.cell)
    if state is not None:
        fleet.settle(steps.resume(state, ref, ask.generation, now_ns), now_ns)


def _step(fleet: Fleet, attachment: Attachment, ref: RequestRef, ask: h.Step, now_ns: int) -> None:
    state = find_cell(fleet, ref, ask.cell)
    if state is None:
        return
    if _repeat_of_consumed(fleet, ref, ask.cell, ask.generation):
        # A crash has lost its place, and somebody else may have taken it meanwhile.
        state = fleet.settle(steps.displace(state, ref, str(attachment)), now_ns)
        observer = Observer(ref, now_ns, str(attachment), None, None)
        fleet.settle(steps.after_step(state, observer), now_ns)
        return
    _acknowledge(fleet, ask.cell, ask.after, now_ns)
    state = fleet.cells[ask.cell]
    fleet.settle(steps.step(state, ref, ask.generation, str(attachment), now_ns), now_ns)


def _repeat_of_consumed(fleet: Fleet, ref: RequestRef, cell: str, generation: int) -> bool:
    known = fleet.answers.get(ref)
    return known is not None and (known.kind, known.cell) == (f"consumed {generation}", cell)


def _terminate(
    fleet: Fleet, attachment: Attachment, ref: RequestRef, ask: h.Terminate, now_ns: int
) -> None:
    _acknowledge(fleet, ask.cell, ask.after, now_ns)
    state = find_cell(fleet, ref, ask.cell)
    if state is not None:
        fleet.settle(steps.terminate(state, ref), now_ns)
        drop_backlog(fleet, state.cell)


def _cancel(
    fleet: Fleet, attachment: Attachment, ref: RequestRef, ask: h.Cancel, now_ns: int
) -> None:
    never_watch(fleet, attachment.number, ask.request)
    name = fleet.places.get(RequestRef(attachment.number, ask.request))
    if name is not None and name in fleet.cells:
        detach_observer(fleet, name, attachment.number, ask.request, now_ns)


# -- the rest -------------------------------------------------------------------------------------


def _detach(
    fleet: Fleet, attachment: Attachment, ref: RequestRef, ask: h.Detach, now_ns: int
) -> None:
    on_detach(fleet, ref, now_ns)


def _close(
    fleet: Fleet, attachment: Attachment, ref: RequestRef, ask: h.CloseSession, now_ns: int
) -> None:
    on_close(fleet, ref)


def _finish_call(
    fleet: Fleet, attachment: Attachment, ref: RequestRef, ask: h.FinishCall, now_ns: int
) -> None:
    state = find_cell(fleet, ref, ask.call.cell)
    if state is not None:
        on_finish_call(fleet, state, ref, ask, now_ns)


def _run_again(
    fleet: Fleet, attachment: Attachment, ref: RequestRef, ask: h.RunAgain, now_ns: int
) -> None:
    state = find_cell(fleet, ref, ask.call.cell)
    if state is not None:
        on_run_again(fleet, state, ref, ask, now_ns)


def _notice(
    fleet: Fleet, attachment: Attachment, ref: RequestRef, ask: h.NoticeReceived, now_ns: int
) -> None:
    state = fleet.cells.get(ask.cell)
    if state is not None:
        on_notice_received(fleet, state, ref, ask, now_ns)


def _hibernate(
    fleet: Fleet, attachment: Attachment, ref: RequestRef, ask: h.Hibernate, now_ns: int
) -> None:
    if find_cell(fleet, ref, ask.cell) is not None:
        on_hibernate(fleet, attachment, ref, ask, now_ns)


def _read(fleet: Fleet, attachment: Attachment, ref: RequestRef, ask: Any, now_ns: int) -> None:
    cell = getattr(ask, "cell", None)
    of_session = isinstance(ask, h.AskEvents) and not ask.cell
    if cell is not None and not of_session and find_cell(fleet, ref, cell) is None:
        return
    if isinstance(ask, h.ListCells) and ask.state not in CELL_STATES:
        text = f"no cell is {ask.state!r}; the states are {', '.join(CELL_STATES[1:])}"
        fleet.speak(Refuse(ref, "protocol", text))
        return
    session = ask.session if isinstance(ask, h.AskEvents) else ""
    fleet.speak(Read(ref, ask, session or attachment.session))


#: By which cells can be listed: "" is any, "unfinished" every one that has not ended.
CELL_STATES = (
    *("", "unfinished", "starting", "running", "paused", "continuing", "recovering", "idle"),
    *("completed", "terminated"),
)

_ASKS: dict[type, Callable[[Fleet, Attachment, RequestRef, Any, int], None]] = {
    h.Detach: _detach,
    h.CloseSession: _close,
    h.CreateCell: on_create,
    h.Observe: _observe,
    h.WaitToPending: _wait,
    h.Resume: _resume,
    h.Step: _step,
    h.Terminate: _terminate,
    h.Cancel: _cancel,
    h.FinishCall: _finish_call,
    h.RunAgain: _run_again,
    h.NoticeReceived: _notice,
    h.Hibernate: _hibernate,
    h.StoredSet: on_stored_set,
    h.AskEvents: _read,
    h.AskStatus: _read,
    h.AskHistory: _read,
    h.AskFrontier: _read,
    h.ListCells: _read,
    h.ListSessions: _read,
    h.AskInfo: _read,
    h.StoredGet: _read,
    h.StoredKeys: _read,
    h.ListCalls: _read,
}
