"""The loop waits a moment for the frontier that follows a confirmation, if there is one to come."""

from __future__ import annotations

from tidemark.protocol import host_requests as h
from tidemark.protocol import worker_messages as w
from tidemark.supervisor.core import events as e
from tidemark.supervisor.core import records as r
from tidemark.supervisor.shell.loop import RETRY_NS

from fakes.later_lives import kinds, paused
from transcripts import saying
from transcripts.players import Worker
from transcripts.stage import Stage


class Linger:
    """Counts how often the loop has waited; meanwhile the worker says this, if anything."""

    def __init__(self, stage: Stage, worker: Worker, *items: w.Item) -> None:
        self.times = 0
        self._stage, self._worker, self._items = stage, worker, items
        stage.loop.linger = self

    def __call__(self) -> None:
        self.times += 1
        if self._items:
            worker, items = self._worker, self._items
            worker.said.append(items)
            said = w.Said(worker.epoch, len(worker.said), (), items)
            self._stage.wires.arrived.append(e.WorkerSpoke(worker.token, said))


def test_a_confirmation_and_the_next_frontier_share_a_commit(stage: Stage) -> None:
    host, cell, worker = paused(stage)
    host.finishes(cell, 1)
    resume = host.sends(h.Resume(cell, 1, None))
    linger = Linger(stage, worker, saying.paused(2, taken=1))
    commits, before = len(stage.store.commits), len(kinds(stage, cell))
    worker.confirms()
    assert (linger.times, len(stage.store.commits)) == (1, commits + 1)
    assert kinds(stage, cell, before)[:2] == [r.GenerationConsumed, r.WorkerSaid]
    assert r.FrontierReached in kinds(stage, cell, before)
    assert host.answer(resume).generation == 1


def test_it_waits_once_and_then_answers(stage: Stage) -> None:
    host, cell, worker = paused(stage)
    host.finishes(cell, 1)
    resume = host.sends(h.Resume(cell, 1, None))
    linger = Linger(stage, worker)
    worker.confirms()
    assert linger.times == 1
    assert host.answer(resume).generation == 1


def test_nobody_waits_for_a_cell_that_has_nothing_to_take(stage: Stage) -> None:
    host, cell, worker = paused(stage)
    resume = host.sends(h.Resume(cell, 1, None))
    linger = Linger(stage, worker)
    worker.confirms()
    assert linger.times == 0
    assert host.answer(resume).generation == 1


def test_nobody_waits_when_there_is_something_else_to_do(stage: Stage) -> None:
    host, cell, worker = paused(stage)
    host.finishes(cell, 1)
    host.sends(h.Resume(cell, 1, None))
    linger = Linger(stage, worker)
    continued = worker.last(w.Continue)
    confirmed = w.Confirmed(continued.generation, continued.upto, continued.request, 0)
    said = w.Said(worker.epoch, len(worker.said) + 1, (), (confirmed,))
    stage.wires.arrived.append(e.WorkerSpoke(worker.token, said))
    host.sends(h.AskStatus(cell))
    assert linger.times == 0


def test_what_came_meanwhile_is_not_lost_when_the_disk_is_full(stage: Stage) -> None:
    host, cell, worker = paused(stage)
    host.finishes(cell, 1)
    resume = host.sends(h.Resume(cell, 1, None))
    Linger(stage, worker, saying.paused(2, taken=1))
    before = len(kinds(stage, cell))
    stage.store.full = True
    worker.confirms()
    assert len(kinds(stage, cell)) == before
    stage.store.full = False
    stage.passes(RETRY_NS)
    assert r.FrontierReached in kinds(stage, cell, before)
    assert host.answer(resume).generation == 1
