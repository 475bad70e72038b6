"""Hosts come, open sessions, and go."""

from __future__ import annotations

from ...protocol.host_answers import Attached, Done, SessionLost
from ...protocol.host_requests import Attach, SessionAsk
from ...protocol.ids import RequestRef, is_session_name
from ...protocol.limits import TOOLS_BYTES_MAX, Limits
from . import records as r
from .ask_steps import end_by_host
from .changes import replace
from .effects import ExamineLevel, Refuse, Reply, TellHost, WatchHost
from .endings import drop_backlog
from .events import LevelExamined
from .facts import Phase
from .fleet import Fleet, Remembered
from .hosts import CLOSED, DETACHED, Attachment, Session, attached, ended, held_by, opened
from .levels import (
    LEVELS,
    best_known,
    level_of,
    level_to_examine,
    refuse_level,
    refuse_other_level,
)
from .offers import holder_of, offer_again, offer_all, offer_calls, orphan_calls
from .spares import expect_cells
from .watching import never_watch

DURABILITIES = ("crash", "power")


def on_attach(
    fleet: Fleet, connection: bytes, number: int, ask: Attach, journal: int, now_ns: int
) -> RequestRef | None:
    """A host introduces itself; the answer carries its attachment.

    Args:
        journal: the highest record number of our journal, to notice one that has gone back.

    Returns:
        The name of this request, by which it is answered; None: it is answered later.
    """
    known = _known(fleet, ask)
    if known is None and (unexamined := level_to_examine(fleet, ask.session)):
        fleet.parked[(connection, number)] = ask
        fleet.speak(ExamineLevel(unexamined))
        return None
    # A journal that has gone back may still know the host, and nothing of what it was told since.
    if known is not None and ask.journal <= journal:
        return _reattach(fleet, connection, number, ask, known, now_ns)
    # Until there is an attachment the answer goes to the connection, by a number of its own.
    ref = RequestRef(-fleet.next_number("unattached"), number)
    fleet.attachments[ref.attachment] = _visitor(ask, ref.attachment, connection)
    fleet.visitors.append(ref.attachment)
    if ask.journal > journal:
        text = (
            f"this journal ends at record {journal}, and the host was told of {ask.journal}: it "
            "has gone back (a restored backup or a lying disk); start a new session"
        )
        fleet.speak(Refuse(ref, "journal", text))
    elif ask.attachment:
        text = f"attachment {ask.attachment} is not known here or has ended; open the session again"
        fleet.speak(Refuse(ref, "session_taken", text))
    elif fleet.draining and ask.session is not None:
        text = "the supervisor is shutting down; its successor will take new sessions"
        fleet.speak(Refuse(ref, "shutting_down", text))
    elif ask.session is None or _may_open(fleet, ref, ask.session):
        return _attach(fleet, connection, number, ask, now_ns)
    return ref


def on_examined(fleet: Fleet, event: LevelExamined, journal: int, now_ns: int) -> None:
    """Hosts that waited to know whether a level can be had are answered, or wait for another."""
    fleet.levels[event.level] = event.missing
    for (connection, number), ask in list(fleet.parked.items()):
        fleet.parked.pop((connection, number))
        on_attach(fleet, connection, number, ask, journal, now_ns)


def _visitor(ask: Attach, number: int, connection: bytes) -> Attachment:
    return Attachment(
        number=number,
        session="",
        token=ask.token,
        pid=ask.pid,
        host=ask.host,
        process_started_ns=0,
        opened_ns=0,
        tools=(),
        limits=ask.session.limits if ask.session else Limits(),
        connection=connection,
        ended=True,
    )


def _known(fleet: Fleet, ask: Attach) -> Attachment | None:
    """The attachment that this token has made before: a repeat, or a reconnect."""
    found = fleet.by_host_token.get(ask.token)
    attachment = None if found is None else fleet.attachments.get(found)
    if attachment is None or (attachment.ended and not attachment.left):
        return None
    return attachment if ask.attachment in (0, attachment.number) else None


def _reattach(
    fleet: Fleet,
    connection: bytes,
    number: int,
    ask: Attach,
    attachment: Attachment,
    now_ns: int,
) -> RequestRef:
    bind(fleet, attachment, connection)
    ref = RequestRef(attachment.number, number)
    fleet.speak(
        Reply(ref, _greeting(fleet, attachment, True)),
        WatchHost(attachment.number, attachment.pid, attachment.process_started_ns),
    )
    if attachment.session:
        held = frozenset(ask.holding)
        offer_again(fleet, fleet.attachments[attachment.number], held)
        if fleet.sessions[attachment.session].holder == attachment.number:
            offer_all(fleet, attachment.session, now_ns)
    return ref


def bind(fleet: Fleet, attachment: Attachment, connection: bytes) -> None:
    """From now on this connection speaks for the attachment."""
    if attachment.connection is not None:
        fleet.connections.pop(attachment.connection)
    fleet.connections[connection] = attachment.number
    fleet.attachments[attachment.number] = replace(attachment, connection=connection)


def _may_open(fleet: Fleet, ref: RequestRef, ask: SessionAsk) -> bool:
    world = fleet.world
    if ask.name and not is_session_name(ask.name):
        text = (
            "a session's name has 1 to 200 characters, at most 256 bytes of UTF-8, and no control "
            "characters"
        )
        fleet.speak(Refuse(ref, "protocol", text))
    elif ask.isolation is not None and ask.isolation not in LEVELS:
        text = f"no isolation level {ask.isolation!r}; there are {', '.join(LEVELS)}"
        fleet.speak(Refuse(ref, "protocol", text))
    elif refuse_other_level(fleet, ref, ask):
        return False
    elif ask.name not in fleet.sessions and level_of(fleet, ask) is None:
        refuse_level(fleet, ref, ask)
    elif ask.durability is not None and not _durable(world.durability, ask.durability):
        text = (
            f"durability {ask.durability!r} was asked for and this supervisor has "
            f"{world.durability!r}; use another state directory, or restart it with more"
        )
        fleet.speak(Refuse(ref, "protocol", text))
    else:
        return _collision(fleet, ref, ask) and _free(fleet, ref, ask)
    return False


def _durable(has: str, wanted: str) -> bool:
    return wanted in DURABILITIES and DURABILITIES.index(wanted) <= DURABILITIES.index(has)


def _collision(fleet: Fleet, ref: RequestRef, ask: SessionAsk) -> bool:
    size = sum(len(s.description.encode()) + len(s.signature.encode()) + 64 for s in ask.tools)
    if size > TOOLS_BYTES_MAX:
        text = f"tools_bytes: at most {TOOLS_BYTES_MAX:,} are allowed, these have {size:,}"
        attributes = {"limit": "tools_bytes", "value": TOOLS_BYTES_MAX, "used": size}
        fleet.speak(Refuse(ref, "limit_exceeded", text, attributes))
        return False
    seen: dict[str, str] = {}
    for spec in ask.tools:
        if spec.exposed in seen:
            text = (
                f"tools {seen[spec.exposed]!r} and {spec.name!r} would both be "
                f"tools.{spec.exposed}; rename one"
            )
            fleet.speak(Refuse(ref, "protocol", text))
            return False
        seen[spec.exposed] = spec.name
    return True


def _free(fleet: Fleet, ref: RequestRef, ask: SessionAsk) -> bool:
    holder = holder_of(fleet, ask.name) if ask.name else None
    if holder is None or ask.take_over:
        return True
    text = (
        f"session {ask.name!r} is held by {holder}; close it there, or open it with take_over=True"
    )
    attributes = {"pid": holder.pid, "host": holder.host, "since": holder.opened_ns / 1e9}
    fleet.speak(Refuse(ref, "session_held", text, attributes))
    return False


def _attach(fleet: Fleet, connection: bytes, number: int, ask: Attach, now_ns: int) -> RequestRef:
    attachment_number = fleet.next_number("attachment")
    ref = RequestRef(attachment_number, number)
    name, existed = "", False
    if ask.session is not None:
        name, existed = _open_session(fleet, ask.session, attachment_number, now_ns)
    record = r.AttachmentOpened(
        attachment=attachment_number,
        session=name,
        token=ask.token,
        pid=ask.pid,
        host=ask.host,
        process_started_ns=ask.process_started_ns,
        opened_ns=now_ns,
        tools=ask.session.tools if ask.session else (),
        limits=ask.session.limits if ask.session else Limits(),
    )
    fleet.append(r.session_scope(name), record)
    attachment = attached(record)
    fleet.attachments[attachment_number] = attachment
    fleet.by_host_token[ask.token] = attachment_number
    bind(fleet, attachment, connection)
    fleet.answers[ref] = Remembered("attach")
    if name:
        fleet.sessions[name] = held_by(fleet.sessions[name], attachment_number)
        offer_all(fleet, name, now_ns)
        expect_cells(fleet, fleet.sessions[name], record.limits, now_ns)
    fleet.speak(
        Reply(ref, _greeting(fleet, fleet.attachments[attachment_number], existed)),
        WatchHost(attachment_number, ask.pid, ask.process_started_ns),
    )
    return ref


def _open_session(fleet: Fleet, ask: SessionAsk, attachment: int, now_ns: int) -> tuple[str, bool]:
    name = ask.name or f"session-{attachment}-{now_ns // 1_000_000:x}"
    if name in fleet.sessions:
        holder = holder_of(fleet, name)
        if holder is not None:
            _take_over(fleet, holder, now_ns)
        return name, True
    isolation = level_of(fleet, ask)
    if isolation is None:
        raise AssertionError("a level that cannot be had was refused before")
    # At this level what a cell did outside of itself would happen again: only when asked for.
    replay = ask.isolation != "process" if ask.replay is None else ask.replay
    record = r.SessionOpened(name, isolation, replay)
    fleet.append(r.session_scope(name), record)
    fleet.sessions[name] = opened(record, now_ns)
    return name, False


def _take_over(fleet: Fleet, holder: Attachment, now_ns: int) -> None:
    """The former holder keeps its connection: results of calls that it still runs are taken."""
    fleet.speak(TellHost(holder.number, SessionLost(holder.session, "another host")))
    fleet.sessions[holder.session] = held_by(fleet.sessions[holder.session], 0)


def _greeting(fleet: Fleet, attachment: Attachment, existed: bool) -> Attached:  # noqa: FBT001 - a field
    session: Session | None = fleet.sessions.get(attachment.session)
    world = fleet.world
    return Attached(
        attachment=attachment.number,
        epoch=world.epoch,
        session=attachment.session,
        existed=existed,
        isolation=session.isolation if session else world.isolation or best_known(fleet),
        durability=world.durability,
        version=world.version,
        pid=world.pid,
        journal_id=world.journal_id,
    )


# -- leaving --------------------------------------------------------------------------------------


def on_detach(fleet: Fleet, ref: RequestRef, now_ns: int) -> None:
    """The host leaves; its cells go on."""
    fleet.speak(Reply(ref, Done()))
    end_attachment(fleet, ref.attachment, DETACHED, now_ns)


def on_close(fleet: Fleet, ref: RequestRef) -> None:
    """Its session's cells are to end; then the host leaves. See `close_if_done`."""
    fleet.closing[ref] = fleet.attachments[ref.attachment].session


def _end_cells(fleet: Fleet, session: str, ref: RequestRef, now_ns: int) -> None:
    for name in list(fleet.cells):
        state = fleet.cells[name]
        if state.cell.session == session and state.cell.phase is not Phase.FINISHED:
            fleet.settle(end_by_host(state, ref), now_ns)
            drop_backlog(fleet, state.cell)


def close_if_done(fleet: Fleet, now_ns: int) -> None:
    """End the cells of sessions that their holders close; answer when that has been carried out."""
    for ref in list(fleet.closing):
        session = fleet.closing[ref]
        if fleet.sessions[session].holder == ref.attachment:
            _end_cells(fleet, session, ref, now_ns)  # those too that were created meanwhile
        busy = any(
            state.waits.ending is not None
            for state in fleet.cells.values()
            if state.cell.session == session
        )
        if not busy:
            fleet.closing.pop(ref)
            fleet.speak(Reply(ref, Done()))
            end_attachment(fleet, ref.attachment, CLOSED, now_ns)


def end_attachment(fleet: Fleet, number: int, why: str, now_ns: int) -> None:
    """A life of a host is over: its observers are detached, its calls have unknown outcomes."""
    attachment = fleet.attachments.get(number)
    if attachment is None or attachment.ended:
        return
    fleet.append(r.session_scope(attachment.session), r.AttachmentEnded(number, why))
    fleet.attachments[number] = ended(attachment, why)
    for name in list(fleet.cells):
        detach_observer(fleet, name, number, None, now_ns)
    never_watch(fleet, number)
    session = fleet.sessions.get(attachment.session)
    if session is not None and session.holder == number:
        fleet.sessions[session.name] = held_by(session, 0)
    orphan_calls(fleet, attachment, now_ns)
    if session is not None:
        offer_calls(fleet, session.name, now_ns)  # where another host holds it by now
    for ref in [ref for ref in (*fleet.answers, *fleet.places) if ref.attachment == number]:
        fleet.forget_request(ref)


def detach_observer(
    fleet: Fleet, name: str, attachment: int, request: int | None, now_ns: int
) -> None:
    """Nobody waits any more: all of the attachment's observations of this cell, or one request."""
    state = fleet.cells[name]

    def goes(ref: RequestRef) -> bool:
        return ref.attachment == attachment and request in (None, ref.number)

    observer = state.waits.observer
    if observer is not None and goes(observer.ref):
        state = state.waiting(observer=None)
    if any(goes(ref) for ref in state.waits.final_for):
        kept = tuple(ref for ref in state.waits.final_for if not goes(ref))
        state = state.waiting(final_for=kept)
    resuming = state.waits.resuming
    if resuming is not None and resuming.then_observe and goes(resuming.then_observe.ref):
        state = state.waiting(resuming=replace(resuming, then_observe=None))
    elif resuming is not None and any(goes(ref) for ref, _, _ in resuming.followers):
        followers = tuple(
            (ref, generation, None if goes(ref) else then)
            for ref, generation, then in resuming.followers
        )
        state = state.waiting(resuming=replace(resuming, followers=followers))
    if state is not fleet.cells[name]:
        fleet.put(state, now_ns)
