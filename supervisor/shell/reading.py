"""Answers that only read: from the journal, the fleet and the process table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...protocol import host_answers as a
from ...protocol import host_requests as h
from ...protocol.ids import tool_id
from ...protocol.packed import CellKind, PackedEvent
from ..core import records as r
from ..core.ask_steps import outcome_of
from ..core.effects import Read
from ..core.facts import CallState, EventMark, Phase
from ..core.fleet import Fleet
from ..core.law import CellState
from ..core.levels import best_known, level_of_cell
from ..core.watching import Watch, begin_watch
from .history import row_of
from .ports import CellSummary, Ports

EventMaker = Callable[[str, EventMark], PackedEvent]
CALLS_MAX = 10_000
WAIT_NS_MAX = 600_000_000_000  # for events; who wants to wait longer asks again


def state_name(state: CellState) -> str:
    """What a cell is doing, in one of the words of `Status.state`."""
    cell, phase = state.cell, state.phase
    if phase is Phase.FINISHED:
        return outcome_of(cell)
    waits = state.waits
    later = waits.retry_at_ns > 0 and phase is not Phase.STARTING
    woken = waits.dormant and (later or state.wants_worker)
    if waits.adopting_at_ns or cell.replays or woken:
        return "recovering"
    if phase is Phase.RUNNING and cell.waiting and not cell.queued:
        return "idle"
    name: str = phase.value
    return name


class Reader:
    """One method per question; none of them changes anything but who waits for events."""

    def __init__(self, fleet: Fleet, ports: Ports, event: EventMaker) -> None:
        self._fleet = fleet
        self._ports = ports
        self._event = event
        self._how: dict[type, Callable[[Any, Read], a.Answer | None]] = {
            h.AskStatus: self._status,
            h.AskHistory: self._history,
            h.AskEvents: self._events,
            h.AskFrontier: self._frontier,
            h.ListCells: self._cells,
            h.ListSessions: self._sessions,
            h.AskInfo: self._info,
            h.StoredGet: self._stored_get,
            h.StoredKeys: self._stored_keys,
            h.ListCalls: self._calls,
        }

    def answer(self, effect: Read) -> a.Answer | None:
        """The answer, or None when the request goes on waiting."""
        return self._how[type(effect.ask)](effect.ask, effect)

    def _status(self, ask: h.AskStatus, effect: Read) -> a.Answer:
        state = self._fleet.cells[ask.cell]
        cell, waits = state.cell, state.waits
        memory, cpu = self._ports.processes.usage(waits.pid) if waits.pid else (None, None)
        calls = [f"{tool_id(call.number)}: {call.tool}" for call in cell.waits_for()]
        waiting = cell.waiting or cell.phase is Phase.PAUSED
        return a.StatusGiven(
            cell=cell.id,
            session=cell.session,
            name=cell.name,
            kind=cell.kind,
            state=state_name(state),
            generation=cell.generation,
            consumed_generation=cell.consumed,
            incarnation=str(cell.incarnation or ""),
            pid=waits.pid if waits.forked else 0,
            waiting_on=tuple(name[:200] for name in calls) if waiting else (),
            next_timer_ns=cell.next_timer_ns,
            stuck=cell.stuck(),
            replayable=self._fleet.replays(cell),
            reason=self._reason(state),
            memory_bytes=memory,
            cpu_ns=cpu,
            restarts=cell.restarts,
            since_ns=cell.since_ns,
            isolation=level_of_cell(self._fleet, cell),
        )

    def _reason(self, state: CellState) -> str:
        if state.cell.final is not None and state.cell.final.reason is not None:
            return state.cell.final.reason.value
        diverged = state.cell.diverged
        if diverged is not None:
            return f"could not be restored: {diverged.expected} became {diverged.actual}"
        return state.waits.trouble or state.cell.flagged

    def _history(self, ask: h.AskHistory, effect: Read) -> a.Answer:
        records = self._ports.store.cell_records(ask.cell, ask.after, ask.limit)
        return a.HistoryGiven(tuple(row_of(stored) for stored in records))

    def _events(self, ask: h.AskEvents, effect: Read) -> a.Answer | None:
        store = self._ports.store
        if ask.cell:
            found = store.cell_events(ask.cell, ask.after, ask.limit)
            final = self._fleet.cells[ask.cell].cell.final
            last = found[-1].event.number if found else ask.after
            ended = final is not None and last >= final.number
        else:
            found = store.session_events(effect.session, ask.after, ask.limit)
            ended = False
        if not found and not ended and ask.wait_ns:
            deadline_ns = self._ports.clock.now_ns() + min(ask.wait_ns, WAIT_NS_MAX)
            watch = Watch(effect.to, effect.session, ask, deadline_ns)
            begin_watch(self._fleet, watch)
            return None
        rows = [a.EventRow(e.cell, e.record, self._event(e.cell, e.event)) for e in found]
        return a.EventsGiven(tuple(rows), ended)

    def _frontier(self, ask: h.AskFrontier, effect: Read) -> a.Answer:
        frontier = self._fleet.cells[ask.cell].cell.frontier
        return a.FrontierGiven(None if frontier is None else self._event(ask.cell, frontier))

    def _cells(self, ask: h.ListCells, effect: Read) -> a.Answer:
        if ask.state in ("", "completed", "terminated", "unfinished"):
            found = self._ports.store.cells(ask.session, ask.state, ask.limit, ask.before)
            return a.CellsGiven(tuple(self._row(summary) for summary in found))
        names = sorted(
            name
            for name, state in self._fleet.cells.items()
            if state_name(state) == ask.state
            and ask.session in ("", state.cell.session)
            and (not ask.before or name < ask.before)
        )
        live = [self._live_row(self._fleet.cells[name]) for name in reversed(names)]
        return a.CellsGiven(tuple(live[: ask.limit]))

    def _row(self, summary: CellSummary) -> a.CellRow:
        state = self._fleet.cells.get(summary.cell)
        if state is not None:
            return self._live_row(state)
        return a.CellRow(
            cell=summary.cell,
            session=summary.session,
            name=summary.name,
            kind=CellKind(summary.kind),
            state=summary.state,
            generation=summary.generation,
            calls=0,
            created_ns=summary.created_us * 1_000,
            since_ns=summary.since_ns,
        )

    def _live_row(self, state: CellState) -> a.CellRow:
        cell = state.cell
        return a.CellRow(
            cell=cell.id,
            session=cell.session,
            name=cell.name,
            kind=cell.kind,
            state=state_name(state),
            generation=cell.generation,
            calls=len(cell.waits_for()) if cell.phase is not Phase.FINISHED else 0,
            created_ns=cell.created_us * 1_000,
            since_ns=cell.since_ns,
        )

    def _sessions(self, ask: h.ListSessions, effect: Read) -> a.Answer:
        rows = []
        for session in sorted(self._fleet.sessions.values(), key=lambda each: each.name):
            holder = self._fleet.attachments.get(session.holder)
            by = str(holder) if holder is not None and not holder.ended else ""
            rows.append(a.SessionRow(session.name, by, session.opened_ns, session.unfinished))
        return a.SessionsGiven(tuple(rows))

    def _info(self, ask: h.AskInfo, effect: Read) -> a.Answer:
        world, fleet = self._fleet.world, self._fleet
        return a.InfoGiven(
            version=world.version,
            pid=world.pid,
            epoch=world.epoch,
            journal=self._ports.store.last_number,
            isolation=world.isolation or best_known(fleet),
            durability=world.durability,
            started_ns=world.started_ns,
            unfinished=sum(session.unfinished for session in fleet.sessions.values()),
            workers=sum(1 for state in fleet.cells.values() if state.waits.forked),
            dropped=fleet.dropped,
        )

    def _stored_get(self, ask: h.StoredGet, effect: Read) -> a.Answer:
        session = self._fleet.sessions.get(effect.session)
        if session is None:
            return a.StoredGiven(None)
        return a.StoredGiven(
            self._ports.store.stored(session.name, ask.key, session.stored_version)
        )

    def _stored_keys(self, ask: h.StoredKeys, effect: Read) -> a.Answer:
        session = self._fleet.sessions.get(effect.session)
        if session is None:
            return a.KeysGiven(())
        return a.KeysGiven(
            tuple(self._ports.store.stored_keys(session.name, session.stored_version))
        )

    def _calls(self, ask: h.ListCalls, effect: Read) -> a.Answer:
        found = []
        for state in self._fleet.cells.values():
            if state.cell.session != effect.session:
                continue
            for call in state.cell.waits_for():
                unknown = call.state is CallState.UNKNOWN
                if unknown or (call.external and call.state is CallState.WAITING):
                    cell = state.cell.id
                    body = self._ports.store.contents(
                        cell, r.ARGUMENTS, call.number, call.number + 1
                    )
                    ref = h.CallRef(cell, call.number)
                    found.append(a.OpenCall(ref, call.tool, body[0], unknown))
        return a.CallsGiven(tuple(found[:CALLS_MAX]))
