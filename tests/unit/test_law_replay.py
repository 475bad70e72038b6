"""A lost worker's cell is run again: when, with what, and what is recorded and told of it."""

from __future__ import annotations

from typing import Any

import pytest
from tidemark.protocol import host_answers as a
from tidemark.protocol import host_requests as h
from tidemark.protocol import worker_messages as w
from tidemark.protocol.limits import Limits
from tidemark.protocol.packed import CellKind, EventKind, Reason
from tidemark.supervisor.core import records as r
from tidemark.supervisor.core.acknowledging import ACKNOWLEDGE_MESSAGES
from tidemark.supervisor.core.fleet import REPLAYS_MAX
from tidemark.supervisor.core.replay_routes import INPUTS_AT_ONCE
from tidemark.supervisor.core.worker_starts import GREET_NS

from fakes.later_lives import (
    BEGINNING,
    FREE,
    continues,
    forks,
    given,
    kinds,
    next_life,
    paused,
    records,
    stepped,
    waiting,
)
from transcripts import saying
from transcripts.players import Host, output
from transcripts.stage import MS, SECOND, Stage

# -- what a loss does -----------------------------------------------------------------------------


def test_a_paused_cell_loses_nothing(stage: Stage) -> None:
    host, cell, worker = paused(stage)
    before, since = host.waits(cell), len(records(stage, cell))
    worker.ends(-9)
    stage.passes(60 * SECOND)
    assert kinds(stage, cell, since) == [r.WorkerLost]
    lost = records(stage, cell)[-1]
    assert isinstance(lost, r.WorkerLost)
    assert (lost.incarnation, lost.counts) == (worker.incarnation, True)
    assert forks(stage, cell) == 1, "there is nothing to do for a worker"
    assert host.waits(cell) == before
    assert host.ask(h.AskFrontier(cell)).event == before.event
    status = host.ask(h.AskStatus(cell))
    assert (status.state, status.generation, status.pid) == ("paused", 1, 0)


def test_a_running_cell_is_run_again_at_once(stage: Stage) -> None:
    host, cell, worker = stepped(stage)
    since = len(records(stage, cell))
    worker.ends(-11)
    assert kinds(stage, cell, since) == [r.WorkerLost, r.WorkerIssued]
    assert host.ask(h.AskStatus(cell)).state == "recovering"
    again = next_life(stage, cell, worker)
    start = again.last(w.Start)
    assert start.began_ns == worker.last(w.Start).began_ns, "the same clock in every life"
    assert start.seed == worker.last(w.Start).seed
    assert start.earlier == w.EarlierLife(
        ticks=0, readings=0, taken=0, generation=1, left=1, upto=1
    )
    assert host.ask(h.AskStatus(cell)).restarts == 1


def test_a_waiting_cell_needs_no_worker(stage: Stage) -> None:
    host, cell, worker = waiting(stage)
    worker.ends(-9)
    stage.passes(60 * SECOND)
    assert forks(stage, cell) == 1
    assert host.ask(h.AskStatus(cell)).state == "idle"


@pytest.mark.parametrize("kind", [CellKind.PAUSABLE, FREE])
def test_a_cell_that_had_said_nothing_begins_anew(stage: Stage, kind: CellKind) -> None:
    host = stage.host()
    cell = host.creates(kind)
    worker = stage.worker(cell).hello()
    since = len(records(stage, cell))
    worker.ends(-9)
    assert kinds(stage, cell, since) == [r.WorkerGreeted, r.WorkerLost, r.WorkerIssued]
    again = next_life(stage, cell, worker)
    assert again.last(w.Start).earlier is None, "there is nothing to compare with"
    again.says(saying.text("a"), saying.ended())
    final = (host.waits if kind is CellKind.PAUSABLE else host.observes)(cell).event
    assert (final.reason, [each.content for each in final.output]) == (Reason.ENDED, ["a"])


def test_one_that_was_put_to_sleep(stage: Stage) -> None:
    """As if its worker had been lost, but that this is nobody's fault; its end is known."""
    host, cell, worker = paused(stage)
    since = len(records(stage, cell))
    assert host.ask(h.Hibernate(cell)) == a.Hibernated("")
    assert worker.token in stage.processes.killed
    assert kinds(stage, cell, since) == [r.WorkerLost]
    assert stage.state(cell).cell.losses == ()
    number = host.sends(h.Resume(cell, 1, None))
    assert host.ask(h.Hibernate(cell)).why, "it is needed now"
    again = next_life(stage, cell, worker)
    again.says(*BEGINNING, saying.paused(1))
    again.confirms()
    assert host.answer(number) == a.ResumedGiven(1)


# -- what wakes it --------------------------------------------------------------------------------


def test_a_resume_wakes_a_paused_cell(stage: Stage) -> None:
    host, cell, worker = paused(stage)
    worker.ends(-9)
    number = host.sends(h.Resume(cell, 1, None))
    assert forks(stage, cell) == 2
    assert host.answer(number) is None
    again = next_life(stage, cell, worker)
    assert not continues(again), "it has not come to its frontier yet"
    again.says(*BEGINNING, saying.paused(1))
    assert [message.request for message in continues(again)] == [host.ref(number)]
    assert host.answer(number) is None
    again.confirms()
    assert host.answer(number) == a.ResumedGiven(1)


def test_nothing_else_wakes_a_paused_cell(stage: Stage) -> None:
    host = stage.host("tides", saying.tool("search"))
    cell = host.creates()
    worker = stage.worker(cell).hello()
    worker.says(saying.called(1), saying.paused(1, 0, stage.clock.ns + SECOND))
    worker.ends(-9)
    host.finishes(cell, 1)
    stage.passes(2 * SECOND)
    assert stage.state(cell).cell.inputs == 2, "the result and the timer wait in the journal"
    assert host.waits(cell).event.generation == 1
    host.ask(h.AskStatus(cell))
    host.ask(h.AskHistory(cell, 0, 10))
    host.resumes(cell, 2)  # which there is not
    assert forks(stage, cell) == 1


def test_an_input_that_it_may_take_wakes_a_waiting_cell(stage: Stage) -> None:
    host, cell, worker = waiting(stage)
    worker.ends(-9)
    host.finishes(cell, 2)
    assert forks(stage, cell) == 2
    again = next_life(stage, cell, worker)
    assert given(again) == [1]


def test_a_timer_wakes_a_waiting_cell(stage: Stage) -> None:
    host = stage.host()
    cell = host.creates(FREE)
    worker = stage.worker(cell).hello()
    due_ns = stage.clock.ns + SECOND
    worker.says(saying.waited(0, due_ns))
    worker.ends(-9)
    stage.passes(SECOND - 1)
    assert forks(stage, cell) == 1
    stage.passes(1)
    again = next_life(stage, cell, worker)
    assert given(again) == [1]
    again.says(saying.waited(0, due_ns), saying.text("b"), saying.waited(1))
    assert output(host.observes(cell, None, 0)) == ["b"]


def test_an_observer_wakes_a_waiting_cell(stage: Stage) -> None:
    host, cell, worker = waiting(stage)
    worker.ends(-9)
    number = host.sends(h.Observe(cell, None, SECOND, False))
    assert forks(stage, cell) == 2
    again = next_life(stage, cell, worker)
    again.says(*BEGINNING, saying.waited(), saying.text("b"), saying.ended())
    stage.passes(200 * MS)  # its calls are cancelled
    assert output(host.answer(number)) == ["a", "b"]


def test_an_observation_ends_in_its_time_also_without_a_worker(stage: Stage) -> None:
    host, cell, worker = waiting(stage)
    stage.processes.forks = False
    worker.ends(-9)
    number = host.sends(h.Observe(cell, None, SECOND, False))
    stage.passes(SECOND)
    answer = host.answer(number)
    assert (answer.event.kind, output(answer)) == (EventKind.YIELDED, ["a"])


def test_who_waits_for_the_next_frontier_wakes_a_cell_that_runs(stage: Stage) -> None:
    host, cell, worker = paused(stage)
    host.sends(h.Resume(cell, 1, None))
    worker.confirms()
    worker.says(saying.waited())
    worker.ends(-9)
    assert forks(stage, cell) == 1, "it waits for an input, and there is none"
    number = host.sends(h.WaitToPending(cell, False))
    again = next_life(stage, cell, worker)
    again.says(*BEGINNING, saying.waited())
    host.finishes(cell, 2)
    assert given(again) == [1]
    again.says(saying.paused(2, 1))
    assert host.answer(number).event.generation == 2


# -- a resume across a loss -----------------------------------------------------------------------


@pytest.mark.parametrize("losses", [1, 2])
def test_a_resume_in_flight_is_resumed_once(stage: Stage, losses: int) -> None:
    host, cell, worker = paused(stage)
    other = stage.host(None)
    first = host.sends(h.Resume(cell, 1, None))
    follower = other.sends(h.Resume(cell, 1, None))
    step = other.sends(h.Step(cell, 1, None))
    for _ in range(losses):
        worker.ends(-9)
        stage.passes(SECOND)
        worker = next_life(stage, cell, worker)
    assert [host.answer(first), other.answer(follower), other.answer(step)] == [None] * 3
    late = other.sends(h.Resume(cell, 1, None))
    worker.says(*BEGINNING, saying.paused(1))
    worker.confirms()
    assert host.answer(first) == a.ResumedGiven(1)
    for number in (follower, step, late):
        assert other.answer(number) == a.AlreadyGiven(1, "running", 1)
    consumed = [each for each in records(stage, cell) if isinstance(each, r.GenerationConsumed)]
    assert consumed == [r.GenerationConsumed(1, 1, host.ref(first), 0)]
    assert host.repeats(first) == a.ResumedGiven(1)


def test_a_step_across_a_loss_gives_the_next_frontier(stage: Stage) -> None:
    host, cell, worker = paused(stage)
    number = host.sends(h.Step(cell, 1, 1))
    host.finishes(cell, 1)
    worker.ends(-9)
    again = next_life(stage, cell, worker)
    again.says(*BEGINNING, saying.paused(1))
    (message,) = continues(again)
    assert (message.acknowledged, [each.number for each in message.inputs]) == (1, [1])
    again.confirms()
    again.says(saying.text("b"), saying.paused(2, 1))
    answer = host.answer(number)
    assert (answer.event.generation, output(answer)) == (2, ["b"])


def test_a_loss_after_the_confirmation(stage: Stage) -> None:
    """The generation is consumed: the next life does not pause there."""
    host, cell, worker = stepped(stage)
    worker.ends(-9)
    assert host.resumes(cell, 1) == a.AlreadyGiven(1, "running", 1)
    again = next_life(stage, cell, worker)
    assert given(again) == [1]
    again.says(*BEGINNING, saying.waited(0), saying.text("b"))
    again.says(saying.paused(2, 1))
    assert not continues(again)
    frontier = host.waits(cell)
    assert (frontier.event.generation, output(frontier)) == (2, ["a", "b"])


# -- nothing twice, and nothing missing -----------------------------------------------------------


def test_what_is_said_again_is_not_recorded(stage: Stage) -> None:
    host, cell, worker = waiting(stage)
    worker.says(saying.wrote("k", 1), saying.yielded(), saying.waited())
    since = len(records(stage, cell))
    told = len(host.heard(a.CallOffered)), len(host.heard(a.NoticeOffered))
    worker.ends(-9)
    host.finishes(cell, 1)
    again = next_life(stage, cell, worker)
    for item in (*BEGINNING, saying.waited(), saying.wrote("k", 1)):
        again.says(item)
    during = [r.WorkerLost, r.CallFinished, r.WorkerIssued]
    assert kinds(stage, cell, since) == during
    again.says(saying.yielded(), saying.waited())
    assert kinds(stage, cell, since) == [*during, r.CellRestored]
    again.says(saying.text("b"), saying.notified("m"), saying.called(3), saying.ended(None, 1))
    stage.passes(SECOND)
    first = host.observes(cell)
    assert output(first) == ["a"], "the first yield is remembered, and it was in the first life"
    assert output(host.observes(cell, first.event.number)) == ["b"]
    assert len(host.heard(a.CallOffered)) == told[0], "nobody needs the call of an ended cell"
    assert len(host.heard(a.NoticeOffered)) == told[1] + 1
    assert host.ask(h.StoredKeys()) == a.KeysGiven(("k",))


def test_past_and_present_in_one_message(stage: Stage) -> None:
    host, cell, worker = waiting(stage)
    worker.ends(-9)
    host.finishes(cell, 1)
    again = next_life(stage, cell, worker)
    again.says(*BEGINNING, saying.waited(0), saying.text("b"), saying.called(3), saying.waited(1))
    restored, said = records(stage, cell)[-3:-1]
    assert isinstance(restored, r.CellRestored)
    assert isinstance(said, r.WorkerSaid)
    assert (restored.seq, said.seq) == (0, 1)
    assert [type(each) for each in said.steps] == [r.Put, r.CallMade, r.WaitBegun]
    assert [offer.call.number for offer in host.heard(a.CallOffered)] == [1, 2, 3]
    assert output(host.observes(cell, None, 0)) == ["a", "b"]
    host.finishes(cell, 3)
    assert given(again) == [1, 2]


def test_what_it_says_in_a_third_life(stage: Stage) -> None:
    """The past of the third life is what the first and the second have said."""
    host, cell, worker = waiting(stage)
    worker.ends(-9)
    host.finishes(cell, 1)
    second = next_life(stage, cell, worker)
    second.says(*BEGINNING, saying.waited(0))
    second.says(saying.text("b"), saying.waited(1))
    second.ends(-9)
    host.finishes(cell, 2)
    third = next_life(stage, cell, second)
    assert third.last(w.Start).earlier == w.EarlierLife(0, 0, 1, 0, 0, 0)
    third.says(*BEGINNING, saying.waited(0), saying.text("b"))
    assert r.CellRestored not in kinds(stage, cell, -1)
    third.says(saying.waited(1), saying.text("c"), saying.waited(2))
    assert output(host.observes(cell, None, 0)) == ["a", "b", "c"]


def test_stored_values_are_fetched_again(stage: Stage) -> None:
    """As they were when the cell was created, whatever was stored since."""
    host = stage.host()
    host.ask(h.StoredSet("k", b"\x01"))
    cell = host.creates(FREE)
    host.ask(h.StoredSet("k", b"\x02"))
    worker = stage.worker(cell).hello()
    worker.says(saying.text("a"))
    worker.ends(-9)
    again = next_life(stage, cell, worker)
    again.sends(w.Fetch(again.epoch, 1, "k"))
    assert again.last(w.Fetched).content == b"\x01"


# -- how it is brought back -----------------------------------------------------------------------


def _long_lived(stage: Stage, inputs: int) -> tuple[Host, str, Any]:
    host = stage.host("tides", saying.tool("search"))
    cell = host.creates(FREE)
    worker = stage.worker(cell).hello()
    worker.says(saying.called(1), saying.waited())
    for number in range(1, inputs + 1):
        host.finishes(cell, number)
        worker.says(saying.called(number + 1), saying.waited(number))
    return host, cell, worker


def test_a_long_past_comes_in_portions(stage: Stage) -> None:
    inputs = 2 * INPUTS_AT_ONCE + 10
    host, cell, worker = _long_lived(stage, inputs)
    worker.ends(-9)
    host.finishes(cell, inputs + 1)
    again = next_life(stage, cell, worker)
    assert given(again) == list(range(1, INPUTS_AT_ONCE + 1))
    again.says(saying.called(1), saying.waited(0))
    for number in range(1, inputs + 1):
        assert len(given(again)) >= number, "it would wait for ever"
        assert len(given(again)) <= number + INPUTS_AT_ONCE
        again.says(saying.called(number + 1), saying.waited(number))
    assert given(again) == list(range(1, inputs + 2))
    assert r.CellRestored in kinds(stage, cell, -1)


def test_what_is_heard_is_acknowledged(stage: Stage) -> None:
    """A worker keeps what it said until then, and waits when that is too much."""
    host = stage.host()
    cell = host.creates(FREE)
    worker = stage.worker(cell).hello()
    many = 3 * ACKNOWLEDGE_MESSAGES
    for number in range(many):
        worker.says(saying.text(str(number)))
    worker.ends(-9)
    again = next_life(stage, cell, worker)
    for number in range(many - 1):
        again.says(saying.text(str(number)))
    told = [m.have for m in again.received if isinstance(m, w.Acknowledge)]
    assert told == [ACKNOWLEDGE_MESSAGES, 2 * ACKNOWLEDGE_MESSAGES]
    again.says(saying.text(str(many - 1)))
    assert again.last(w.Acknowledge).have == many
    assert stage.state(cell).cell.output.total == many


def test_so_many_at_once(stage: Stage) -> None:
    host = stage.host()
    cells = [host.creates() for _ in range(REPLAYS_MAX + 2)]
    first = {}
    for cell in cells:
        first[cell] = stage.worker(cell).hello()
        first[cell].says(saying.paused(1))
        first[cell].ends(-9)
    for cell in cells:
        host.sends(h.Resume(cell, 1, None))
    assert [forks(stage, cell) for cell in cells] == [2] * REPLAYS_MAX + [1, 1]
    fresh = host.creates()
    assert forks(stage, fresh) == 1, "a new cell does not wait for them"
    host.terminates(cells[0])
    assert forks(stage, cells[-2]) == 2
    assert forks(stage, cells[-1]) == 1
    next_life(stage, cells[1], first[cells[1]]).says(saying.paused(1))
    assert forks(stage, cells[-1]) == 2


def test_a_queue_is_left_by_who_has_nothing_to_do_any_more(stage: Stage) -> None:
    host = stage.host()
    cells = [host.creates(FREE) for _ in range(REPLAYS_MAX + 1)]
    for cell in cells:
        worker = stage.worker(cell).hello()
        worker.says(saying.waited())
        worker.ends(-9)
        number = host.sends(h.Observe(cell, None, 60 * SECOND, False))
    assert forks(stage, cells[-1]) == 1
    host.sends(h.Cancel(number))
    host.terminates(cells[0])
    assert forks(stage, cells[-1]) == 1, "nobody waits for it any more"


# -- ends -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["dormant", "woken", "replaying"])
def test_terminate(stage: Stage, when: str) -> None:
    host, cell, worker = paused(stage)
    worker.ends(-9)
    resume = host.sends(h.Resume(cell, 1, None)) if when != "dormant" else 0
    if when == "replaying":
        next_life(stage, cell, worker).says(*BEGINNING)
    number = host.sends(h.Terminate(cell, None))
    stage.passes(200 * MS)
    event = host.answer(number).event
    assert (event.kind, output(host.answer(number))) == (EventKind.TERMINATED, ["a"])
    assert (stage.state(cell).token in stage.processes.killed) == (when != "dormant")
    if resume:
        assert host.answer(resume).code == "cell_closed"
    stage.passes(60 * SECOND)
    assert not stage.processes.living


def test_own_work_is_not_run_again(stage: Stage) -> None:
    host, cell, worker = paused(stage)
    worker.says(saying.flagged("a thread", 3))
    worker.ends(-9)
    stage.passes(SECOND)
    final = host.waits(cell).event
    assert (final.kind, final.reason) == (EventKind.COMPLETED, Reason.LOST)
    assert forks(stage, cell) == 1


def test_a_limit_that_the_kernel_keeps_is_no_loss(stage: Stage) -> None:
    host = stage.host()
    cell = host.creates(limits=Limits(cpu_seconds=1))
    worker = stage.worker(cell).hello()
    worker.says(saying.paused(1))
    worker.ends(-24)
    stage.passes(SECOND)
    assert host.waits(cell).event.reason is Reason.LIMIT


def test_a_worker_that_never_says_hello_is_replaced(stage: Stage) -> None:
    """Whatever became of it on its way to us: no cell waits for it for ever."""
    cell = stage.host().creates(FREE)
    silent = stage.state(cell).token
    stage.passes(GREET_NS)
    assert silent in stage.processes.killed
    assert stage.state(cell).waits.trouble == "a worker did not say Hello in time"
    stage.passes(SECOND)
    assert stage.state(cell).token != silent
    stage.worker(cell).hello().says(saying.text("here"))
    assert stage.state(cell).cell.output.total == 1
    assert stage.state(cell).cell.losses == ()
