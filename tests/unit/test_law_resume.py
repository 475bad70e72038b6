"""Resume: the whole table, races, confirmations, what a step may take, and lost workers."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from tidemark.protocol import host_answers as a
from tidemark.protocol import host_requests as h
from tidemark.protocol import worker_messages as w
from tidemark.protocol.packed import EventKind, Reason, Stepping
from tidemark.supervisor.core import records as r

from transcripts import saying
from transcripts.players import Host, Worker
from transcripts.stage import MS, SECOND, Stage


def at_frontier(
    stage: Stage, generation: int, *, replay: bool = True, **fields: Any
) -> tuple[Host, str, Worker]:
    """A pausable cell that is paused at this generation, each step having taken one result."""
    host = stage.host("tides", saying.tool("search"), replay=replay)
    cell = host.creates(**fields)
    worker = stage.worker(cell).hello()
    worker.says(*(saying.called(n) for n in range(1, generation + 1)), saying.paused(1))
    for left in range(1, generation):
        leave(host, cell, worker, left)
        worker.says(saying.paused(left + 1, left))
    return host, cell, worker


def leave(host: Host, cell: str, worker: Worker, generation: int) -> None:
    """The generation is resumed, confirmed, and given one result."""
    number = host.sends(h.Resume(cell, generation, None))
    worker.confirms()
    assert host.answer(number) == a.ResumedGiven(generation)
    host.finishes(cell, generation)


def shown(answer: Any) -> Any:
    """An answer as the table writes it."""
    if isinstance(answer, a.Refused):
        found = msgpack.unpackb(answer.attributes)
        if answer.code == "invalid_generation":
            return answer.code, found["requested"], found["latest"]
        return (answer.code, *found.values())
    if isinstance(answer, a.AlreadyGiven):
        return "already", answer.generation, answer.state, answer.latest
    return answer


def in_state(stage: Stage, name: str) -> tuple[Host, str, Worker]:
    host, cell, worker = at_frontier(
        stage, 1 if name in FRESH else 3, replay=not name.startswith("lost")
    )
    if name == "continuing":
        host.sends(h.Resume(cell, 3, None))
    if name in ("running", "completed running", "lost running", "terminated running"):
        leave(host, cell, worker, 3)
    if name.startswith("completed"):
        worker.says(saying.ended(None, 3 if "running" in name else 2))
    if name.startswith("terminated"):
        host.terminates(cell)
    if name.startswith("lost"):
        worker.ends(-11)
    stage.passes(SECOND)
    return host, cell, worker


FRESH = ("starting", "running fresh")
NOT_POSITIVE = [-(2**63), -1, 0]
#: state -> generation asked for -> answer; None: Continue is sent and nothing answered yet.
TABLE: dict[str, dict[int, Any]] = {
    "paused": {
        1: ("already", 1, "paused", 3),
        2: ("already", 2, "paused", 3),
        3: None,
        4: ("invalid_generation", 4, 3),
        2**63 - 1: ("invalid_generation", 2**63 - 1, 3),
    },
    "continuing": {
        2: ("already", 2, "paused", 3),
        3: None,
        4: ("invalid_generation", 4, 3),
    },
    "running": {
        1: ("already", 1, "running", 3),
        3: ("already", 3, "running", 3),
        4: ("invalid_generation", 4, 3),
    },
    "completed": {
        2: ("already", 2, "completed", 2),
        3: ("cell_closed", "completed"),
        4: ("cell_closed", "completed"),
    },
    "completed running": {
        3: ("already", 3, "completed", 3),
        4: ("cell_closed", "completed"),
    },
    "terminated": {
        2: ("already", 2, "terminated", 2),
        3: ("cell_closed", "terminated"),
        4: ("cell_closed", "terminated"),
    },
    "terminated running": {
        3: ("already", 3, "terminated", 3),
        4: ("cell_closed", "terminated"),
    },
    "lost": {
        2: ("already", 2, "completed", 2),
        3: ("cell_closed", "completed"),
    },
    "lost running": {
        3: ("already", 3, "completed", 3),
        4: ("cell_closed", "completed"),
    },
}


@pytest.mark.parametrize("name", TABLE)
def test_the_table(stage: Stage, name: str) -> None:
    host, cell, _ = in_state(stage, name)
    before = stage.state(cell).cell
    if "running" in name:
        latest: int | None = 3
    else:
        latest = 3 if name in ("paused", "continuing") else 2
    for generation in NOT_POSITIVE:
        answer = shown(host.resumes(cell, generation))
        assert answer == ("invalid_generation", generation, latest)
    for generation, expected in TABLE[name].items():
        if expected is not None:
            assert shown(host.resumes(cell, generation)) == expected
            assert shown(host.steps(cell, generation)) == expected
    assert stage.state(cell).cell == before, "a refusal changes nothing"
    for generation, expected in TABLE[name].items():
        if expected is None:
            assert host.resumes(cell, generation) is None
            assert stage.state(cell).cell == before, "a resume is not a fact before it is confirmed"


@pytest.mark.parametrize("name", FRESH)
def test_before_the_first_frontier_nothing_can_be_resumed(stage: Stage, name: str) -> None:
    host = stage.host()
    cell = host.creates()
    if name == "running fresh":
        stage.worker(cell).hello().says(saying.text("a"))
    for generation in (0, 1, 2):
        for answer in (host.resumes(cell, generation), host.steps(cell, generation)):
            assert shown(answer) == ("invalid_generation", generation, None)


def test_a_frontier_is_consumed_by_the_confirmation_and_its_commit(stage: Stage) -> None:
    host, cell, worker = at_frontier(stage, 1)
    frontier = host.waits(cell)
    number = host.sends(h.Resume(cell, 1, None))
    assert host.answer(number) is None
    assert host.waits(cell) == frontier, "observable until it is confirmed"
    worker.confirms()
    assert host.answer(number) == a.ResumedGiven(1)
    consumed = [
        entry.record
        for entry in stage.store.commits[-1]
        if isinstance(entry.record, r.GenerationConsumed)
    ]
    assert consumed == [r.GenerationConsumed(1, 1, host.ref(number), 0)]


def test_of_two_resumes_one_wins(stage: Stage) -> None:
    host, cell, worker = at_frontier(stage, 1)
    other = stage.host(None)
    first = host.sends(h.Resume(cell, 1, None))
    second = other.sends(h.Resume(cell, 1, None))
    third = other.sends(h.Step(cell, 1, None))
    assert other.answer(second) is None
    worker.confirms()
    assert host.answer(first) == a.ResumedGiven(1)
    assert other.answer(second) == a.AlreadyGiven(1, "running", 1)
    assert other.answer(third) == a.AlreadyGiven(1, "running", 1)
    assert len([m for m in worker.received if isinstance(m, w.Continue)]) == 1


def test_continue_is_repeated_until_it_is_confirmed(stage: Stage) -> None:
    host, cell, worker = at_frontier(stage, 1)
    number = host.sends(h.Resume(cell, 1, None))
    stage.passes(30 * SECOND)
    sent = [m for m in worker.received if isinstance(m, w.Continue)]
    assert len(sent) >= 5
    assert {(m.generation, m.upto, m.request) for m in sent} == {(1, 1, host.ref(number))}
    assert host.answer(number) is None
    worker.confirms()
    worker.confirms()  # each repeat is confirmed again, and moves nothing
    assert host.answer(number) == a.ResumedGiven(1)
    stage.passes(30 * SECOND)
    assert len([m for m in worker.received if isinstance(m, w.Continue)]) == len(sent)
    assert stage.state(cell).cell.consumed == 1


def test_two_confirmations_in_one_message(stage: Stage) -> None:
    host, cell, worker = at_frontier(stage, 1)
    number = host.sends(h.Resume(cell, 1, None))
    sent = worker.last(w.Continue)
    worker.says(saying.confirms(sent), saying.confirms(sent), saying.waited())
    assert host.answer(number) == a.ResumedGiven(1)
    assert stage.state(cell).cell.final is None


@pytest.mark.parametrize(
    ("stepping", "finished", "upto"),
    [
        (Stepping.DRAIN, 0, 1),
        (Stepping.DRAIN, 1, 1),
        (Stepping.DRAIN, 3, 3),
        (Stepping.ONE, 0, 1),
        (Stepping.ONE, 3, 1),
    ],
)
def test_how_many_inputs_a_step_may_take(
    stage: Stage, stepping: Stepping, finished: int, upto: int
) -> None:
    host = stage.host("tides", saying.tool("search"))
    cell = host.creates(stepping=stepping)
    worker = stage.worker(cell).hello()
    worker.says(*(saying.called(n) for n in (1, 2, 3)), saying.paused(1))
    for number in range(1, finished + 1):
        host.finishes(cell, number)
    assert not [m for m in worker.received if isinstance(m, w.Deliver)], "paused: inputs wait"
    host.sends(h.Resume(cell, 1, None))
    message = worker.last(w.Continue)
    assert message.upto == upto
    assert [each.number for each in message.inputs] == list(range(1, min(finished, upto) + 1))


def test_after_the_last_input_of_a_step_the_rest_waits(stage: Stage) -> None:
    host, cell, worker = at_frontier(stage, 1)
    worker.says(saying.text("a thread goes on while the cell is paused"))
    host.sends(h.Resume(cell, 1, None))
    worker.confirms()
    worker.says(saying.called(2), saying.called(3), saying.waited())
    host.finishes(cell, 3)
    host.finishes(cell, 2)
    assert [i.number for i in worker.last(w.Deliver).inputs] == [1]
    worker.says(saying.paused(2, 1))
    assert [mark.number for mark in host.waits(cell).event.calls] == [1, 2]
    host.sends(h.Resume(cell, 2, None))
    assert [i.number for i in worker.last(w.Continue).inputs] == [2]


def test_a_resume_with_nothing_queued_waits_for_the_first_input(stage: Stage) -> None:
    host, cell, worker = at_frontier(stage, 1)
    number = host.sends(h.Resume(cell, 1, None))
    worker.confirms()
    worker.says(saying.waited())
    assert host.answer(number) == a.ResumedGiven(1)
    status = host.ask(h.AskStatus(cell))
    assert (status.state, status.waiting_on) == ("idle", ("tool-1: search",))
    assert not status.stuck
    waiting = host.sends(h.WaitToPending(cell, False))
    stage.passes(SECOND)
    assert host.answer(waiting) is None, "no new frontier before an input was processed"


def test_a_cell_that_nothing_can_wake_is_stuck(stage: Stage) -> None:
    host = stage.host()
    cell = host.creates()
    worker = stage.worker(cell).hello()
    worker.says(saying.paused(1))
    assert host.ask(h.AskStatus(cell)).stuck
    host.sends(h.Resume(cell, 1, None))
    worker.confirms()
    worker.says(saying.waited())
    assert host.ask(h.AskStatus(cell)).stuck
    worker.says(saying.waited(0, None, "a thread"))
    assert not host.ask(h.AskStatus(cell)).stuck


def test_a_worker_that_dies_with_a_resume_in_flight(stage: Stage) -> None:
    """Without replay; with it, see test_law_replay.py."""
    host, cell, worker = at_frontier(stage, 1, replay=False)
    frontier = host.waits(cell)
    first = host.sends(h.Resume(cell, 1, None))
    second = host.sends(h.Resume(cell, 1, None))
    worker.ends(-9)
    stage.passes(SECOND)
    assert shown(host.answer(first)) == ("worker_lost", "the worker was killed by signal 9")
    assert shown(host.answer(second)) == ("worker_lost", "the worker was killed by signal 9")
    assert host.ask(h.AskFrontier(cell)).event == frontier.event
    final = host.waits(cell).event
    assert (final.kind, final.reason) == (EventKind.COMPLETED, Reason.LOST)
    assert stage.state(cell).cell.consumed == 0


def test_terminate_with_a_resume_in_flight(stage: Stage) -> None:
    host, cell, _ = at_frontier(stage, 1)
    resume = host.sends(h.Resume(cell, 1, None))
    terminate = host.sends(h.Terminate(cell, None))
    stage.passes(200 * MS)
    assert host.answer(terminate).event.kind is EventKind.TERMINATED
    assert shown(host.answer(resume)) == ("cell_closed", "terminated")


def test_a_step_is_a_resume_and_the_next_event(stage: Stage) -> None:
    host, cell, worker = at_frontier(stage, 1, replay=False)
    number = host.sends(h.Step(cell, 1, 1))
    assert worker.last(w.Continue).acknowledged == 1
    worker.confirms()
    assert host.answer(number) is None
    host.finishes(cell, 1)
    worker.says(saying.text("b"), saying.paused(2, 1))
    assert host.answer(number).event.generation == 2
    worker.ends(1)
    assert stage.state(cell).cell.final is not None


@pytest.mark.parametrize(
    ("generation", "upto", "request_too", "acknowledged"),
    [(1, 1, False, 0), (2, 1, True, 0), (1, 2, True, 0), (1, 1, True, 1)],
)
def test_a_confirmation_of_what_was_not_asked(
    stage: Stage,
    *,
    generation: int,
    upto: int,
    request_too: bool,
    acknowledged: int,
) -> None:
    """It may not leave another frontier or for somebody else, nor acknowledge for a host."""
    host, cell, worker = at_frontier(stage, 1)
    number = host.sends(h.Resume(cell, 1, None))
    ref = host.ref(number) if request_too else host.ref(1)
    worker.says(saying.confirmed(generation, upto, ref, acknowledged))
    stage.passes(SECOND)
    assert stage.state(cell).cell.consumed == 0
    assert host.answer(number).code == "worker_lost"
    assert worker.token in stage.processes.killed
