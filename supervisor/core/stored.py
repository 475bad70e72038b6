"""A host's own writes to its session's stored values."""

from __future__ import annotations

from ...protocol.host_answers import Done
from ...protocol.host_requests import StoredSet
from ...protocol.ids import RequestRef
from . import records as r
from .effects import Refuse, Reply
from .endings import change_stored
from .fleet import Fleet, Remembered
from .holding import held_with
from .hosts import Attachment


def on_stored_set(
    fleet: Fleet, attachment: Attachment, ref: RequestRef, ask: StoredSet, now_ns: int
) -> None:
    """Write or delete one value: a new version, in the journal before the answer."""
    session = fleet.sessions.get(attachment.session)
    if session is None:
        fleet.speak(Refuse(ref, "protocol", "stored values belong to a session; open one"))
        return
    known = fleet.answers.get(ref)
    if known is not None and known.kind == "stored":
        fleet.speak(Reply(ref, Done()))
        return
    size = None if ask.content is None else len(ask.key.encode()) + len(ask.content)
    over = held_with(fleet, session, [(ask.key, size)]).over()
    if over is not None and size is not None:  # deleting is always a way out
        text = f"{over.limit}: at most {over.value:,} are allowed, this would be {over.used:,}"
        attributes = {"limit": over.limit, "value": over.value, "used": over.used}
        fleet.speak(Refuse(ref, "limit_exceeded", text, attributes))
        return
    record = r.StoredChanged(
        session=session.name,
        version=session.stored_version + 1,
        sizes=((ask.key, size),),
        cell="",
        request=ref,
        content=ask.content or b"",
    )
    fleet.append(r.session_scope(session.name), record)
    change_stored(fleet, record)
    fleet.answers[ref] = Remembered("stored")
    fleet.speak(Reply(ref, Done()))
