"""Planted bugs: lives of workers, and output."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from ..protocol.host_answers import Done
from ..protocol.ids import Incarnation
from ..supervisor.core import (
    announce,
    apply,
    ask_steps,
    attach_routes,
    turn,
    worker_routes,
    worker_starts,
)
from ..supervisor.core import records as r
from ..supervisor.core.effects import Effect, GiveEvent, KillWorker, Reply
from ..supervisor.core.facts import Phase
from ..supervisor.core.fleet import Fleet
from ..supervisor.core.hosts import CLOSED
from ..supervisor.core.law import Outcome
from ..supervisor.shell import speaker
from .planting import planted, planted_in, put
from .promise import Promise

# -- lives ----------------------------------------------------------------------------------------


@planted(4_300, Promise.LIVES)
def no_incarnation_check(stack: ExitStack) -> None:
    issue, hello = worker_starts.issue_worker, worker_routes._on_hello

    def keep_the_old(fleet: Fleet, state: Any, now_ns: int) -> Any:
        old = state.token
        issued = issue(fleet, state, now_ns)
        if old:
            fleet.tokens[old] = state.cell.id
        return issued

    def anybody(self: Fleet, token: bytes) -> Any:
        name = self.tokens.get(token)
        state = None if name is None else self.cells.get(name)
        return None if state is None else replace(state, token=token)

    def believe(fleet: Fleet, state: Any, message: Any, now_ns: int) -> None:
        hello(fleet, state, replace(message, incarnation=state.cell.incarnation), now_ns)

    put(stack, worker_starts, "issue_worker", keep_the_old)
    put(stack, Fleet, "by_token", anybody)
    put(stack, worker_routes, "_on_hello", believe)


@planted(100, Promise.LIVES)
def incarnation_restarts_after_a_crash(stack: ExitStack) -> None:
    def same_again(self: Fleet) -> Incarnation:
        return Incarnation(1, self.next_number("incarnation"))

    put(stack, Fleet, "next_incarnation", same_again)


@planted(100, Promise.BELIEVABLE)
def no_sequence_check(stack: ExitStack) -> None:
    on_said = worker_routes._on_said

    def take_all(fleet: Fleet, state: Any, message: Any, now_ns: int) -> None:
        on_said(fleet, state, replace(message, seq=state.cell.have + 1), now_ns)

    put(stack, worker_routes, "_on_said", take_all)


@planted(100, Promise.LIVENESS)
def an_adopted_worker_gets_no_inputs(stack: ExitStack) -> None:
    on_adopted = worker_routes._on_adopted

    def has_all(fleet: Fleet, state: Any, hello: Any, now_ns: int) -> None:
        on_adopted(fleet, state, replace(hello, inputs=1 << 40), now_ns)

    put(stack, worker_routes, "_on_adopted", has_all)


@planted(100, Promise.NONE_LEFT)
def terminate_kills_nobody(stack: ExitStack) -> None:
    terminated = announce._ANNOUNCE[r.CellTerminated]

    def mercy(before: Any, record: Any, after: Any, now_ns: int) -> Any:
        state, effects = terminated(before, record, after, now_ns)
        return state, tuple(each for each in effects if not isinstance(each, KillWorker))

    put(stack, announce._ANNOUNCE, r.CellTerminated, mercy)


@planted(100, Promise.ENDED)
def completion_after_terminate_is_accepted(stack: ExitStack) -> None:
    on_spoke = worker_routes.on_spoke

    def listen(fleet: Fleet, event: Any, now_ns: int) -> None:
        state = fleet.by_token(event.token)
        if state is not None and state.cell.phase is Phase.FINISHED:
            running = replace(state, cell=replace(state.cell, phase=Phase.RUNNING))
            fleet.put(running, now_ns)
        on_spoke(fleet, event, now_ns)

    put(stack, turn, "on_spoke", listen)


# -- output ---------------------------------------------------------------------------------------


@planted(100, Promise.CARRIED)
def output_is_carried_twice(stack: ExitStack) -> None:
    yielded = apply._APPLY[r.YieldMade]

    def again(cell: Any, record: Any, at_ns: int) -> Any:
        after = yielded(cell, record, at_ns)
        return replace(after, output=replace(after.output, start=record.event.start))

    put(stack, apply._APPLY, r.YieldMade, again)


@planted(100, Promise.CARRIED)
def acknowledgements_are_ignored(stack: ExitStack) -> None:
    put(stack, apply._APPLY, r.EventAcknowledged, lambda cell, record, at_ns: cell)
    consumed = apply._APPLY[r.GenerationConsumed]
    put(
        stack,
        apply._APPLY,
        r.GenerationConsumed,
        lambda cell, record, at_ns: consumed(cell, replace(record, acknowledged=0), at_ns),
    )


@planted(100, Promise.CARRIED)
def a_skipped_event_takes_its_output_along(stack: ExitStack) -> None:
    consumed = apply._APPLY[r.GenerationConsumed]

    def drop(cell: Any, record: Any, at_ns: int) -> Any:
        after = consumed(cell, record, at_ns)
        event = cell.output.event
        stop = after.output.start if event is None else event.stop
        return replace(after, output=replace(after.output, start=stop))

    put(stack, apply._APPLY, r.GenerationConsumed, drop)


@planted(100, Promise.CARRIED)
def the_end_forgets_what_nobody_had(stack: ExitStack) -> None:
    terminate = ask_steps.terminate

    def short(state: Any, ref: Any) -> Outcome:
        output = state.cell.output
        kept = replace(output, start=output.total)
        return terminate(replace(state, cell=replace(state.cell, output=kept)), ref)

    put(stack, ask_steps, "terminate", short)


# -- sessions that are closed ---------------------------------------------------------------------


@planted(100, Promise.END_TOLD)
def a_close_is_answered_before_the_ends(stack: ExitStack) -> None:
    def events_last(effects: Sequence[Effect]) -> Sequence[Effect]:
        return sorted(effects, key=lambda effect: isinstance(effect, GiveEvent))

    put(stack, vars(speaker), "_calls_first", events_last)


@planted(100, Promise.END_TOLD)
def a_close_does_not_wait_for_the_ends(stack: ExitStack) -> None:
    def at_once(fleet: Fleet, now_ns: int) -> None:
        for ref in list(fleet.closing):
            attach_routes._end_cells(fleet, fleet.closing[ref], ref, now_ns)
            fleet.closing.pop(ref)
            fleet.speak(Reply(ref, Done()))
            attach_routes.end_attachment(fleet, ref.attachment, CLOSED, now_ns)

    put(stack, vars(turn), "close_if_done", at_once)


PLANTS = planted_in(globals())
