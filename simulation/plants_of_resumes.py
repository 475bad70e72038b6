"""Planted bugs: commit and then speak, frontiers and resumes."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from ..protocol.host_answers import AlreadyGiven, ResumedGiven
from ..protocol.packed import Stepping
from ..supervisor.core import (
    announce,
    ask_steps,
    turn,
)
from ..supervisor.core import records as r
from ..supervisor.core.effects import Reply
from ..supervisor.core.facts import Phase
from ..supervisor.core.fleet import Fleet
from ..supervisor.core.law import Outcome
from ..supervisor.shell.loop import Loop
from .planting import planted, planted_in, put
from .promise import Promise

# -- commit, then speak ---------------------------------------------------------------------------


@planted(100, Promise.CREATED)
def reply_before_commit(stack: ExitStack) -> None:
    decide = Loop._decide

    def decide_and_reply(self: Loop, *arguments: Any) -> None:
        decide(self, *arguments)
        replies = [effect for effect in self.fleet.effects if isinstance(effect, Reply)]
        self.speaker.speak(replies)
        for reply in replies:
            self.fleet.effects.remove(reply)

    put(stack, Loop, "_decide", decide_and_reply)


@planted(300, Promise.CREATED)
def a_failed_commit_is_not_undone(stack: ExitStack) -> None:
    def forget(self: Fleet) -> None:
        self.entries.clear()
        self.effects.clear()

    put(stack, Fleet, "undo", forget)


@planted(200, Promise.ONCE)
def a_repeat_is_forgotten_by_a_crash(stack: ExitStack) -> None:
    put(stack, turn, "Remembered", lambda kind, cell="": None)


# -- frontiers and resumes ------------------------------------------------------------------------


@planted(100, Promise.CONFIRMED)
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


@planted(100, Promise.NAMED)
def no_generation_check(stack: ExitStack) -> None:
    resume = ask_steps._resume

    def resume_any(state: Any, ref: Any, generation: int, *rest: Any) -> Outcome:
        paused = state.cell.phase is Phase.PAUSED
        return resume(state, ref, state.cell.generation if paused else generation, *rest)

    put(stack, ask_steps, "_resume", resume_any)


@planted(200, Promise.ONE_RESUMED)
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


@planted(800, Promise.TOLD)
def resumed_is_answered_when_the_worker_is_gone(stack: ExitStack) -> None:
    put(
        stack,
        announce,
        "_unresumed",
        lambda state, resuming: [Reply(resuming.ref, ResumedGiven(resuming.generation))],
    )


@planted(200, Promise.STEPS)
def one_resume_takes_all_inputs_whatever_was_asked(stack: ExitStack) -> None:
    begin = ask_steps._begin

    def drain(state: Any, *rest: Any) -> Outcome:
        stepping = replace(state, cell=replace(state.cell, stepping=Stepping.DRAIN))
        told = begin(stepping, *rest)
        return replace(told, state=replace(told.state, cell=state.cell))

    put(stack, ask_steps, "_begin", drain)


@planted(4_300, Promise.SAME_ANSWER)
def after_a_crash_whoever_asks_first_has_resumed(stack: ExitStack) -> None:
    consumed = announce._ANNOUNCE[r.GenerationConsumed]

    def first_come(before: Any, record: Any, after: Any, now_ns: int) -> Any:
        resuming = after.waits.resuming
        request = record.request if resuming is None else resuming.ref
        return consumed(before, replace(record, request=request), after, now_ns)

    put(stack, announce._ANNOUNCE, r.GenerationConsumed, first_come)


PLANTS = planted_in(globals())
