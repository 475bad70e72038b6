"""Tool calls and notifications on their way to the holder, and what becomes of them."""

from __future__ import annotations

from typing import Final

from ...protocol.host_answers import CallWithdrawn, Done, NoticeOffered
from ...protocol.host_requests import CallRef, FinishCall, NoticeReceived, RunAgain
from ...protocol.ids import RequestRef, tool_id
from ...protocol.limits import NOTIFICATIONS_KEPT_MAX, UNDERWAY_MAX
from ...protocol.packed import InputKind, OnUnknown, PackedInput
from . import records as r
from .announce import end_if_done
from .changes import replace
from .deadlines import too_many_inputs
from .effects import OfferCall, Refuse, Reply, TellHost
from .endings import end_by_limit
from .facts import Call, CallState, Phase
from .fleet import Fleet
from .hosts import Attachment
from .law import CellState, Outcome

#: How many of a cell's notifications are kept for a holder that is there and slow to take them.
NOTICES_HELD_MAX: Final = 10 * NOTIFICATIONS_KEPT_MAX


def holder_of(fleet: Fleet, session: str) -> Attachment | None:
    """The attachment that holds the session, if it is there."""
    found = fleet.sessions.get(session)
    if found is None or not found.holder:
        return None
    holder = fleet.attachments.get(found.holder)
    return holder if holder is not None and not holder.ended else None


def offer_calls(fleet: Fleet, session: str, now_ns: int) -> None:
    """Dispatch waiting calls of the session to its holder, as many as may be under way."""
    holder = holder_of(fleet, session)
    if holder is None:
        return
    room = UNDERWAY_MAX - holder.underway
    chosen: dict[str, list[int]] = {}
    for cell, number in fleet.backlog(session):
        if room <= 0:
            break
        chosen.setdefault(cell, []).append(number)
        room -= 1
    for cell, numbers in chosen.items():
        for number in numbers:
            fleet.backlog(session).pop((cell, number))
        _dispatch(fleet, fleet.cells[cell], holder.number, numbers, now_ns)


def _dispatch(
    fleet: Fleet, state: CellState, holder_number: int, numbers: list[int], now_ns: int
) -> None:
    holder = fleet.attachments[holder_number]
    offered = [n for n in numbers if holder.tool(state.cell.calls[n].tool) is not None]
    if offered:
        record = r.CallsDispatched(holder.number, tuple(offered))
        state = fleet.settle(Outcome(state, records=(record,)), now_ns)
        _underway(fleet, holder.number, len(offered))
        for number in offered:
            fleet.speak(_offer(state, state.cell.calls[number]))
    for number in numbers:
        if number not in offered and number in state.cell.calls:
            tool = state.cell.calls[number].tool
            text = f"the tool {tool!r} is not offered by the host that holds the session now"
            state = _input(fleet, state, number, InputKind.ERROR, b"", text, now_ns)


def _offer(state: CellState, call: Call) -> OfferCall:
    cell = state.cell
    return OfferCall(call.attachment, cell.session, cell.id, call.number, call.tool, call.attempt)


def offer_again(fleet: Fleet, attachment: Attachment, holding: frozenset[CallRef]) -> None:
    """After a reconnect: what the attachment was sent and does not hold."""
    underway = 0
    for state in list(fleet.cells.values()):
        for call in state.cell.calls.values():
            if call.attachment != attachment.number:
                continue
            ref = CallRef(state.cell.id, call.number)
            underway += call.state in (CallState.DISPATCHED, CallState.WITHDRAWN)
            if call.state is CallState.DISPATCHED and ref not in holding:
                fleet.speak(_offer(state, call))
            elif call.state is CallState.WITHDRAWN:
                fleet.speak(TellHost(attachment.number, CallWithdrawn(ref)))
    # Notifications are offered anew and counted then.
    fleet.attachments[attachment.number] = replace(attachment, underway=underway)


def offer_all(fleet: Fleet, session: str, now_ns: int) -> None:
    """Everything that waits for the session's holder, from the last that it has acknowledged."""
    offer_calls(fleet, session, now_ns)
    for name in [name for name in fleet.notices if fleet.cells[name].cell.session == session]:
        fleet.notices[name] = ()
        offer_notices(fleet, name, now_ns)


def _underway(fleet: Fleet, attachment: int, change: int) -> None:
    found = fleet.attachments.get(attachment)
    if found is not None:
        count = max(0, found.underway + change)
        fleet.attachments[attachment] = replace(found, underway=count)


def withdraw(fleet: Fleet, cell: str, number: int, attachment: int) -> None:
    """Tell the host that nobody waits for this call any more."""
    fleet.speak(TellHost(attachment, CallWithdrawn(CallRef(cell, number))))


# -- results --------------------------------------------------------------------------------------


def on_finish_call(
    fleet: Fleet, state: CellState, ref: RequestRef, ask: FinishCall, now_ns: int
) -> None:
    """A host says how a call has ended; the journal takes it once."""
    number = ask.call.number
    call = state.cell.calls.get(number)
    if call is None:
        if not 1 <= number <= state.cell.calls_made:
            text = f"the cell has made no call {tool_id(number)}"
            fleet.speak(Refuse(ref, "protocol", text))
        else:
            fleet.dropped += 1  # it has been taken before, or nobody waits for it any more
            fleet.speak(Reply(ref, Done()))
        return
    if ask.kind is InputKind.TIMER:
        fleet.speak(Refuse(ref, "protocol", "a call ends with a result or an error"))
        return
    if not _may_finish(fleet, state.cell.session, call, ref):
        text = f"{tool_id(number)} can be finished by the host that runs it or holds the session"
        fleet.speak(Refuse(ref, "protocol", text))
        return
    if call.state is CallState.FINISHED:
        fleet.dropped += 1
        fleet.speak(Reply(ref, Done()))
        return
    dispatched = call.state in (CallState.DISPATCHED, CallState.WITHDRAWN)
    if call.state is CallState.WITHDRAWN:
        _let_go(fleet, state, number, now_ns)
    elif ask.cancelled:
        text = "the host cancelled the call"
        _input(fleet, state, number, InputKind.ERROR, b"", text, now_ns)
    else:
        content = ask.content if ask.kind is InputKind.RESULT else b""
        message = "" if ask.kind is InputKind.RESULT else ask.message
        _input(fleet, state, number, ask.kind, content, message, now_ns)
    fleet.speak(Reply(ref, Done()))
    if dispatched:
        _underway(fleet, call.attachment, -1)
        _room_again(fleet, call.attachment, now_ns)


def _may_finish(fleet: Fleet, session: str, call: Call, ref: RequestRef) -> bool:
    if call.state in (CallState.DISPATCHED, CallState.WITHDRAWN):
        return call.attachment == ref.attachment
    if call.state is CallState.FINISHED:
        return True  # a repeat
    holder = holder_of(fleet, session)
    return holder is not None and holder.number == ref.attachment


def _room_again(fleet: Fleet, attachment: int, now_ns: int) -> None:
    found = fleet.attachments.get(attachment)
    if found is None or not found.session:
        return
    if len(fleet.backlog(found.session)):
        offer_calls(fleet, found.session, now_ns)
    for cell in [n for n in fleet.notices if fleet.cells[n].cell.session == found.session]:
        if fleet.attachments[attachment].underway >= UNDERWAY_MAX:
            return
        offer_notices(fleet, cell, now_ns)


def _let_go(fleet: Fleet, state: CellState, number: int, now_ns: int) -> None:
    """The host has let go of a call that nobody waits for."""
    state = fleet.settle(Outcome(state, records=(r.CallsCancelled((number,)),)), now_ns)
    state, effects = end_if_done(state, now_ns)
    fleet.speak(*effects)
    fleet.put(state, now_ns)


def _input(
    fleet: Fleet,
    state: CellState,
    number: int,
    kind: InputKind,
    content: bytes,
    message: str,
    now_ns: int,
    *,
    unknown: bool = False,
) -> CellState:
    """A call's end becomes the cell's next input."""
    over = too_many_inputs(state)
    if over is not None:
        end_by_limit(fleet, state, over, now_ns)
        return fleet.cells[state.cell.id]
    cell = state.cell
    fleet.backlog(cell.session).pop((cell.id, number))
    packed = PackedInput(cell.inputs + 1, kind, number, content, message, unknown, 0, now_ns)
    body = fleet.world.packers.input(packed)
    record = r.CallFinished(number, kind, packed.number, fleet.world.packers.digest_of(body))
    row = r.Content(cell.id, r.INPUT, packed.number, body)
    return fleet.settle(Outcome(state, records=(record,), contents=(row,)), now_ns)


# -- hosts that end -------------------------------------------------------------------------------


def orphan_calls(fleet: Fleet, attachment: Attachment, now_ns: int) -> None:
    """The attachment has ended: nobody knows what became of the calls that it had."""
    for name in list(fleet.cells):
        state = fleet.cells[name]
        calls = [c for c in state.cell.calls.values() if c.attachment == attachment.number]
        let_go = tuple(c.number for c in calls if c.state is CallState.WITHDRAWN)
        lost = [c for c in calls if c.state is CallState.DISPATCHED]
        if let_go:
            for number in let_go:
                _let_go(fleet, fleet.cells[name], number, now_ns)
        if lost and state.cell.phase is not Phase.FINISHED:
            numbers = tuple(call.number for call in lost)
            record = r.CallsUnknown(numbers)
            fleet.settle(Outcome(fleet.cells[name], records=(record,)), now_ns)
            for call in lost:
                _decide_unknown(fleet, name, call, attachment, now_ns)


def _decide_unknown(
    fleet: Fleet, name: str, call: Call, attachment: Attachment, now_ns: int
) -> None:
    spec = attachment.tool(call.tool)
    if spec is not None and spec.on_unknown is OnUnknown.RETRY:
        return_call(fleet, fleet.cells[name], call.number, now_ns)
    elif spec is not None and spec.on_unknown is OnUnknown.FAIL:
        text = f"the host that ran {call.tool} has ended; whether it took effect is not known"
        state = fleet.cells[name]
        _input(fleet, state, call.number, InputKind.ERROR, b"", text, now_ns, unknown=True)


def return_call(fleet: Fleet, state: CellState, number: int, now_ns: int) -> None:
    """The call waits to be dispatched once more."""
    state = fleet.settle(Outcome(state, records=(r.CallsReturned((number,)),)), now_ns)
    fleet.backlog(state.cell.session)[(state.cell.id, number)] = None


def _runs_again(call: Call) -> bool:
    again = {CallState.WAITING: 1, CallState.DISPATCHED: 2}.get(call.state)
    return again is not None and call.attempt >= again


def on_run_again(
    fleet: Fleet, state: CellState, ref: RequestRef, ask: RunAgain, now_ns: int
) -> None:
    """Somebody decides that a call of unknown outcome is to be run again."""
    call = state.cell.calls.get(ask.call.number)
    if call is not None and _runs_again(call):
        fleet.speak(Reply(ref, Done()))  # a repeat
        return
    if call is None or call.state is not CallState.UNKNOWN:
        text = f"{tool_id(ask.call.number)} has no unknown outcome, so it cannot be run again"
        fleet.speak(Refuse(ref, "protocol", text))
        return
    return_call(fleet, state, call.number, now_ns)
    fleet.speak(Reply(ref, Done()))
    offer_calls(fleet, state.cell.session, now_ns)


# -- notifications --------------------------------------------------------------------------------


def offer_notices(fleet: Fleet, name: str, now_ns: int) -> None:
    """Offer a cell's notifications to the holder, in order, as many as may be under way."""
    holder = holder_of(fleet, fleet.cells[name].cell.session)
    state = _keep_newest(fleet, name, holder, now_ns)
    window = fleet.notices.get(name) or ()
    fleet.notices[name] = window
    waiting = state.cell.notices
    room = 0 if holder is None else UNDERWAY_MAX - holder.underway
    if holder is None or room <= 0 or not waiting:
        return
    # Their numbers have no gaps, so the first that was not offered is found by counting.
    first = max(0, window[-1] + 1 - waiting[0][0]) if window else 0
    chosen = waiting[first : first + room]
    fleet.notices[name] = (*window, *(number for number, _ in chosen))
    _underway(fleet, holder.number, len(chosen))
    for number, text in chosen:
        fleet.speak(TellHost(holder.number, NoticeOffered(name, number, text)))


def _keep_newest(fleet: Fleet, name: str, holder: Attachment | None, now_ns: int) -> CellState:
    """The cell without the oldest notifications, when more wait than are kept.

    Those under way stay counted until the holder has them: one that reads nothing is sent no more.
    """
    state = fleet.cells[name]
    keep = NOTIFICATIONS_KEPT_MAX if holder is None else NOTICES_HELD_MAX
    if len(state.cell.notices) <= keep:
        return state
    upto = state.cell.notices_made - keep
    return fleet.settle(Outcome(state, records=(r.NoticesDelivered(upto),)), now_ns)


def on_notice_received(
    fleet: Fleet, state: CellState, ref: RequestRef, ask: NoticeReceived, now_ns: int
) -> None:
    """A holder has notifications: they need not be offered again."""
    name, session = state.cell.id, state.cell.session
    if fleet.attachments[ref.attachment].session != session:
        fleet.dropped += 1  # they are not for this host
        return
    notices = state.cell.notices
    if notices and notices[0][0] <= ask.upto:
        upto = min(ask.upto, state.cell.notices_made)
        state = fleet.settle(Outcome(state, records=(r.NoticesDelivered(upto),)), now_ns)
    window = fleet.notices.get(name) or ()
    left = tuple(number for number in window if number > ask.upto)
    if left or state.cell.notices:
        fleet.notices[name] = left
    else:
        fleet.notices.pop(name)
    holder = holder_of(fleet, session)
    if holder is not None and len(left) < len(window):
        _underway(fleet, holder.number, len(left) - len(window))
        _room_again(fleet, holder.number, now_ns)
