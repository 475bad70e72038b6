"""Cells are created: checked, numbered, journaled; their workers come later."""

from __future__ import annotations

from ...protocol import host_requests as h
from ...protocol import limits, values
from ...protocol.host_answers import CellMade
from ...protocol.ids import RequestRef
from . import records as r
from .apply import created
from .effects import Refuse, Reply
from .fleet import Fleet, Remembered
from .hosts import Attachment
from .law import CellState
from .worker_starts import queue_worker


def on_create(
    fleet: Fleet, attachment: Attachment, ref: RequestRef, ask: h.CreateCell, now_ns: int
) -> None:
    known = fleet.answers.get(ref)
    if known is not None and known.kind == "create":
        fleet.speak(Reply(ref, CellMade(known.cell, ask.kind, ask.name)))
        return
    source = _source(fleet, ref, ask)
    if source is None:
        return
    digest = fleet.world.packers.digest(ask)
    key = create_key(ask, ref)
    owner = fleet.keys.get((attachment.session, key))
    if owner is not None and owner[0]:
        _same_key(fleet, ref, ask, owner, digest)
        return
    if not _may_create(fleet, attachment, ref):
        return
    session = fleet.sessions[attachment.session]
    cell, created_us = fleet.next_cell_id(now_ns)
    record = r.CellCreated(
        cell=cell,
        session=session.name,
        kind=ask.kind,
        stepping=ask.stepping,
        name=ask.name,
        limits=ask.limits.over(attachment.limits),
        created_us=created_us,
        request=ref,
        key=key,
        ask_digest=digest,
        stored_version=session.stored_version,
        tools_of=attachment.number,
        source=source,
        inputs=ask.inputs,
    )
    fleet.append(cell, record)
    fleet.put(CellState(created(record, now_ns)), now_ns)
    fleet.answers[ref] = Remembered("create", cell)
    fleet.keys[(session.name, key)] = (cell, digest)
    queue_worker(fleet, fleet.cells[cell], now_ns)
    fleet.speak(Reply(ref, CellMade(cell, ask.kind, ask.name)))


def create_key(ask: h.CreateCell, ref: RequestRef) -> str:
    """The idempotency key of a create; without one it is the request itself, which may be repeated.

    No key of a host begins with a zero character by accident.
    """
    return ask.key or f"\0{ref}"


def _source(fleet: Fleet, ref: RequestRef, ask: h.CreateCell) -> str | None:
    if len(ask.source) > limits.SOURCE_BYTES_MAX:
        _over(fleet, ref, "source_bytes", limits.SOURCE_BYTES_MAX, len(ask.source))
        return None
    try:
        source = ask.source.decode()
        if not isinstance(values.decode(ask.inputs, "inputs"), dict):
            raise values.NotPlainData("inputs", "not a dict of names and values")
    except UnicodeDecodeError as error:
        fleet.speak(Refuse(ref, "protocol", f"the source is not UTF-8 ({error})"))
        return None
    except values.NotPlainData as error:
        fleet.speak(Refuse(ref, "protocol", str(error)))
        return None
    return source


def _over(fleet: Fleet, ref: RequestRef, name: str, limit: int, used: int) -> None:
    text = f"{name}: at most {limit:,} are allowed, this would be {used:,}"
    attributes = {"limit": name, "value": limit, "used": used}
    fleet.speak(Refuse(ref, "limit_exceeded", text, attributes))


def _may_create(fleet: Fleet, attachment: Attachment, ref: RequestRef) -> bool:
    session = fleet.sessions.get(attachment.session)
    if fleet.draining:
        text = "the supervisor is shutting down and creates nothing new; ask its successor"
        fleet.speak(Refuse(ref, "shutting_down", text))
    elif session is None:
        text = "this client has no session, so it cannot create cells; open one with a Session"
        fleet.speak(Refuse(ref, "protocol", text))
    elif session.unfinished >= limits.CELLS_UNFINISHED_MAX:
        count = session.unfinished + 1
        _over(fleet, ref, "cells_unfinished", limits.CELLS_UNFINISHED_MAX, count)
    else:
        return True
    return False


def _same_key(
    fleet: Fleet, ref: RequestRef, ask: h.CreateCell, owner: tuple[str, bytes], digest: bytes
) -> None:
    cell, before = owner
    if before == digest and cell not in fleet.cells:
        text = f"cell {cell}, which this idempotency key made, has been removed; use a new key"
        fleet.speak(Refuse(ref, "cell_not_found", text, {"cell_id": cell}))
        return
    if before == digest:
        fleet.answers[ref] = Remembered("create", cell)
        fleet.speak(Reply(ref, CellMade(cell, ask.kind, ask.name)))
        return
    text = f"idempotency key {ask.key!r} made cell {cell} with another request; use a new key"
    fleet.speak(Refuse(ref, "idempotency_conflict", text, {"cell_id": cell}))
