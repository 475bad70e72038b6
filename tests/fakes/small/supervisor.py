"""The production loop and core, put into any state that they were in before.

What a supervisor knows is a `Mind`: a value. One loop per epoch is built by recovery and then has
its mind changed, a beat at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from tidemark.supervisor.core import ask_steps
from tidemark.supervisor.core import records as r
from tidemark.supervisor.core.alarms import Alarms
from tidemark.supervisor.core.deadlines import deadline_of
from tidemark.supervisor.core.events import FleetEvent, HostAsked, WorkerSpoke
from tidemark.supervisor.core.facts import Cell
from tidemark.supervisor.core.fleet import World as CoreWorld
from tidemark.supervisor.core.law import CellState, Waits
from tidemark.supervisor.core.shelf import Shelf
from tidemark.supervisor.core.watching import recount_patience
from tidemark.supervisor.shell.journal_schema import PACKERS
from tidemark.supervisor.shell.loop import Loop
from tidemark.supervisor.shell.ports import Ports

from ..branching_ports import (
    NOW_NS,
    BranchingProcesses,
    BranchingStore,
    BranchingWires,
    StillClock,
)
from ..frozen_objects import Frozen

SECRET = b"s" * 32
JOURNAL_ID = 7
DAY_NS = 86_400_000_000_000  # what is put off for longer is put off for ever
OPENED = frozenset({Cell, CellState})
#: What a fleet has beside its shelves: in a mind, empty between beats, or of no consequence.
KNOWN = {"world", "backlogs", "visitors", "entries", "effects", "draining", "listed", "dropped"}
KNOWN |= {"alarms", "patience", "finished", "journal", "spares_at_ns", "touched"}


class Mind(NamedTuple):
    """All that one life of a supervisor knows and has not written down elsewhere."""

    cells: tuple[tuple[str, Frozen], ...]
    shelves: tuple[tuple[str, tuple[tuple[Any, Any], ...]], ...]
    backlogs: tuple[tuple[str, tuple[Any, ...]], ...]
    listed: frozenset[str]
    lazy: tuple[r.Entry, ...]


class Turn(NamedTuple):
    """What a beat did: the mind after it, and what left through the ports."""

    mind: Mind
    batches: list[tuple[r.Entry, ...]]
    sent: list[tuple[bytes, Any]]
    orders: list[Any]


class SmallSupervisor:
    """One epoch's loop."""

    def __init__(
        self, epoch: int, entries: list[r.Entry], on_send: Callable[[bytes, Any], None]
    ) -> None:
        self.store = BranchingStore(epoch)
        self.store.entries = list(entries)
        self.wires = BranchingWires(on_send)
        self.processes = BranchingProcesses()
        ports = Ports(self.store, self.wires, self.processes, StillClock())
        self.loop = Loop(ports, _core_world(epoch))
        self._loaded: dict[str, Frozen] = {}
        beside = {name for name, each in vars(self.loop.fleet).items() if type(each) is not Shelf}
        if beside != KNOWN:
            raise AssertionError(f"a mind does not hold {beside ^ KNOWN}: add it to Mind")

    # -- minds ------------------------------------------------------------------------------------

    def mind(self) -> Mind:
        """What it knows now."""
        fleet, loop = self.loop.fleet, self.loop
        if fleet.visitors or fleet.entries or fleet.effects or loop.stalled or loop._ready:
            raise AssertionError("between beats nothing is under way")
        if fleet.spares_at_ns is not None:
            raise AssertionError("there are no spare workers in a small world")
        shelves = [
            (name, tuple(each._now.items()))
            for name, each in vars(fleet).items()
            if type(each) is Shelf and each._now and name != "cells"
        ]
        backlogs = [(name, tuple(each)) for name, each in fleet.backlogs.items() if len(each)]
        cells = tuple([(name, self._facts(name, state)) for name, state in fleet.cells.items()])
        return Mind(
            cells, tuple(shelves), tuple(backlogs), frozenset(fleet.listed), tuple(loop._lazy)
        )

    def _facts(self, name: str, state: CellState) -> Frozen:
        known = self._loaded.get(name)
        if known is not None and known.seen is state:
            return known
        return Frozen(_uncounted(state), OPENED)

    def load(self, mind: Mind, entries: list[r.Entry], connected: set[bytes]) -> None:
        """Be in this state."""
        fleet, loop = self.loop.fleet, self.loop
        shelves = dict(mind.shelves)
        self._loaded = dict(mind.cells)
        for name, each in vars(fleet).items():
            if type(each) is Shelf:
                each._now = dict(shelves.get(name, ()))
                each._before.clear()
        fleet.cells._now = {name: facts.seen for name, facts in mind.cells}
        fleet.backlogs = {}
        for session, calls in mind.backlogs:
            fleet.backlog(session)._now = dict.fromkeys(calls)
        fleet.listed = set(mind.listed)
        fleet.finished = {}
        fleet.entries, fleet.effects = [], []
        fleet.alarms = Alarms()
        for name, facts in mind.cells:
            fleet.alarms.set(name, deadline_of(facts.seen))
        recount_patience(fleet)
        loop._lazy = list(mind.lazy)
        loop.kept._kept.clear()
        loop.kept._created.clear()
        loop.kept._bytes = 0
        self.store.entries = list(entries)
        self.wires.connected = connected
        self._forget_turn()

    def _forget_turn(self) -> None:
        self.store.batches, self.wires.sent, self.processes.orders = [], [], []

    # -- beats ------------------------------------------------------------------------------------

    def first_turn(self) -> Turn:
        """What a new life said and ordered when it had recovered."""
        return self._turn()

    def take(self, event: FleetEvent) -> Turn:
        """One beat with one event."""
        if isinstance(event, (HostAsked, WorkerSpoke)):
            self.wires.arrived.append(event)
        else:
            self.processes.happened.append(event)
        self.loop.beat()
        return self._turn()

    def due(self, cell: str, what: str) -> Turn:
        """This moment of the cell has come."""
        fleet = self.loop.fleet
        state = _made_due(fleet.cells[cell], what)
        fleet.put(state, NOW_NS)
        self.loop.beat()
        return self._turn()

    def flush(self) -> Turn:
        """Commit what could wait."""
        self.loop.flush()
        return self._turn()

    def _turn(self) -> Turn:
        turn = Turn(self.mind(), self.store.batches, self.wires.sent, self.processes.orders)
        self._forget_turn()
        return turn


def _core_world(epoch: int) -> CoreWorld:
    return CoreWorld(
        epoch=epoch,
        journal_id=JOURNAL_ID,
        secret=SECRET,
        isolation="process",
        durability="power",
        version="small",
        pid=1,
        started_ns=NOW_NS,
        packers=PACKERS,
    )


def _uncounted(state: CellState) -> CellState:
    """Without what is only counted: repeats of a Continue, restarts, bytes far from any limit."""
    waits = state.waits
    if state.cell.restarts:
        state = replace(state, cell=replace(state.cell, restarts=0))
    if waits.acked or waits.unacked:
        state = state.waiting(acked=0, unacked=0)
    resuming, first = waits.resuming, ask_steps.CONTINUE_REPEAT_NS
    if resuming is None or resuming.repeat_ns == first:
        return state
    again = replace(resuming, repeat_ns=first, repeat_at_ns=NOW_NS + first)
    return state.waiting(resuming=again)


def due_moments(state: CellState) -> list[str]:
    """What time alone can bring about in this cell."""
    waits = state.waits
    ending, resuming = waits.ending, waits.resuming
    repeats = resuming is not None and resuming.repeat_at_ns < NOW_NS + DAY_NS
    moments = {
        "resuming": repeats and state.phase is state.phase.CONTINUING and state.hears,
        "calls": ending is not None and bool(state.cell.calls) and ending.calls_until_ns > 0,
        "worker": ending is not None and ending.worker_lives,
        "kill": waits.kill_at_ns > 0,
        "adopting": waits.adopting_at_ns > 0,
        "retry": waits.retry_at_ns > 0,
    }
    return [name for name, is_there in moments.items() if is_there]


def _made_due(state: CellState, what: str) -> CellState:
    waits: Waits = state.waits
    if what == "resuming":
        assert waits.resuming is not None
        return state.waiting(resuming=replace(waits.resuming, repeat_at_ns=NOW_NS))
    if what in ("calls", "worker"):
        assert waits.ending is not None
        ending = waits.ending
        if what == "calls":
            return state.waiting(ending=replace(ending, calls_until_ns=NOW_NS))
        return state.waiting(ending=replace(ending, worker_until_ns=NOW_NS))
    return state.waiting(**{f"{what}_at_ns": NOW_NS})
