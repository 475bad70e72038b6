"""Carries out effects: looks up the contents that they name, and sends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgpack

from ...protocol import codec, limits
from ...protocol.host_answers import Answer, Answered, CallOffered, Refused, ToHost
from ...protocol.host_requests import CallRef
from ...protocol.ids import RequestRef
from ...protocol.packed import PackedCall, PackedEvent
from ..core import effects as f
from ..core import records as r
from ..core.facts import EventMark
from ..core.fleet import Fleet
from . import event_answers
from . import journal_schema as schema
from .kept_contents import KeptContents
from .ports import Ports
from .reading import Reader
from .worker_speaker import WorkerSpeaker

CHUNK_BYTES = limits.ANSWER_PART_BYTES


class Speaker:
    """Everything that leaves the supervisor leaves here, after the commit that it depends on."""

    def __init__(self, fleet: Fleet, ports: Ports, kept: KeptContents) -> None:
        self._fleet = fleet
        self._ports = ports
        self._kept = kept
        self._reader = Reader(fleet, ports, self.event)
        self._how: dict[type, Callable[[Any], None]] = {
            f.Reply: self._reply,
            f.Refuse: self._refuse,
            f.RefuseDiverged: self._refuse_diverged,
            f.GiveEvent: self._give_event,
            f.Read: self._read,
            f.TellConnection: self._tell_connection,
            f.TellHost: self._tell_host,
            f.OfferCall: self._offer_call,
            f.WatchHost: self._watch_host,
            **WorkerSpeaker(fleet, ports, kept).how,
        }

    def speak(self, effects: Sequence[f.Effect]) -> None:
        """Carry out effects in their order; hosts are sent all that is for them at the end.

        After that, zygotes are told what they can forget: nobody waits for it.
        """
        last = []
        for effect in _calls_first(effects):
            if type(effect) is f.ForgetWorker:
                last.append(effect)
            else:
                self._how[type(effect)](effect)
        if effects:
            self._ports.wires.flush()
        for effect in last:
            self._how[f.ForgetWorker](effect)

    # -- to hosts ---------------------------------------------------------------------------------

    def _connection(self, attachment: int) -> bytes | None:
        found = self._fleet.attachments.get(attachment)
        return None if found is None else found.connection

    def _tell(self, connection: bytes, message: ToHost) -> None:
        if not self._ports.wires.tell_host(connection, message):
            # It attaches again when it misses something, and then says what it holds.
            self._fleet.unbind(connection)

    def answer(self, to: RequestRef, answer: Answer) -> None:
        """Send an answer, in as many parts as it needs."""
        connection = self._connection(to.attachment)
        if connection is None:
            return  # the host will attach again and repeat its request
        self._send(connection, to, [codec.pack_body(answer)])

    def _send(self, connection: bytes, to: RequestRef, content: list[bytes]) -> None:
        count = -(-sum(map(len, content)) // CHUNK_BYTES)
        journal = self._ports.store.last_number
        for number, part in enumerate(event_answers.parts(content, CHUNK_BYTES), 1):
            self._tell(connection, Answered(to.number, journal, number, count, part))

    def _reply(self, effect: f.Reply) -> None:
        self.answer(effect.to, effect.answer)

    def _refuse(self, effect: f.Refuse) -> None:
        connection = self._connection(effect.to.attachment)
        if connection is None:
            return
        attributes: bytes = msgpack.packb(effect.attributes)
        message = Refused(
            effect.to.number,
            self._ports.store.last_number,
            effect.code,
            effect.message[: limits.TEXT_BYTES_MAX // 4],
            attributes,
        )
        self._tell(connection, message)

    def _refuse_diverged(self, effect: f.RefuseDiverged) -> None:
        where = effect.divergence
        expected = where.expected
        found = self._kept.get(effect.cell, r.OUTPUT, where.output, where.output + 1)
        if where.output >= 0 and found:
            expected = f"{expected}: {schema.shown(found[0])}"
        line = where.line or None
        at = "" if line is None else f" (line {line})"
        text = (
            f"the cell could not be restored: before: {expected}, now: {where.actual}{at}; "
            "frontier() still has its last frontier; resume again to try again, or terminate it"
        )
        attributes = {"expected": expected, "actual": where.actual, "line": line}
        self._refuse(f.Refuse(effect.to, "replay_diverged", text, attributes))

    def _give_event(self, effect: f.GiveEvent) -> None:
        connection = self._connection(effect.to.attachment)
        if connection is None:
            return
        bodies = self._kept.get(effect.cell, r.OUTPUT, effect.event.start, effect.event.stop)
        event = self._event(effect.cell, effect.event, [])
        self._send(connection, effect.to, event_answers.pieces(event, bodies))

    def event(self, cell: str, mark: EventMark) -> PackedEvent:
        """An event with its contents, from the journal."""
        return self._event(cell, mark, self._kept.get(cell, r.OUTPUT, mark.start, mark.stop))

    def _event(self, cell: str, mark: EventMark, bodies: list[bytes]) -> PackedEvent:
        calls = []
        for call in mark.calls:
            arguments = self._kept.get(cell, r.ARGUMENTS, call.number, call.number + 1)
            calls.append(PackedCall(call.number, call.tool, arguments[0], call.new))
        return PackedEvent(
            kind=mark.kind,
            number=mark.number,
            output=tuple(schema.unpack_output(body) for body in bodies),
            generation=mark.generation,
            calls=tuple(calls),
            next_timer_ns=mark.next_timer_ns,
            own_work=mark.own_work,
            reason=mark.reason,
            error=mark.error,
            value=mark.value,
        )

    def _read(self, effect: f.Read) -> None:
        try:
            answer = self._reader.answer(effect)
        except r.Unreadable as error:
            self._refuse(f.Refuse(effect.to, "journal", f"{error}; see `tidemark check`", {}))
            return
        if answer is not None:
            self.answer(effect.to, answer)

    def _tell_connection(self, effect: f.TellConnection) -> None:
        self._tell(effect.connection, effect.message)

    def _tell_host(self, effect: f.TellHost) -> None:
        connection = self._connection(effect.attachment)
        if connection is not None:
            self._tell(connection, effect.message)

    def _offer_call(self, effect: f.OfferCall) -> None:
        connection = self._connection(effect.attachment)
        if connection is None:
            return
        arguments = self._kept.get(effect.cell, r.ARGUMENTS, effect.number, effect.number + 1)
        ref = CallRef(effect.cell, effect.number)
        message = CallOffered(ref, effect.session, effect.tool, arguments[0], effect.attempt)
        self._tell(connection, message)

    def _watch_host(self, effect: f.WatchHost) -> None:
        self._ports.processes.watch_host(effect.attachment, effect.pid, effect.process_started_ns)


def _calls_first(effects: Sequence[f.Effect]) -> Sequence[f.Effect]:
    """The same, with a cell's event after the calls that are offered of it in the same beat.

    So a host has begun with the calls that a frontier lists before it has the frontier, and a
    result that is there at once goes before a step that can take it: not after, which would be a
    turn of the worker and two commits more. No other order changes.
    """
    last = {e.cell: at for at, e in enumerate(effects) if isinstance(e, f.OfferCall)}
    if not last:
        return effects
    ordered: list[f.Effect] = []
    later: dict[str, list[f.Effect]] = {}
    for at, effect in enumerate(effects):
        if isinstance(effect, f.GiveEvent) and last.get(effect.cell, at) > at:
            later.setdefault(effect.cell, []).append(effect)
            continue
        ordered.append(effect)
        if isinstance(effect, f.OfferCall) and last[effect.cell] == at:
            ordered += later.pop(effect.cell, ())
    return ordered
