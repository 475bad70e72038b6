"""Bugs planted in the production code: a simulator that does not find them proves nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from tidemark.protocol.host_answers import AlreadyGiven, ResumedGiven
from tidemark.protocol.ids import Incarnation
from tidemark.protocol.packed import Stepping
from tidemark.supervisor.core import (
    announce,
    apply,
    ask_steps,
    attach_routes,
    endings,
    host_routes,
    offers,
    turn,
    worker_routes,
)
from tidemark.supervisor.core import records as r
from tidemark.supervisor.core.effects import KillWorker, Reply
from tidemark.supervisor.core.facts import Phase
from tidemark.supervisor.core.fleet import Fleet
from tidemark.supervisor.core.law import Outcome
from tidemark.supervisor.shell.loop import Loop
from tidemark.supervisor.shell.speaker import Speaker

Plant = Callable[[ExitStack], None]
MUTANTS: dict[str, tuple[Plant, int]] = {}


def planted(seeds_max: int) -> Callable[[Plant], Plant]:
    """A bug, which must be found within so many seeds."""

    def register(plant: Plant) -> Plant:
        MUTANTS[plant.__name__.replace("_", " ")] = (plant, seeds_max)
        return plant

    return register


@contextmanager
def mutant(name: str) -> Iterator[None]:
    """The production code with this bug."""
    with ExitStack() as stack:
        MUTANTS[name][0](stack)
        yield


def put(stack: ExitStack, owner: Any, name: Any, value: Any) -> None:
    """Replace an attribute, or an entry of a table, until the stack is left."""
    if isinstance(owner, dict):
        before = owner[name]
        owner[name] = value
        stack.callback(owner.__setitem__, name, before)
    else:
        stack.callback(setattr, owner, name, owner.__dict__[name])
        setattr(owner, name, value)


# -- commit, then speak ---------------------------------------------------------------------------


@planted(300)
def reply_before_commit(stack: ExitStack) -> None:
    decide = Loop._decide

    def decide_and_reply(self: Loop, *arguments: Any) -> None:
        decide(self, *arguments)
        replies = [effect for effect in self.fleet.effects if isinstance(effect, Reply)]
        self.speaker.speak(replies)
        for reply in replies:
            self.fleet.effects.remove(reply)

    put(stack, Loop, "_decide", decide_and_reply)


@planted(1_000)
def a_failed_commit_is_not_undone(stack: ExitStack) -> None:
    def forget(self: Fleet) -> None:
        self.entries.clear()
        self.effects.clear()

    put(stack, Fleet, "undo", forget)


@planted(300)
def a_repeat_is_forgotten_by_a_crash(stack: ExitStack) -> None:
    put(stack, turn, "Remembered", lambda kind, cell="": None)


# -- frontiers and resumes ------------------------------------------------------------------------


@planted(100)
def consumed_before_the_confirmation(stack: ExitStack) -> None:
    begin, consumed = ask_steps._begin, announce._ANNOUNCE[r.GenerationConsumed]

    def begin_at_once(state: Any, ref: Any, *rest: Any) -> Outcome:
        told = begin(state, ref, *rest)
        resuming = told.state.waits.resuming
        assert resuming is not None
        record = r.GenerationConsumed(resuming.generation, resuming.upto, ref, 0)
        return Outcome(told.state, records=(record,))

    def continue_too(before: Any, record: Any, after: Any, now_ns: int) -> Any:
        state, effects = consumed(before, record, after, now_ns)
        resuming = after.waits.resuming
        send = () if resuming is None else (ask_steps.continue_of(after, resuming),)
        return state, (*send, *effects)

    put(stack, ask_steps, "_begin", begin_at_once)
    put(stack, announce._ANNOUNCE, r.GenerationConsumed, continue_too)


@planted(200)
def no_generation_check(stack: ExitStack) -> None:
    resume = ask_steps._resume

    def resume_any(state: Any, ref: Any, generation: int, *rest: Any) -> Outcome:
        paused = state.cell.phase is Phase.PAUSED
        return resume(state, ref, state.cell.generation if paused else generation, *rest)

    put(stack, ask_steps, "_resume", resume_any)


@planted(300)
def resumed_is_answered_to_both_racers(stack: ExitStack) -> None:
    consumed = announce._ANNOUNCE[r.GenerationConsumed]

    def generous(before: Any, record: Any, after: Any, now_ns: int) -> Any:
        state, effects = consumed(before, record, after, now_ns)
        return state, tuple(
            Reply(each.to, ResumedGiven(record.generation))
            if isinstance(each, Reply) and isinstance(each.answer, AlreadyGiven)
            else each
            for each in effects
        )

    put(stack, announce._ANNOUNCE, r.GenerationConsumed, generous)


@planted(500)
def resumed_is_answered_when_the_worker_is_gone(stack: ExitStack) -> None:
    put(
        stack,
        announce,
        "_unresumed",
        lambda state, resuming: [Reply(resuming.ref, ResumedGiven(resuming.generation))],
    )


@planted(200)
def one_resume_takes_all_inputs_whatever_was_asked(stack: ExitStack) -> None:
    begin = ask_steps._begin

    def drain(state: Any, *rest: Any) -> Outcome:
        stepping = replace(state, cell=replace(state.cell, stepping=Stepping.DRAIN))
        told = begin(stepping, *rest)
        return replace(told, state=replace(told.state, cell=state.cell))

    put(stack, ask_steps, "_begin", drain)


@planted(1_000)
def after_a_crash_whoever_asks_first_has_resumed(stack: ExitStack) -> None:
    consumed = announce._ANNOUNCE[r.GenerationConsumed]

    def first_come(before: Any, record: Any, after: Any, now_ns: int) -> Any:
        resuming = after.waits.resuming
        request = record.request if resuming is None else resuming.ref
        return consumed(before, replace(record, request=request), after, now_ns)

    put(stack, announce._ANNOUNCE, r.GenerationConsumed, first_come)


# -- lives ----------------------------------------------------------------------------------------


@planted(1_000)
def no_incarnation_check(stack: ExitStack) -> None:
    issue, hello = worker_routes.issue_worker, worker_routes._on_hello

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

    put(stack, worker_routes, "issue_worker", keep_the_old)
    put(stack, Fleet, "by_token", anybody)
    put(stack, worker_routes, "_on_hello", believe)


@planted(200)
def incarnation_restarts_after_a_crash(stack: ExitStack) -> None:
    def same_again(self: Fleet) -> Incarnation:
        return Incarnation(1, self.next_number("incarnation"))

    put(stack, Fleet, "next_incarnation", same_again)


@planted(300)
def no_sequence_check(stack: ExitStack) -> None:
    on_said = worker_routes._on_said

    def take_all(fleet: Fleet, state: Any, message: Any, now_ns: int) -> None:
        on_said(fleet, state, replace(message, seq=state.cell.have + 1), now_ns)

    put(stack, worker_routes, "_on_said", take_all)


@planted(500)
def an_adopted_worker_gets_no_inputs(stack: ExitStack) -> None:
    on_adopted = worker_routes._on_adopted

    def has_all(fleet: Fleet, state: Any, hello: Any, now_ns: int) -> None:
        on_adopted(fleet, state, replace(hello, inputs=1 << 40), now_ns)

    put(stack, worker_routes, "_on_adopted", has_all)


@planted(200)
def terminate_kills_nobody(stack: ExitStack) -> None:
    terminated = announce._ANNOUNCE[r.CellTerminated]

    def mercy(before: Any, record: Any, after: Any, now_ns: int) -> Any:
        state, effects = terminated(before, record, after, now_ns)
        return state, tuple(each for each in effects if not isinstance(each, KillWorker))

    put(stack, announce._ANNOUNCE, r.CellTerminated, mercy)


@planted(200)
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


@planted(200)
def output_is_carried_twice(stack: ExitStack) -> None:
    yielded = apply._APPLY[r.YieldMade]

    def again(cell: Any, record: Any, at_ns: int) -> Any:
        after = yielded(cell, record, at_ns)
        return replace(after, output=replace(after.output, start=record.event.start))

    put(stack, apply._APPLY, r.YieldMade, again)


@planted(200)
def acknowledgements_are_ignored(stack: ExitStack) -> None:
    put(stack, apply._APPLY, r.EventAcknowledged, lambda cell, record, at_ns: cell)
    consumed = apply._APPLY[r.GenerationConsumed]
    put(
        stack,
        apply._APPLY,
        r.GenerationConsumed,
        lambda cell, record, at_ns: consumed(cell, replace(record, acknowledged=0), at_ns),
    )


@planted(300)
def a_skipped_event_takes_its_output_along(stack: ExitStack) -> None:
    consumed = apply._APPLY[r.GenerationConsumed]

    def drop(cell: Any, record: Any, at_ns: int) -> Any:
        after = consumed(cell, record, at_ns)
        event = cell.output.event
        stop = after.output.start if event is None else event.stop
        return replace(after, output=replace(after.output, start=stop))

    put(stack, apply._APPLY, r.GenerationConsumed, drop)


@planted(500)
def the_end_forgets_what_nobody_had(stack: ExitStack) -> None:
    terminate = ask_steps.terminate

    def short(state: Any, ref: Any) -> Outcome:
        output = state.cell.output
        kept = replace(output, start=output.total)
        return terminate(replace(state, cell=replace(state.cell, output=kept)), ref)

    put(stack, ask_steps, "terminate", short)


# -- inputs and calls -----------------------------------------------------------------------------


@planted(100)
def inputs_are_numbered_twice(stack: ExitStack) -> None:
    finished = apply._APPLY[r.CallFinished]

    def stay(cell: Any, record: Any, at_ns: int) -> Any:
        after = finished(cell, record, at_ns)
        return replace(after, inputs=cell.inputs) if cell.inputs else after

    put(stack, apply._APPLY, r.CallFinished, stay)


@planted(500)
def a_reconnect_dispatches_calls_again(stack: ExitStack) -> None:
    offer_again = attach_routes.offer_again

    def once_more(fleet: Fleet, attachment: Any, holding: Any) -> None:
        offer_again(fleet, attachment, frozenset())
        for state in list(fleet.cells.values()):
            for call in state.cell.calls.values():
                if call.attachment == attachment.number and not call.input:
                    offer = offers._offer(state, call)
                    fleet.speak(replace(offer, attempt=offer.attempt + 1))

    put(stack, attach_routes, "offer_again", once_more)


@planted(500)
def an_unknown_outcome_is_retried_at_once(stack: ExitStack) -> None:
    def retry(fleet: Fleet, name: str, call: Any, attachment: Any, now_ns: int) -> None:
        cell = fleet.cells[name].cell
        fleet.backlog(cell.session)[(name, call.number)] = None

    put(stack, offers, "_decide_unknown", retry)


@planted(500)
def offers_are_not_repeated(stack: ExitStack) -> None:
    put(stack, attach_routes, "offer_again", lambda fleet, attachment, holding: None)


# -- stored values --------------------------------------------------------------------------------


@planted(300)
def writes_are_visible_at_terminate(stack: ExitStack) -> None:
    terminate = host_routes._terminate

    def publish(fleet: Fleet, attachment: Any, ref: Any, ask: Any, now_ns: int) -> None:
        before = fleet.cells.get(ask.cell)
        terminate(fleet, attachment, ref, ask, now_ns)
        if before is not None and before.cell.final is None and before.cell.writes:
            session = fleet.sessions[before.cell.session]
            endings.publish(fleet, before.cell, session.stored_version + 1)

    put(stack, host_routes._ASKS, host_routes.h.Terminate, publish)


@planted(1_500)
def a_cell_reads_the_newest_values(stack: ExitStack) -> None:
    on_fetch = worker_routes._on_fetch

    def newest(fleet: Fleet, state: Any, fetch: Any) -> None:
        version = fleet.sessions[state.cell.session].stored_version
        on_fetch(fleet, replace(state, cell=replace(state.cell, stored_version=version)), fetch)

    put(stack, worker_routes, "_on_fetch", newest)


@planted(300)
def a_lost_cell_publishes_its_writes(stack: ExitStack) -> None:
    end = endings._end

    def publish(fleet: Fleet, state: Any, *rest: Any) -> None:
        end(fleet, state, *rest)
        if state.cell.writes:
            session = fleet.sessions[state.cell.session]
            endings.publish(fleet, state.cell, session.stored_version + 1)

    put(stack, endings, "_end", publish)


# -- notifications --------------------------------------------------------------------------------


@planted(1_500)
def notifications_wait_for_nobody(stack: ExitStack) -> None:
    tell = Speaker._tell_host

    def lose(self: Speaker, effect: Any) -> None:
        if type(effect.message).__name__ != "NoticeOffered" or effect.message.number % 2 == 0:
            tell(self, effect)

    put(stack, Speaker, "_tell_host", lose)
