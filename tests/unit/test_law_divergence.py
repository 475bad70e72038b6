"""A later life that is another one, and cells that end their workers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgpack
import pytest
from tidemark.protocol import host_answers as a
from tidemark.protocol import host_requests as h
from tidemark.protocol import worker_messages as w
from tidemark.protocol.packed import EventKind, Reason
from tidemark.supervisor.core import events as e
from tidemark.supervisor.core import records as r

from fakes.later_lives import (
    BEGINNING,
    forks,
    kinds,
    next_life,
    paused,
    records,
    stepped,
    waiting,
    zygote_dies,
)
from transcripts import saying
from transcripts.players import Host, Worker, output
from transcripts.stage import MS, SECOND, Stage

# -- divergence -----------------------------------------------------------------------------------


def diverged(answer: Any) -> tuple[str, str, int | None]:
    assert answer.code == "replay_diverged"
    found = msgpack.unpackb(answer.attributes)
    return found["expected"], found["actual"], found["line"]


def test_a_divergence_refuses_who_resumes(stage: Stage) -> None:
    host, cell, worker = paused(stage)
    other = stage.host(None)
    frontier = host.waits(cell)
    first = host.sends(h.Resume(cell, 1, None))
    follower = other.sends(h.Resume(cell, 1, None))
    step = other.sends(h.Step(cell, 1, None))
    worker.ends(-9)
    again = next_life(stage, cell, worker)
    since = len(records(stage, cell))
    again.says(replace(saying.text("b"), line=7))  # type: ignore[type-var]
    for answer in (host.answer(first), other.answer(follower), other.answer(step)):
        expected, actual, line = diverged(answer)
        assert (actual, line) == ("text 'b'", 7)
        assert expected.startswith("text of 1 bytes: ")
        assert "a" in expected.removeprefix("text of 1 bytes: ")
        assert "terminate" in answer.message
    assert kinds(stage, cell, since) == [r.ReplayDiverged]
    assert again.token in stage.processes.killed
    assert host.waits(cell) == frontier, "it ends nothing"
    status = host.ask(h.AskStatus(cell))
    assert (status.state, status.generation, status.pid) == ("paused", 1, 0)
    assert "could not be restored" in status.reason
    stage.passes(60 * SECOND)
    assert forks(stage, cell) == 2, "nobody has asked for it again"


def test_the_next_resume_tries_again(stage: Stage) -> None:
    host, cell, worker = paused(stage)
    worker.ends(-9)
    host.sends(h.Resume(cell, 1, None))
    second = next_life(stage, cell, worker)
    second.says(saying.text("b"))
    number = host.sends(h.Resume(cell, 1, None))
    third = next_life(stage, cell, second)
    third.says(*BEGINNING, saying.paused(1))
    third.confirms()
    assert host.answer(number) == a.ResumedGiven(1)
    assert "restored" not in host.ask(h.AskStatus(cell)).reason


def test_a_divergence_refuses_who_observes(stage: Stage) -> None:
    host, cell, worker = waiting(stage)
    worker.ends(-9)
    number = host.sends(h.Observe(cell, None, 10 * SECOND, False))
    again = next_life(stage, cell, worker)
    again.says(*BEGINNING[:2], saying.called(2, "look"))
    expected, actual, line = diverged(host.answer(number))
    assert (expected, actual, line) == (
        "tool-2 calls search with 1 bytes",
        "tool-2 calls look with 1 bytes",
        None,
    )
    host.finishes(cell, 1)
    stage.passes(SECOND)
    assert forks(stage, cell) == 2, "an input alone does not try again"
    number = host.sends(h.Observe(cell, None, 10 * SECOND, False))
    third = next_life(stage, cell, again)
    third.says(*BEGINNING, saying.waited(0), saying.text("b"), saying.ended(None, 1))
    stage.passes(SECOND)
    assert output(host.answer(number)) == ["a", "b"]


def test_one_that_ends_too_early_diverges(stage: Stage) -> None:
    host, cell, worker = paused(stage)
    number = host.sends(h.Resume(cell, 1, None))
    worker.ends(-9)
    next_life(stage, cell, worker).says(*BEGINNING[:3], saying.raised())
    assert diverged(host.answer(number)) == ("notifies 'n'", "ends (raised)", None)
    assert stage.state(cell).cell.final is None


def test_one_that_stands_still_diverges(stage: Stage) -> None:
    host, cell, worker = stepped(stage)
    worker.ends(-9)
    number = host.sends(h.WaitToPending(cell, False))
    next_life(stage, cell, worker).says(*BEGINNING, saying.waited(0), saying.waited(1))
    expected, actual, _ = diverged(host.answer(number))
    assert expected.startswith("text of 1 bytes")
    assert actual == "waits after input 1 for the next"


def test_terminate_ends_what_has_diverged(stage: Stage) -> None:
    host, cell, worker = paused(stage)
    worker.ends(-9)
    host.sends(h.Resume(cell, 1, None))
    next_life(stage, cell, worker).says(saying.text("b"))
    number = host.sends(h.Terminate(cell, None))
    stage.passes(200 * MS)
    assert host.answer(number).event.kind is EventKind.TERMINATED
    assert output(host.answer(number)) == ["a"]


def test_what_a_killed_worker_still_says_is_dropped(stage: Stage) -> None:
    host, cell, worker = paused(stage)
    worker.ends(-9)
    stage.processes.kills = False
    host.sends(h.Resume(cell, 1, None))
    again = next_life(stage, cell, worker)
    again.says(saying.text("b"))
    since = len(records(stage, cell))
    again.says(*BEGINNING, saying.paused(1))
    assert kinds(stage, cell, since) == []
    again.ends(-9)
    assert kinds(stage, cell, since) == [], "its end is no loss of the cell"
    assert stage.state(cell).cell.losses == (
        f"the worker was killed by signal 9 (incarnation {worker.incarnation}, after input 0)",
    )


@pytest.mark.parametrize("python", ["3.14", "3.11, replay 2"])
def test_another_python_diverges_before_it_is_given_the_source(stage: Stage, python: str) -> None:
    host, cell, worker = paused(stage)
    number = host.sends(h.Resume(cell, 1, None))
    worker.ends(-9)
    again = stage.worker(cell)
    again.sends(w.Hello(cell, again.incarnation, 0, False, 0, 0, 77, python))
    assert diverged(host.answer(number)) == ("a worker with 3.11", f"a worker with {python}", None)
    assert not [message for message in again.received if isinstance(message, w.Start)]
    assert again.token in stage.processes.killed
    assert host.waits(cell).event.generation == 1


def test_a_confirmation_in_a_replay_is_hostile(stage: Stage) -> None:
    host, cell, worker = paused(stage)
    number = host.sends(h.Resume(cell, 1, None))
    worker.ends(-9)
    again = next_life(stage, cell, worker)
    again.says(*BEGINNING, saying.confirmed(1, 1, host.ref(number)))
    stage.passes(SECOND)
    assert host.answer(number).code == "worker_lost"
    assert stage.state(cell).cell.consumed == 0


# -- poison ---------------------------------------------------------------------------------------


def test_three_losses_park_the_cell(stage: Stage) -> None:
    host, cell, worker = paused(stage)
    number = host.sends(h.Resume(cell, 1, None))
    workers = [worker]
    for status in (-11, 1):
        workers[-1].ends(status)
        stage.passes(SECOND)
        workers.append(next_life(stage, cell, workers[-1]))
    workers[-1].ends(-9)
    stage.passes(SECOND)
    refusal = host.answer(number)
    assert refusal.code == "worker_lost"
    final = host.waits(cell)
    assert (final.event.kind, final.event.reason) == (EventKind.COMPLETED, Reason.POISON)
    assert output(final) == ["a"]
    head, *evidence = str(final.event.error).splitlines()
    assert head == "the cell has lost 3 workers without taking an input between:"
    assert evidence == [
        f"1. the worker was killed by signal 11 (incarnation {workers[0].incarnation}, "
        "after input 0)",
        f"2. the worker exited with status 1 (incarnation {workers[1].incarnation}, after input 0)",
        f"3. the worker was killed by signal 9 (incarnation {workers[2].incarnation}, "
        "after input 0)",
    ]
    assert host.ask(h.AskFrontier(cell)).event.generation == 1
    stage.passes(60 * SECOND)
    assert forks(stage, cell) == 3


def test_after_the_second_loss_it_waits_a_little(stage: Stage) -> None:
    """So that cells that end every worker do not keep the machine busy."""
    host, cell, worker = paused(stage)
    host.sends(h.Resume(cell, 1, None))
    worker.ends(-9)
    second = next_life(stage, cell, worker)
    second.ends(-9)
    assert forks(stage, cell) == 2
    assert host.ask(h.AskStatus(cell)).state == "recovering"
    stage.passes(SECOND)
    assert forks(stage, cell) == 3


def test_an_input_in_between_begins_anew(stage: Stage) -> None:
    host, cell, worker = waiting(stage)
    for number in (1, 2):
        worker.ends(-9)
        host.finishes(cell, number)
        stage.passes(SECOND)
        past = [saying.waited(taken) for taken in range(number)]
        worker = next_life(stage, cell, worker)
        worker.says(*BEGINNING, *past, saying.waited(number))
        assert stage.state(cell).cell.losses == ()
    worker.ends(-9)
    assert len(stage.state(cell).cell.losses) == 1


def test_an_input_that_is_taken_again_is_none(stage: Stage) -> None:
    """What a replay takes was taken before."""
    host, cell, worker = waiting(stage)
    host.finishes(cell, 1)
    worker.says(saying.waited(1))
    for _ in range(3):
        host.sends(h.Observe(cell, None, 60 * SECOND, False))
        worker.ends(-9)
        stage.passes(SECOND)
        if stage.state(cell).cell.final is None:
            worker = next_life(stage, cell, worker)
            worker.says(*BEGINNING, saying.waited(0), saying.waited(1))
    final = stage.state(cell).cell.final
    assert final is not None
    assert final.reason is Reason.POISON


@pytest.mark.parametrize("how", ["zygote", "killed", "not given", "not forked", "stopped"])
def test_losses_that_are_not_its_own(stage: Stage, how: str) -> None:
    host, cell, worker = paused(stage)
    number = host.sends(h.Resume(cell, 1, None))
    for _ in range(5):
        _lose(stage, cell, worker, how)
        stage.passes(SECOND)
        assert stage.state(cell).cell.losses == ()
        again = stage.worker(cell)
        assert again.token != worker.token
        worker = again
        if how not in ("not given", "not forked"):
            worker.hello()
    if not worker.started:
        worker.hello()
    worker.says(*BEGINNING, saying.paused(1))
    worker.confirms()
    assert host.answer(number) == a.ResumedGiven(1)


def _lose(stage: Stage, cell: str, worker: Worker, how: str) -> None:
    if how == "zygote":
        zygote_dies(stage)
    elif how == "stopped":
        stage.crash()
        stage.processes.living.clear()
        stage.restart()
        for host in stage.hosts:
            host.reconnects()
            host.repeats(host.last if isinstance(_ask(host), h.Resume) else 3)
    elif how == "killed" or worker.started:
        stage.processes.kill(worker.token)
        stage.run()
    elif how == "not given":
        worker.ends(1)
    else:
        stage.processes.living.pop(worker.token)
        stage.happens(e.WorkerNotForked(worker.token, "no memory"))


def _ask(host: Host) -> h.Ask:
    return host.requests[-1].ask


def test_a_machine_that_gives_no_worker_is_told(stage: Stage) -> None:
    host, cell, worker = paused(stage)
    host.sends(h.Resume(cell, 1, None))
    worker.ends(-9)
    token = stage.worker(cell).token
    stage.processes.living.pop(token)
    stage.happens(e.WorkerNotForked(token, "no memory"))
    status = host.ask(h.AskStatus(cell))
    assert "no memory" in status.reason
    assert (status.state, status.generation) == ("recovering", 1)
