"""A replay that is disturbed: by the end of its supervisor, a full disk, or wires that lose."""

from __future__ import annotations

import pytest
from tidemark.protocol import host_answers as a
from tidemark.protocol import host_requests as h
from tidemark.protocol import worker_messages as w
from tidemark.protocol.packed import CellKind
from tidemark.supervisor.core import events as e
from tidemark.supervisor.core import records as r
from tidemark.supervisor.core.fleet import REPLAY_PLACE_NS, REPLAYS_MAX

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
from transcripts.players import Worker, output
from transcripts.stage import MS, SECOND, Stage

# -- supervisors ----------------------------------------------------------------------------------


def test_a_crash_during_a_replay(stage: Stage) -> None:
    """Nobody knows how far the comparison had come: that worker is killed, and another one made."""
    host, cell, worker = paused(stage)
    number = host.sends(h.Resume(cell, 1, None))
    worker.ends(-9)
    second = next_life(stage, cell, worker)
    second.says(*BEGINNING)
    stage.crash()
    stage.restart()
    assert second.token in stage.processes.killed
    assert forks(stage, cell) == 2, "those who wait come back first"
    host.reconnects()
    host.repeats(number)
    third = next_life(stage, cell, second)
    assert third.incarnation.epoch == 2
    second.sends(w.Said(1, 2, (), (saying.paused(1),)))
    third.says(*BEGINNING, saying.paused(1))
    third.confirms()
    assert host.answer(number) == a.ResumedGiven(1)
    assert len(stage.state(cell).cell.losses) == 1, "that one was killed by us"


def test_a_crash_after_it_was_restored(stage: Stage) -> None:
    host, cell, worker = paused(stage)
    number = host.sends(h.Resume(cell, 1, None))
    worker.ends(-9)
    second = next_life(stage, cell, worker)
    second.says(*BEGINNING[:2])
    second.says(*BEGINNING[2:], saying.paused(1))
    stage.crash()
    stage.restart()
    assert second.token not in stage.processes.killed
    assert second.last(w.Adopt).have == 2
    host.reconnects()
    host.repeats(number)
    second.adopted()
    second.confirms()
    assert host.answer(number) == a.ResumedGiven(1)
    assert forks(stage, cell) == 2


def test_a_crash_at_the_commit_that_restores(stage: Stage) -> None:
    host, cell, worker = stepped(stage)
    worker.ends(-9)
    second = next_life(stage, cell, worker)
    stage.store.full = True  # the beat is undone, and taken again when there is room
    second.says(*BEGINNING, saying.waited(0), saying.text("b"), saying.paused(2, 1))
    assert stage.state(cell).cell.replays
    stage.store.full = False
    stage.passes(SECOND)
    assert output(host.waits(cell)) == ["a", "b"]
    restored = [each for each in records(stage, cell) if isinstance(each, r.CellRestored)]
    assert len(restored) == 1


def test_a_full_disk_at_hello(stage: Stage) -> None:
    """What was learned of the past is put back with the beat, and learned again."""
    host, cell, worker = stepped(stage)
    stage.store.full = True
    worker.ends(-9)
    stage.store.full = False
    stage.passes(SECOND)
    second = stage.worker(cell)
    stage.store.full = True
    other = host.sends(h.StoredSet("k", b"\x01"))
    second.hello()
    assert host.answer(other).code == "journal"
    stage.store.full = False
    stage.passes(SECOND)
    second.hello()
    second.says(*BEGINNING, saying.waited(0), saying.text("b"), saying.paused(2, 1))
    assert host.waits(cell).event.generation == 2


@pytest.mark.parametrize("what", ["lost", "diverged"])
def test_a_supervisor_that_begins_knows_it(stage: Stage, what: str) -> None:
    host, cell, worker = paused(stage)
    worker.ends(-9)
    if what == "diverged":
        host.sends(h.Resume(cell, 1, None))
        next_life(stage, cell, worker).says(saying.text("b"))
    before = stage.state(cell).cell
    stage.crash()
    stage.restart()
    assert stage.state(cell).cell == before
    host.reconnects()
    since = forks(stage, cell)
    stage.passes(60 * SECOND)
    assert forks(stage, cell) == since
    number = host.sends(h.Resume(cell, 1, None))
    assert forks(stage, cell) == since + 1
    last = stage.worker(cell).hello()
    last.says(*BEGINNING, saying.paused(1))
    last.confirms()
    assert host.answer(number) == a.ResumedGiven(1)


def test_a_cell_that_ran_when_its_supervisor_ended(stage: Stage) -> None:
    """Its worker ended while nobody was there: it is run again without anybody asking."""
    host, cell, worker = stepped(stage)
    stage.crash()
    stage.processes.living.clear()
    stage.restart()
    host.reconnects()
    again = next_life(stage, cell, worker)
    assert given(again) == [1]
    again.says(*BEGINNING, saying.waited(0), saying.text("b"), saying.paused(2, 1))
    assert output(host.waits(cell)) == ["a", "b"]


# -- wires ----------------------------------------------------------------------------------------


def test_a_gap_in_a_replay(stage: Stage) -> None:
    host, cell, worker = paused(stage)
    number = host.sends(h.Resume(cell, 1, None))
    worker.ends(-9)
    again = next_life(stage, cell, worker)
    again.says(BEGINNING[0])
    again.said.append(BEGINNING[1:])  # which is lost on the way
    again.says(saying.paused(1))
    assert again.last(w.Adopt).have == 1
    assert not continues(again)
    again.adopted()
    assert [message.generation for message in continues(again)] == [1]
    again.confirms()
    assert host.answer(number) == a.ResumedGiven(1)


def test_inputs_that_are_lost_in_a_replay_come_again(stage: Stage) -> None:
    host, cell, worker = stepped(stage)
    worker.ends(-9)
    again = next_life(stage, cell, worker)
    again.says(BEGINNING[0])
    stage.wires.to_workers = [
        (token, message)
        for token, message in stage.wires.to_workers
        if not (token == again.token and isinstance(message, w.Deliver))
    ]
    assert given(again) == []
    again.said.append(BEGINNING[1:])
    again.says(saying.waited(0))  # after a gap: so it is asked, and says what it has
    again.adopted()
    assert given(again) == [1]
    again.says(saying.text("b"), saying.paused(2, 1))
    assert host.waits(cell).event.generation == 2


def test_a_start_that_is_lost_comes_again_with_all_inputs(stage: Stage) -> None:
    host, cell, worker = stepped(stage)
    worker.ends(-9)
    again = next_life(stage, cell, worker)
    stage.wires.to_workers = [each for each in stage.wires.to_workers if each[0] != again.token]
    again.started, again.epoch = False, 0
    again.hello()
    assert again.last(w.Start).earlier is not None
    assert given(again) == [1]
    again.says(*BEGINNING, saying.waited(0), saying.text("b"), saying.paused(2, 1))
    assert host.waits(cell).event.generation == 2


def test_what_comes_twice_counts_once(stage: Stage) -> None:
    host, cell, worker = paused(stage)
    number = host.sends(h.Resume(cell, 1, None))
    worker.ends(-9)
    again = next_life(stage, cell, worker)
    again.says(saying.text("a"))
    again.sends(w.Said(again.epoch, 1, (), (saying.text("a"),)))
    again.says(*BEGINNING[1:], saying.paused(1))
    again.sends(w.Said(again.epoch, 2, (), (*BEGINNING[1:], saying.paused(1))))
    again.confirms()
    assert host.answer(number) == a.ResumedGiven(1)


@pytest.mark.parametrize("kind", [CellKind.PAUSABLE, FREE])
def test_a_worker_that_cannot_be_told_is_asked(stage: Stage, kind: CellKind) -> None:
    host, cell, worker = paused(stage) if kind is CellKind.PAUSABLE else waiting(stage)
    worker.ends(-9)
    if kind is CellKind.PAUSABLE:
        host.sends(h.Resume(cell, 1, None))
    else:
        host.finishes(cell, 1)
    again = stage.worker(cell)
    stage.wires.lost.add(again.token)
    again.sends(w.Hello(cell, again.incarnation, 0, False, 0, 0, 77, "3.11"))
    assert again.received == []
    stage.wires.lost.clear()
    stage.passes(SECOND)
    again.adopted()
    assert again.last(w.Start).earlier is not None
    assert given(again) == ([] if kind is CellKind.PAUSABLE else [1])


def test_a_continue_after_a_replay_is_a_first_one(stage: Stage) -> None:
    """It brings what has arrived since, once, and is not repeated at once for its old age."""
    host, cell, worker = paused(stage)
    number = host.sends(h.Resume(cell, 1, None))
    worker.ends(-9)
    host.finishes(cell, 1)
    again = next_life(stage, cell, worker)
    stage.passes(10 * SECOND)
    again.says(*BEGINNING, saying.paused(1))
    stage.passes(100 * MS)
    (message,) = continues(again)
    assert [each.number for each in message.inputs] == [1]
    again.confirms()
    assert host.answer(number) == a.ResumedGiven(1)
    assert given(again) == []


def test_a_worker_is_never_left_with_a_full_window(stage: Stage) -> None:
    """It stands still at a mebibyte that nobody has acknowledged, long before 64 messages."""
    host, cell, worker = paused(stage)
    again = saying.text("x" * 300_000)
    host.sends(h.Resume(cell, 1, None))
    worker.confirms()
    host.finishes(cell, 1)
    worker.says(*[again] * 4)
    worker.ends(-9)
    second = next_life(stage, cell, worker)
    second.says(*BEGINNING, saying.waited(0))
    for heard in range(2, 5):
        second.says(again)
        assert second.last(w.Acknowledge).have == heard


# -- what was left as it was ----------------------------------------------------------------------


def test_cells_that_nobody_touches_have_no_worker_after_a_restart(stage: Stage) -> None:
    host = stage.host("tides", saying.tool("search"))
    cells = [host.creates() for _ in range(200)]
    for cell in cells:
        stage.worker(cell).hello().says(*BEGINNING, saying.paused(1))
    stage.crash()
    stage.processes.living.clear()  # the machine was off
    stage.restart()
    host.reconnects()
    stage.passes(60 * SECOND)
    assert {forks(stage, cell) for cell in cells} == {1}
    assert {host.waits(cell).event.generation for cell in cells} == {1}
    assert {forks(stage, cell) for cell in cells} == {1}
    host.sends(h.Resume(cells[7], 1, None))
    assert [cell for cell in cells if forks(stage, cell) == 2] == [cells[7]]


# -- replays that do not end ----------------------------------------------------------------------


def test_replays_that_hang_do_not_keep_others_for_ever(stage: Stage) -> None:
    host = stage.host()
    cells = [host.creates() for _ in range(REPLAYS_MAX + 1)]
    for cell in cells:
        worker = stage.worker(cell).hello()
        worker.says(saying.text("a"), saying.paused(1))
        worker.ends(-9)
        host.sends(h.Resume(cell, 1, None))
    for cell in cells[:-1]:
        stage.worker(cell).hello()
    assert forks(stage, cells[-1]) == 1
    stage.passes(REPLAY_PLACE_NS)
    last = stage.worker(cells[-1]).hello()
    last.says(saying.text("a"), saying.paused(1))
    assert len(continues(last)) == 1
    late = stage.worker(cells[0])
    late.says(saying.text("a"), saying.paused(1))
    assert len(continues(late)) == 1, "it only took long"


def test_a_reading_within_a_reading_of_the_clock(stage: Stage) -> None:
    """A signal handler can make two ticks of one number; the worker can only keep one of them."""
    host, cell, worker = paused(stage)
    host.sends(h.Resume(cell, 1, None))
    worker.confirms()
    host.finishes(cell, 1)
    worker.said.append(())
    twice = ((1, 1_000), (1, 2_000), (2, 3_000))
    worker.sends(w.Said(1, len(worker.said), twice, (saying.text("b"),), 2))
    worker.ends(-9)
    second = next_life(stage, cell, worker)
    told = dict(tick for m in second.received if isinstance(m, w.Remember) for tick in m.ticks)
    earlier = second.last(w.Start).earlier
    assert earlier is not None
    assert earlier.ticks == len(told) == 2


# -- workers that come before the zygote has said who lives ----------------------------------------


def _comes_first(stage: Stage, worker: Worker, *messages: w.FromWorker) -> None:
    """The worker reconnects, answers the new supervisor's Adopt and says all, before any list."""
    said = len(worker.said)
    for epoch in (0, 2):
        hello = w.Hello(worker.cell, worker.incarnation, epoch, True, said, 0, 77, "3.11")
        stage.wires.arrived.append(e.WorkerSpoke(worker.token, hello))
    for message in messages:
        stage.wires.arrived.append(e.WorkerSpoke(worker.token, message))


def test_a_replaying_worker_of_an_earlier_supervisor_comes_first(stage: Stage) -> None:
    """Nobody knows how far it had come, so what it says is neither recorded nor held against it."""
    host, cell, worker = stepped(stage)
    worker.ends(-9)
    second = next_life(stage, cell, worker)
    second.says(BEGINNING[0])
    since = len(records(stage, cell))
    stage.crash()
    _comes_first(stage, second, w.Said(2, 1, (), (BEGINNING[0],)))
    stage.restart()
    assert second.token in stage.processes.killed
    assert kinds(stage, cell, since) == [r.WorkerIssued]
    host.reconnects()
    third = next_life(stage, cell, second)
    third.says(*BEGINNING, saying.waited(0), saying.text("b"), saying.paused(2, 1))
    assert output(host.waits(cell)) == ["a", "b"]


def test_a_worker_that_was_given_up_comes_first(stage: Stage) -> None:
    """It was put to sleep, and the supervisor ended before it could kill it."""
    host, cell, worker = paused(stage)
    host.ask(h.Hibernate(cell))
    stage.crash()
    stage.processes.living[worker.token] = (cell, worker.incarnation, 77)
    _comes_first(stage, worker)
    stage.restart()
    assert worker.token in stage.processes.killed
    host.reconnects()
    number = host.sends(h.Resume(cell, 1, None))
    second = next_life(stage, cell, worker)
    second.says(*BEGINNING, saying.paused(1))
    second.confirms()
    assert host.answer(number) == a.ResumedGiven(1)
