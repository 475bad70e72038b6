"""Carries out effects: looks up the contents that they name, and sends."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import msgpack

from ...protocol import codec, limits
from ...protocol import worker_messages as w
from ...protocol.host_answers import Answer, Answered, CallOffered, EventGiven, Refused
from ...protocol.host_requests import CallRef
from ...protocol.ids import RequestRef, cell_seed
from ...protocol.packed import PackedCall, PackedEvent, PackedInput
from ..core import effects as f
from ..core import records as r
from ..core.facts import EventMark
from ..core.fleet import Fleet
from . import journal_schema as schema
from .kept_contents import KeptContents
from .reading import Reader

if TYPE_CHECKING:
    from .loop import Ports

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
            f.GiveEvent: self._give_event,
            f.Read: self._read,
            f.TellConnection: self._tell_connection,
            f.TellHost: self._tell_host,
            f.OfferCall: self._offer_call,
            f.WatchHost: self._watch_host,
            f.ForkWorker: self._fork,
            f.KillWorker: lambda effect: self._ports.processes.kill(effect.token),
            f.ForgetWorker: lambda effect: self._ports.processes.forget(effect.token),
            f.GiveStart: self._give_start,
            f.GiveInputs: self._give_inputs,
            f.GiveContinue: self._give_continue,
            f.GiveStored: self._give_stored,
            f.GiveAdopt: self._give_adopt,
            f.GiveAcknowledge: self._give_acknowledge,
            f.GiveBye: self._give_bye,
        }

    def speak(self, effects: Iterable[f.Effect]) -> None:
        """Carry out effects in their order."""
        for effect in effects:
            self._how[type(effect)](effect)

    # -- to hosts ---------------------------------------------------------------------------------

    def _connection(self, attachment: int) -> bytes | None:
        found = self._fleet.attachments.get(attachment)
        return None if found is None else found.connection

    def answer(self, to: RequestRef, answer: Answer) -> None:
        """Send an answer, in as many parts as it needs."""
        connection = self._connection(to.attachment)
        if connection is None:
            return  # the host will attach again and repeat its request
        content = codec.pack_body(answer)
        parts = max(1, -(-len(content) // CHUNK_BYTES))
        journal = self._ports.store.last_number
        for part in range(parts):
            piece = content[part * CHUNK_BYTES : (part + 1) * CHUNK_BYTES]
            message = Answered(to.number, journal, part + 1, parts, piece)
            self._ports.wires.tell_host(connection, message)

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
        self._ports.wires.tell_host(connection, message)

    def _give_event(self, effect: f.GiveEvent) -> None:
        self.answer(effect.to, EventGiven(self.event(effect.cell, effect.event)))

    def event(self, cell: str, mark: EventMark) -> PackedEvent:
        """An event with its contents, from the journal."""
        bodies = self._kept.get(cell, r.OUTPUT, mark.start, mark.stop)
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
        answer = self._reader.answer(effect)
        if answer is not None:
            self.answer(effect.to, answer)

    def _tell_connection(self, effect: f.TellConnection) -> None:
        self._ports.wires.tell_host(effect.connection, effect.message)

    def _tell_host(self, effect: f.TellHost) -> None:
        connection = self._connection(effect.attachment)
        if connection is not None:
            self._ports.wires.tell_host(connection, effect.message)

    def _offer_call(self, effect: f.OfferCall) -> None:
        connection = self._connection(effect.attachment)
        if connection is None:
            return
        arguments = self._kept.get(effect.cell, r.ARGUMENTS, effect.number, effect.number + 1)
        ref = CallRef(effect.cell, effect.number)
        message = CallOffered(ref, effect.session, effect.tool, arguments[0], effect.attempt)
        self._ports.wires.tell_host(connection, message)

    def _watch_host(self, effect: f.WatchHost) -> None:
        self._ports.processes.watch_host(effect.attachment, effect.pid, effect.process_started_ns)

    # -- to workers -------------------------------------------------------------------------------

    @property
    def _epoch(self) -> int:
        return self._fleet.world.epoch

    def _tell_worker(self, token: bytes, message: w.ToWorker) -> None:
        if not self._ports.wires.tell_worker(token, message):
            self._fleet.deaf(token, self._ports.clock.now_ns())

    def _fork(self, effect: f.ForkWorker) -> None:
        self._ports.processes.fork(effect.token, effect.cell, effect.incarnation, effect.limits)

    def _give_start(self, effect: f.GiveStart) -> None:
        created = self._kept.created(effect.cell)
        message = w.Start(
            epoch=self._epoch,
            cell=created.cell,
            kind=created.kind,
            stepping=created.stepping,
            name=created.name,
            source=created.source,
            inputs=created.inputs,
            tools=self._fleet.tools_of(effect.tools_of) or self._ports.store.tools(effect.tools_of),
            limits=created.limits,
            seed=cell_seed(self._fleet.world.secret, created.cell),
            now_ns=self._ports.clock.now_ns(),
            monotonic_ns=self._ports.clock.monotonic_ns(),
            journal=self._ports.store.last_number,
        )
        self._tell_worker(effect.token, message)

    def _inputs(self, cell: str, first: int, last: int) -> list[tuple[PackedInput, ...]]:
        """Inputs in portions that each fit into a message."""
        portions: list[list[PackedInput]] = [[]]
        size = 0
        for body in self._kept.get(cell, r.INPUT, first, last + 1):
            if size + len(body) > CHUNK_BYTES and portions[-1]:
                portions.append([])
                size = 0
            portions[-1].append(schema.unpack_input(body))
            size += len(body)
        return [tuple(portion) for portion in portions]

    def _give_inputs(self, effect: f.GiveInputs) -> None:
        for portion in self._inputs(effect.cell, effect.first, effect.last):
            self._tell_worker(effect.token, w.Deliver(self._epoch, effect.have, portion))

    def _give_continue(self, effect: f.GiveContinue) -> None:
        first, *rest = self._inputs(effect.cell, effect.first, effect.last)
        message = w.Continue(
            epoch=self._epoch,
            have=effect.have,
            generation=effect.generation,
            upto=effect.upto,
            request=effect.request,
            acknowledged=effect.acknowledged,
            inputs=first,
        )
        self._tell_worker(effect.token, message)
        for portion in rest:
            self._tell_worker(effect.token, w.Deliver(self._epoch, effect.have, portion))

    def _give_stored(self, effect: f.GiveStored) -> None:
        store = self._ports.store
        content, keys = None, None
        if effect.key is None:
            keys = tuple(store.stored_keys(effect.session, effect.version))
        else:
            content = store.stored(effect.session, effect.key, effect.version)
        message = w.Fetched(self._epoch, effect.number, content, keys)
        self._tell_worker(effect.token, message)

    def _give_adopt(self, effect: f.GiveAdopt) -> None:
        message = w.Adopt(self._epoch, effect.have, self._ports.store.last_number)
        # Not connected yet: the core asks again until the worker says Hello.
        self._ports.wires.tell_worker(effect.token, message)

    def _give_acknowledge(self, effect: f.GiveAcknowledge) -> None:
        message = w.Acknowledge(self._epoch, effect.have, self._ports.store.last_number)
        self._tell_worker(effect.token, message)

    def _give_bye(self, effect: f.GiveBye) -> None:
        self._ports.wires.tell_worker(effect.token, w.Bye(self._epoch))
