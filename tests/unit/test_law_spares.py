"""Spare workers, and cells that give up theirs: when there are how many, and whose they become."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tidemark.protocol import host_requests as h
from tidemark.protocol import worker_messages as w
from tidemark.protocol.ids import NO_LIFE
from tidemark.protocol.limits import Limits
from tidemark.protocol.packed import CellKind, OutputKind
from tidemark.supervisor.core import events as e
from tidemark.supervisor.core import records as r
from tidemark.supervisor.core.fleet import FORKS_MAX
from tidemark.supervisor.core.spares import COMING_NS_MAX, REST_NS, UNUSED_NS
from tidemark.supervisor.core.worker_starts import FORKS_TOGETHER

from fakes.later_lives import kinds, paused, records
from transcripts import saying
from transcripts.players import Worker
from transcripts.stage import MS, SECOND, Stage

FREE = CellKind.CONTINUING


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path / "journal.db", spares=2, hibernate_ns=10 * SECOND)
    made.run()
    yield made
    made.store.close()


def spares(stage: Stage) -> list[bytes]:
    """The workers that live and have no cell, as the zygote knows them."""
    return [token for token, (cell, _, _) in stage.processes.living.items() if not cell]


def greet(stage: Stage, token: bytes) -> Worker:
    return stage.workers.setdefault(token, Worker(stage, token, "", NO_LIFE)).hello()


def fill(stage: Stage) -> list[bytes]:
    """Let there be all spares that there can be."""
    for _ in range(4):
        stage.passes(5 * MS)
        for token in spares(stage):
            if token not in stage.workers:
                greet(stage, token)
    return spares(stage)


def taken(stage: Stage, cell: str) -> Worker:
    """The spare worker that this cell was given."""
    worker = stage.workers[stage.state(cell).token]
    worker.cell, worker.incarnation = cell, stage.state(cell).cell.incarnation or NO_LIFE
    start = worker.last(w.Start)
    assert (start.cell, start.incarnation) == (cell, worker.incarnation)
    assert (worker.token, cell) in stage.processes.lodged
    worker.started, worker.epoch = True, start.epoch
    return worker


def test_there_are_none_before_a_session_is_there(stage: Stage) -> None:
    stage.passes(SECOND)
    assert not spares(stage)
    stage.host()
    assert len(fill(stage)) == 2
    stage.passes(SECOND)
    assert len(spares(stage)) == 2


def test_they_are_made_one_after_the_other(stage: Stage) -> None:
    stage.host()
    stage.passes(SECOND)
    assert len(spares(stage)) == 1, "the first has not said Hello"


def test_a_cell_gets_one_with_its_creation(stage: Stage) -> None:
    host = stage.host()
    first, _ = fill(stage)
    cell = host.creates(FREE)
    assert kinds(stage, cell) == [r.CellCreated, r.WorkerIssued, r.WorkerGreeted]
    worker = taken(stage, cell)
    assert worker.token == first
    assert host.ask(h.AskStatus(cell)).pid == stage.processes.living[first][2]
    worker.says(w.Emitted(OutputKind.TEXT, "x", None, bytes(16)))
    assert stage.state(cell).cell.have == 1


def test_none_is_given_twice(stage: Stage) -> None:
    host = stage.host()
    fill(stage)
    cells = [host.creates(FREE) for _ in range(3)]
    tokens = {stage.state(cell).token for cell in cells}
    assert len(tokens) == 3
    numbers = [
        record.spare
        for cell in cells
        for record in records(stage, cell)
        if isinstance(record, r.WorkerIssued)
    ]
    assert numbers == [1, 2, 0], "the third is made for its cell"
    assert len(fill(stage)) == 4, "two that are given, two new ones"


def test_while_enough_are_left_others_are_made_in_a_quiet_moment(stage: Stage) -> None:
    host = stage.host()
    fill(stage)
    stage.passes(SECOND)
    host.creates(FREE)
    stage.passes(REST_NS - 5 * MS)
    assert len(spares(stage)) == 2, "the one that was given, and one is left"
    stage.passes(10 * MS)
    assert len(spares(stage)) == 3


def test_when_few_are_left_others_are_made_at_once(stage: Stage) -> None:
    host = stage.host()
    fill(stage)
    stage.passes(SECOND)
    host.creates(FREE)
    host.creates(FREE)
    stage.passes(5 * MS)
    assert len(spares(stage)) == 3, "the two that were given, and a new one"


def test_a_cell_waits_for_one_that_is_on_its_way(stage: Stage) -> None:
    host = stage.host()
    stage.passes(5 * MS)
    (coming,) = spares(stage)
    cell = host.creates(FREE)
    assert kinds(stage, cell) == [r.CellCreated]
    greet(stage, coming)
    assert taken(stage, cell).token == coming


def test_one_that_does_not_come_is_given_up(stage: Stage) -> None:
    host = stage.host()
    stage.passes(5 * MS)
    (coming,) = spares(stage)
    cell = host.creates(FREE)
    stage.passes(COMING_NS_MAX)
    assert coming in stage.processes.killed
    assert stage.worker(cell).token != coming, "its worker is made for it"


def test_limits_that_are_set_at_the_fork_must_be_the_same(stage: Stage) -> None:
    host = stage.host()
    fill(stage)
    other = host.creates(FREE, limits=Limits(memory_bytes=1 << 30))
    assert stage.state(other).cell.spare == 0
    same = host.creates(FREE, limits=Limits(wall_seconds=5.0, output_bytes=1_000))
    assert stage.state(same).cell.spare == 1


def test_they_are_dropped_when_nobody_needs_them(stage: Stage) -> None:
    stage.host()
    assert len(fill(stage)) == 2
    stage.passes(UNUSED_NS)
    assert not spares(stage)


@pytest.mark.parametrize("event", [e.DrainAsked(), e.MemoryShort()])
def test_they_are_the_first_to_go(stage: Stage, event: e.FleetEvent) -> None:
    host = stage.host()
    assert len(fill(stage)) == 2
    stage.happens(event)
    stage.passes(SECOND)
    assert not spares(stage)
    assert host.attachment


def test_one_that_says_more_than_hello_is_ended(stage: Stage) -> None:
    stage.host()
    first, second = fill(stage)
    stage.workers[first].sends(w.Fetch(1, 1, "k"))
    stage.happens(e.WorkerGarbled(second, "nonsense"))
    assert stage.processes.killed == [first, second]
    stage.passes(SECOND - MS)
    assert not spares(stage), "no hurry to have more of them"


def test_one_that_ends_is_replaced_and_the_cells_do_not_notice(stage: Stage) -> None:
    host = stage.host()
    first, second = fill(stage)
    stage.workers[first].ends(-9)
    cell = host.creates(FREE)
    assert stage.state(cell).token == second
    stage.passes(2 * SECOND)
    assert len(fill(stage)) == 3


def test_a_successor_has_the_unused_ones_killed_and_knows_the_used_ones(stage: Stage) -> None:
    host = stage.host()
    used, unused = fill(stage)
    cell = host.creates(FREE)
    worker = taken(stage, cell)
    worker.says(w.Waited(0, None, ()))
    stage.crash()
    stage.restart()
    assert stage.processes.killed == [unused]
    assert stage.state(cell).token == used
    assert (used, cell) in stage.processes.lodged[1:], "the first may not have arrived"
    worker.adopted()
    assert stage.state(cell).hears


def test_a_successor_gives_the_cell_to_one_that_was_not_told(stage: Stage) -> None:
    host = stage.host()
    used, _ = fill(stage)
    cell = host.creates(FREE)
    stage.crash()
    stage.restart()
    worker = stage.workers[used]
    worker.sends(w.Hello("", NO_LIFE, stage.store.epoch, False, 0, 0, 77, "3.11"))
    assert taken(stage, cell) is worker
    assert worker.last(w.Start).epoch == stage.store.epoch


def test_a_cell_is_run_again_in_one(stage: Stage) -> None:
    host, cell, worker = paused(stage)
    free = fill(stage)
    host.answer(host.sends(h.Resume(cell, 1, None)))
    worker.ends(-9)
    token = stage.state(cell).token
    assert token in free
    again = stage.workers[token]
    again.sends(w.Hello("", NO_LIFE, stage.store.epoch, False, 0, 0, 77, "3.11"))
    assert taken(stage, cell).last(w.Start).earlier is not None


# -- idle cells -----------------------------------------------------------------------------------


def test_an_idle_cell_gives_up_its_worker(stage: Stage) -> None:
    host, cell, worker = paused(stage)
    before = host.waits(cell)
    stage.passes(9 * SECOND)
    assert worker.token in stage.processes.living
    stage.passes(2 * SECOND)
    assert worker.token not in stage.processes.living
    assert host.waits(cell) == before
    assert stage.state(cell).waits.dormant


def test_what_is_recorded_begins_the_time_anew(stage: Stage) -> None:
    host, cell, worker = paused(stage)
    stage.passes(9 * SECOND)
    host.ask(h.AskFrontier(cell), (cell, 1))  # it acknowledges the event
    stage.passes(9 * SECOND)
    assert worker.token in stage.processes.living
    stage.passes(2 * SECOND)
    assert worker.token not in stage.processes.living


def test_a_cell_whose_continue_is_under_way_stays(stage: Stage) -> None:
    host, cell, worker = paused(stage)
    host.sends(h.Resume(cell, 1, None))
    stage.passes(60 * SECOND)
    assert worker.token in stage.processes.living


def test_a_cell_that_cannot_be_run_again_stays(stage: Stage) -> None:
    host = stage.host("ebb", replay=False)
    worker = stage.worker(host.creates()).hello()
    worker.says(saying.paused(1))
    stage.passes(60 * SECOND)
    assert worker.token in stage.processes.living


def test_when_memory_is_short_the_idle_ones_go_at_once(stage: Stage) -> None:
    _, cell, worker = paused(stage)
    fill(stage)
    stage.happens(e.MemoryShort())
    assert not spares(stage)
    assert worker.token in stage.processes.living
    stage.happens(e.MemoryShort())
    assert worker.token not in stage.processes.living
    assert stage.state(cell).waits.dormant


def test_when_more_cells_wait_than_there_are_places_several_are_made_together(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path / "none.db", spares=0)
    stage.run()
    host = stage.host()
    asked: list[bytes] = []
    stage.processes.forks = False
    stage.processes.told = lambda what, token: asked.append(token) if what == "fork" else None
    cells = [host.creates(FREE) for _ in range(FORKS_MAX + FORKS_TOGETHER + 2)]
    assert len(asked) == FORKS_MAX

    def made(count: int) -> None:
        for token in asked[:count]:
            stage.processes.happened.append(e.WorkerForked(token, 1))
        del asked[:count]
        stage.run()

    made(FORKS_TOGETHER - 1)
    assert len(asked) == FORKS_MAX - FORKS_TOGETHER + 1, "the others wait for one place more"
    made(1)
    assert len(asked) == FORKS_MAX
    made(2)
    assert len(asked) == FORKS_MAX, "for the last ones there is room"
    assert all(stage.state(cell).token for cell in cells)
    stage.store.close()
