"""Planted bugs: inputs, tool calls, stored values, notifications."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from ..protocol import host_requests as h
from ..supervisor.core import (
    apply,
    attach_routes,
    endings,
    host_routes,
    offers,
    worker_routes,
)
from ..supervisor.core import records as r
from ..supervisor.core.fleet import Fleet
from ..supervisor.shell.speaker import Speaker
from .planting import planted, planted_in, put
from .promise import Promise

# -- inputs and calls -----------------------------------------------------------------------------


@planted(100, Promise.LIVENESS)
def inputs_are_numbered_twice(stack: ExitStack) -> None:
    finished = apply._APPLY[r.CallFinished]

    def stay(cell: Any, record: Any, at_ns: int) -> Any:
        after = finished(cell, record, at_ns)
        return replace(after, inputs=cell.inputs) if cell.inputs else after

    put(stack, apply._APPLY, r.CallFinished, stay)


@planted(100, Promise.CALLS)
def a_reconnect_dispatches_calls_again(stack: ExitStack) -> None:
    offer_again = offers.offer_again

    def once_more(fleet: Fleet, attachment: Any, holding: Any) -> None:
        offer_again(fleet, attachment, frozenset())
        for state in list(fleet.cells.values()):
            for call in state.cell.calls.values():
                if call.attachment == attachment.number and not call.input:
                    offer = offers._offer(state, call)
                    fleet.speak(replace(offer, attempt=offer.attempt + 1))

    put(stack, attach_routes, "offer_again", once_more)


@planted(500, Promise.UNKNOWN)
def an_unknown_outcome_is_retried_at_once(stack: ExitStack) -> None:
    def retry(fleet: Fleet, name: str, call: Any, attachment: Any, now_ns: int) -> None:
        cell = fleet.cells[name].cell
        fleet.backlog(cell.session)[(name, call.number)] = None

    put(stack, offers, "_decide_unknown", retry)


@planted(100, Promise.LIVENESS)
def offers_are_not_repeated(stack: ExitStack) -> None:
    put(stack, attach_routes, "offer_again", lambda fleet, attachment, holding: None)


# -- stored values --------------------------------------------------------------------------------


@planted(200, Promise.WRITES)
def writes_are_visible_at_terminate(stack: ExitStack) -> None:
    terminate = host_routes._terminate

    def publish(fleet: Fleet, attachment: Any, ref: Any, ask: Any, now_ns: int) -> None:
        before = fleet.cells.get(ask.cell)
        terminate(fleet, attachment, ref, ask, now_ns)
        if before is not None and before.cell.final is None and before.cell.writes:
            session = fleet.sessions[before.cell.session]
            endings.publish(fleet, before.cell, session.stored_version + 1)

    put(stack, host_routes._ASKS, h.Terminate, publish)


@planted(600, Promise.WHOLE)
def a_cell_reads_the_newest_values(stack: ExitStack) -> None:
    on_fetch = worker_routes._on_fetch

    def newest(fleet: Fleet, state: Any, fetch: Any) -> None:
        version = fleet.sessions[state.cell.session].stored_version
        on_fetch(fleet, replace(state, cell=replace(state.cell, stored_version=version)), fetch)

    put(stack, worker_routes, "_on_fetch", newest)


@planted(400, Promise.WRITES)
def a_lost_cell_publishes_its_writes(stack: ExitStack) -> None:
    end = endings._end

    def publish(fleet: Fleet, state: Any, *rest: Any) -> None:
        end(fleet, state, *rest)
        if state.cell.writes:
            session = fleet.sessions[state.cell.session]
            endings.publish(fleet, state.cell, session.stored_version + 1)

    put(stack, endings, "_end", publish)


# -- notifications --------------------------------------------------------------------------------


@planted(100, Promise.NOTICES)
def notifications_wait_for_nobody(stack: ExitStack) -> None:
    tell = Speaker._tell_host

    def lose(self: Speaker, effect: Any) -> None:
        if type(effect.message).__name__ != "NoticeOffered" or effect.message.number % 2 == 0:
            tell(self, effect)

    put(stack, Speaker, "_tell_host", lose)


PLANTS = planted_in(globals())
