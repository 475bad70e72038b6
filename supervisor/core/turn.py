"""One event at a time into the fleet: the entry of the core, and its recovery from records."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from ...protocol import host_requests as h
from ...protocol.classes import dataclass
from ...protocol.host_answers import EventsGiven
from ...protocol.ids import RequestRef
from ...protocol.worker_messages import Hello
from . import events as e
from . import hibernation, spares
from . import records as r
from .apply import IMPOSSIBLE, apply, created
from .attach_routes import close_if_done, end_attachment, on_examined
from .create_routes import create_key
from .deadlines import due_step, over_time, timer_due_ns, too_many_inputs
from .effects import Reply, WatchHost
from .endings import change_stored, end_by_limit
from .facts import Cell, Phase
from .fleet import Fleet, Remembered
from .host_routes import on_asked
from .host_routes import on_garbled as on_host_garbled
from .hosts import attached, ended, held_by, opened
from .losses import on_ended, on_listed, on_zygote_lost
from .past import past_of
from .watching import take_impatient
from .worker_routes import on_garbled, on_spoke
from .worker_starts import fork_some, give_up_silent, on_forked, on_not_forked


@dataclass(frozen=True, slots=True)
class NeedCell:
    """The core has to know this cell's records before it can take the event."""

    cell: str


@dataclass(frozen=True, slots=True)
class NeedKey:
    """The core has to know which cell this idempotency key has made."""

    session: str
    key: str


@dataclass(frozen=True, slots=True)
class NeedPast:
    """The core has to know all that this cell's earlier lives have said."""

    cell: str


Need: TypeAlias = NeedCell | NeedKey | NeedPast


def needs(fleet: Fleet, event: e.FleetEvent) -> list[Need]:
    """What of the journal the fleet does not have in memory and this event is about."""
    if isinstance(event, e.WorkerSpoke) and isinstance(event.message, Hello):
        return _needs_of_worker(fleet, event.token)
    if not isinstance(event, e.HostAsked):
        return []
    ask = event.request.ask
    if isinstance(ask, h.CreateCell):
        attachment = fleet.attachments.get(event.request.attachment)
        if attachment is None:
            return []
        key = create_key(ask, h.ref(event.request))
        if (attachment.session, key) not in fleet.keys:
            return [NeedKey(attachment.session, key)]
        owner, _ = fleet.keys[(attachment.session, key)]
        return [NeedCell(owner)] if owner and owner not in fleet.cells else []
    call = getattr(ask, "call", None)
    cell = call.cell if call is not None else getattr(ask, "cell", "")
    return [NeedCell(cell)] if cell and cell not in fleet.cells else []


def _needs_of_worker(fleet: Fleet, token: bytes) -> list[Need]:
    state = fleet.by_token(token)
    if state is None or not state.cell.replays or state.cell.id in fleet.pasts:
        return []
    return [NeedPast(state.cell.id)]


def learn_past(fleet: Fleet, cell: str, records: Iterable[r.Record]) -> None:
    """The answer to `NeedPast`."""
    fleet.pasts[cell] = past_of(records)


def learn_key(fleet: Fleet, need: NeedKey, owner: tuple[str, bytes] | None) -> None:
    """The answer to `NeedKey`."""
    fleet.keys[(need.session, need.key)] = owner or ("", b"")


def take(fleet: Fleet, event: e.FleetEvent, journal: int, now_ns: int) -> RequestRef | None:
    """Let the fleet take one event. Returns the request that it was, if it was one."""
    ref = None
    fleet.journal = journal
    if isinstance(event, e.HostAsked):
        ref = on_asked(fleet, event, journal, now_ns)
    elif isinstance(event, e.WorkerSpoke):
        on_spoke(fleet, event, now_ns)
    elif isinstance(event, e.TimePassed):
        on_time(fleet, now_ns)
    elif isinstance(event, e.WorkerForked):
        on_forked(fleet, event, now_ns)
    elif isinstance(event, e.WorkerEnded):
        on_ended(fleet, event, now_ns)
    elif isinstance(event, e.HostGone):
        end_attachment(fleet, event.attachment, "its process ended", now_ns)
    elif isinstance(event, e.HostGarbled):
        on_host_garbled(fleet, event)
    elif isinstance(event, e.WorkerGarbled):
        on_garbled(fleet, event, now_ns)
    elif isinstance(event, e.WorkerNotForked):
        on_not_forked(fleet, event, now_ns)
    elif isinstance(event, e.WorkersListed):
        on_listed(fleet, event, now_ns)
    elif isinstance(event, e.ZygoteLost):
        on_zygote_lost(fleet, event, now_ns)
    elif isinstance(event, e.LevelExamined):
        on_examined(fleet, event, journal, now_ns)
    elif isinstance(event, e.MemoryShort):
        hibernation.on_memory_short(fleet, now_ns)
    else:
        fleet.draining = True
        spares.drop_all(fleet)
    if len(fleet.closing):
        close_if_done(fleet, now_ns)
    if len(fleet.wake_queue) or len(fleet.fork_queue):
        fork_some(fleet, now_ns)
    return ref


def on_time(fleet: Fleet, now_ns: int) -> None:
    """Everything that is due by now, cell by cell."""
    for name in fleet.alarms.due(now_ns):
        _on_due(fleet, name, now_ns)
        fleet.put(fleet.cells[name], now_ns)
    spares.on_time(fleet, now_ns)
    for ref in take_impatient(fleet, now_ns):
        fleet.speak(Reply(ref, EventsGiven((), False)))


def _on_due(fleet: Fleet, name: str, now_ns: int) -> None:
    state = fleet.cells[name]
    over = over_time(state, now_ns)
    timer_ns = timer_due_ns(state)
    if over is None and timer_ns is not None and timer_ns <= now_ns:
        over = too_many_inputs(state)
    if over is not None and state.cell.phase is not Phase.FINISHED:
        end_by_limit(fleet, state, over, now_ns)
        return
    if 0 < state.waits.greet_by_ns <= now_ns:
        if state.cell.phase is Phase.FINISHED:
            fleet.put(state.waiting(greet_by_ns=0), now_ns)
        else:
            give_up_silent(fleet, state, now_ns)
            state = fleet.cells[name]
    if state.waits.retry_at_ns and state.waits.retry_at_ns <= now_ns:
        fleet.put(state.waiting(retry_at_ns=0), now_ns)
    while (outcome := due_step(fleet.cells[name], fleet.world.packers, now_ns)) is not None:
        fleet.settle(outcome, now_ns)
    hibernation.on_due(fleet, name, now_ns)


# -- recovery -------------------------------------------------------------------------------------


def cell_from(entries: Iterable[tuple[r.Record, int]]) -> Cell | None:
    """One cell's facts from its records, oldest first, each with the time when it was written.

    Raises:
        Unreadable: these cannot be the records of a cell.
    """
    cell: Cell | None = None
    for record, at_ns in entries:
        try:
            if isinstance(record, r.CellCreated):
                cell = created(record, at_ns)
            elif cell is not None and not isinstance(record, _OF_SESSIONS):
                cell = apply(cell, record, at_ns)
        except IMPOSSIBLE as error:
            name = type(record).__name__
            text = f"its {name} cannot follow the records before it: {type(error).__name__}"
            raise r.Unreadable(text) from error
    return cell


_OF_SESSIONS = (r.SessionOpened, r.AttachmentOpened, r.AttachmentEnded, r.StoredChanged)


def recover_session(fleet: Fleet, record: r.Record, at_ns: int) -> None:
    """One record of a session or a host, read back."""
    if isinstance(record, r.SessionOpened):
        fleet.sessions[record.session] = opened(record, at_ns)
    elif isinstance(record, r.AttachmentOpened):
        fleet.attachments[record.attachment] = attached(record)
        fleet.by_host_token[record.token] = record.attachment
        fleet.numbers["attachment"] = max(record.attachment, fleet.numbers.get("attachment") or 0)
        if record.session:
            session = fleet.sessions[record.session]
            fleet.sessions[record.session] = held_by(session, record.attachment)
    elif isinstance(record, r.AttachmentEnded):
        found = fleet.attachments[record.attachment]
        fleet.attachments[record.attachment] = ended(found, record.why)
        holder = fleet.sessions.get(found.session)
        if holder is not None and holder.holder == record.attachment:
            fleet.sessions[holder.name] = held_by(holder, 0)
    elif isinstance(record, r.StoredChanged):
        change_stored(fleet, record)
        if record.request:
            fleet.answers[record.request] = Remembered("stored")


def recover_cell(fleet: Fleet, entries: list[tuple[r.Record, int]], now_ns: int) -> None:
    """One cell, read back; calls that nobody has yet wait to be dispatched."""
    cell = cell_from(entries)
    if cell is None or cell.session not in fleet.sessions:
        return
    first = entries[0][0]
    if isinstance(first, r.CellCreated) and _may_repeat(fleet, cell.created_by):
        fleet.answers[cell.created_by] = Remembered("create", cell.id)
    for record, _ in entries:
        if isinstance(record, r.GenerationConsumed) and _may_repeat(fleet, record.request):
            kind = f"consumed {record.generation}"
            fleet.answers[record.request] = Remembered(kind, cell.id)
    state = fleet.adopt_facts(cell)
    fleet.put(state, now_ns)
    fleet.numbers["cell_us"] = max(cell.created_us, fleet.numbers.get("cell_us") or 0)
    if cell.notices:
        fleet.notices[cell.id] = ()
    if cell.phase is Phase.FINISHED:
        return
    for call in cell.waits_for():
        if call.state is call.state.WAITING and not call.external:
            fleet.backlog(cell.session)[(cell.id, call.number)] = None


def _may_repeat(fleet: Fleet, ref: RequestRef) -> bool:
    """Whether this request's attachment may still ask again."""
    attachment = fleet.attachments.get(ref.attachment)
    if attachment is None or attachment.ended:
        return False
    return ref.number >= attachment.answered


def recover_newest(fleet: Fleet, created_us: list[int]) -> None:
    """The newest cell may have ended, and its id must not be used again whatever the clock says."""
    fleet.numbers["cell_us"] = max(fleet.numbers.get("cell_us") or 0, *created_us, 0)


def rewatch(fleet: Fleet) -> None:
    """After recovery: find out which hosts are still there; the others repeat nothing any more."""
    for ref in list(fleet.answers):
        attachment = fleet.attachments.get(ref.attachment)
        if attachment is None or attachment.ended:
            fleet.forget_request(ref)
    for host in fleet.attachments.values():
        if not host.ended:
            pid, started_ns = host.pid, host.process_started_ns
            fleet.speak(WatchHost(host.number, pid, started_ns))
