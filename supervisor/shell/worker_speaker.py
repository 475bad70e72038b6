"""What is said to workers and to the zygote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...protocol import limits
from ...protocol import worker_messages as w
from ...protocol.ids import cell_seed
from ...protocol.packed import PackedInput
from ..core import effects as f
from ..core import records as r
from ..core.fleet import Fleet
from . import journal_schema as schema
from .kept_contents import KeptContents
from .ports import Ports

CHUNK_BYTES = limits.MIB  # of inputs in one message
TICKS_AT_ONCE = 50_000


class WorkerSpeaker:
    """One method per effect that concerns a worker; `how` maps effects to them."""

    def __init__(self, fleet: Fleet, ports: Ports, kept: KeptContents) -> None:
        self._fleet = fleet
        self._ports = ports
        self._kept = kept
        self.how: dict[type, Callable[[Any], None]] = {
            f.ForkWorker: self._fork,
            f.LodgeWorker: lambda effect: ports.processes.lodge(effect.token, effect.cell),
            f.ExamineLevel: lambda effect: ports.processes.examine(effect.level),
            f.KillWorker: lambda effect: ports.processes.kill(effect.token),
            f.ForgetWorker: lambda effect: ports.processes.forget(effect.token),
            f.GiveStart: self._give_start,
            f.GiveInputs: self._give_inputs,
            f.GiveContinue: self._give_continue,
            f.GiveStored: self._give_stored,
            f.GiveAdopt: self._give_adopt,
            f.GiveAcknowledge: self._give_acknowledge,
            f.GiveBye: self._give_bye,
        }

    @property
    def _epoch(self) -> int:
        return self._fleet.world.epoch

    def _tell_worker(self, token: bytes, message: w.ToWorker) -> None:
        if not self._ports.wires.tell_worker(token, message):
            self._fleet.deaf(token, self._ports.clock.now_ns())

    def _fork(self, effect: f.ForkWorker) -> None:
        self._ports.processes.fork(
            effect.token, effect.cell, effect.incarnation, effect.limits, effect.level
        )

    def _give_start(self, effect: f.GiveStart) -> None:
        ticks = effect.past.ticks if effect.past is not None else ()
        for first in range(0, len(ticks), TICKS_AT_ONCE):
            part = ticks[first : first + TICKS_AT_ONCE]
            self._tell_worker(effect.token, w.Remember(self._epoch, part))
        created = self._kept.created(effect.cell)
        message = w.Start(
            epoch=self._epoch,
            cell=created.cell,
            incarnation=effect.incarnation,
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
            began_ns=effect.began_ns,
            journal=self._ports.store.last_number,
            earlier=effect.earlier,
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
