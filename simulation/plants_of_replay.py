"""Planted bugs: cells that are run again."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from ..protocol.worker_messages import EarlierLife
from ..supervisor.core import announce, apply, ask_steps, losses, offers, past, replay_routes
from ..supervisor.core import records as r
from ..supervisor.core.effects import Refuse
from ..supervisor.core.facts import Phase
from ..supervisor.core.fleet import Fleet
from ..supervisor.core.law import CellState, Outcome
from ..supervisor.core.past import Compared, Past
from ..supervisor.shell.worker_speaker import WorkerSpeaker
from .planting import planted, planted_in, put
from .promise import Promise

# -- what is said again ---------------------------------------------------------------------------


@planted(300, Promise.HONEST)
def what_is_said_again_is_recorded_again(stack: ExitStack) -> None:
    def all_new(past: Past, position: int, items: Any, cell: Any) -> Compared:
        return Compared(len(past.steps), items)

    put(stack, replay_routes, "compare", all_new)


@planted(2_500, Promise.OUTPUT)
def replay_ends_a_step_too_early(stack: ExitStack) -> None:
    compare = past.compare

    def impatient(past: Past, position: int, items: Any, cell: Any) -> Compared:
        *steps, last = past.steps
        short = replace(past, steps=tuple(steps)) if isinstance(last, r.Put) else past
        return compare(short, position, items, cell)

    put(stack, replay_routes, "compare", impatient)


@planted(300, Promise.UNKNOWN)
def calls_are_dispatched_again(stack: ExitStack) -> None:
    restored = replay_routes._restored

    def offer_again(fleet: Fleet, state: CellState, seq: int, now_ns: int) -> CellState:
        after = restored(fleet, state, seq, now_ns)
        for call in state.cell.calls.values():
            fleet.backlog(state.cell.session)[(state.cell.id, call.number)] = None
        offers.offer_calls(fleet, state.cell.session, now_ns)
        return after

    put(stack, replay_routes, "_restored", offer_again)


@planted(300, Promise.BELIEVABLE)
def the_old_worker_s_place_in_the_stream_is_kept(stack: ExitStack) -> None:
    issued = apply._APPLY[r.WorkerIssued]

    def keep(cell: Any, record: Any, at_ns: int) -> Any:
        return replace(issued(cell, record, at_ns), have=cell.have)

    put(stack, apply._APPLY, r.WorkerIssued, keep)


# -- what it is run again with --------------------------------------------------------------------


@planted(500, Promise.SAME_AGAIN)
def the_clock_is_not_told_again(stack: ExitStack) -> None:
    give = WorkerSpeaker._give_start

    def timeless(self: WorkerSpeaker, effect: Any) -> None:
        if effect.earlier is not None:
            earlier = replace(effect.earlier, ticks=0, readings=0)
            effect = replace(effect, earlier=earlier, past=replace(effect.past, ticks=()))
        give(self, effect)

    put(stack, WorkerSpeaker, "_give_start", timeless)


@planted(300, Promise.SAME_AGAIN)
def frontiers_are_counted_anew(stack: ExitStack) -> None:
    earlier = Past.earlier

    def anew(self: Past, cell: Any) -> EarlierLife:
        return replace(earlier(self, cell), generation=0, left=0)

    put(stack, Past, "earlier", anew)


@planted(500, Promise.SAME_AGAIN)
def a_result_is_forgotten(stack: ExitStack) -> None:
    deliverable = past.deliverable

    def one_less(cell: Any) -> int:
        last = deliverable(cell)
        return last - 1 if cell.replays and cell.phase is Phase.PAUSED else last

    put(stack, past, "deliverable", one_less)
    put(stack, replay_routes, "deliverable", one_less)


# -- what becomes of a lost worker's cell ---------------------------------------------------------


@planted(500, Promise.COUNTED)
def losses_count_that_are_not_the_cell_s(stack: ExitStack) -> None:
    lost = losses.worker_lost

    def blame(fleet: Fleet, state: CellState, why: str, now_ns: int, *, counts: bool) -> None:
        lost(fleet, state, why, now_ns, counts=True)

    put(stack, losses, "worker_lost", blame)


@planted(1_000, Promise.REFUSED)
def a_resume_in_flight_is_refused_with_the_loss(stack: ExitStack) -> None:
    lost = losses.worker_lost

    def refuse(fleet: Fleet, state: CellState, *rest: Any, counts: bool) -> None:
        resuming = state.waits.resuming
        if resuming is not None:
            fleet.speak(Refuse(resuming.ref, "worker_lost", "it is gone", {"reason": "killed"}))
        lost(fleet, state, *rest, counts=counts)

    put(stack, losses, "worker_lost", refuse)


@planted(1_000, Promise.LIVENESS)
def after_a_replay_continue_is_not_sent(stack: ExitStack) -> None:
    restored = announce._ANNOUNCE[r.CellRestored]

    def silent(before: Any, record: Any, after: Any, now_ns: int) -> Any:
        state, effects = restored(before, record, after, now_ns)
        resuming = state.waits.resuming
        if resuming is not None:
            state = state.waiting(resuming=replace(resuming, repeat_at_ns=1 << 62))
        continues = type(ask_steps.continue_of(state, resuming)) if resuming else ()
        return state, tuple(each for each in effects if not isinstance(each, continues))

    put(stack, announce._ANNOUNCE, r.CellRestored, silent)


@planted(1_000, Promise.CONFIRMED)
def the_loss_confirms_a_resume(stack: ExitStack) -> None:
    lost = losses.worker_lost

    def consume(fleet: Fleet, state: CellState, why: str, now_ns: int, *, counts: bool) -> None:
        resuming = state.waits.resuming
        if resuming is not None:
            record = r.GenerationConsumed(resuming.generation, resuming.upto, resuming.ref, 0)
            state = fleet.settle(Outcome(state, records=(record,)), now_ns)
        lost(fleet, state, why, now_ns, counts=counts)

    put(stack, losses, "worker_lost", consume)


PLANTS = planted_in(globals())
