"""A frontier is consumed when its worker has confirmed Continue, and not before."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import tidemark
from tidemark import AlreadyRunning, PausableCell, Resumed

from fakes.cells import completed, consumed, in_state, pending, pid_of, queued
from fakes.doors import Doors
from fakes.process_watch import stopped
from fakes.running_supervisor import RunningSupervisor
from fakes.waiting import until

SOURCE = """
text("before")
answer = await tools.knock(door="a")
text("after", answer)
exit(answer)
"""


@contextmanager
def frozen(cell: PausableCell) -> Iterator[int]:
    """The cell's worker, stopped; it goes on at the end if it still lives."""
    pid = pid_of(cell)
    os.kill(pid, signal.SIGSTOP)
    until(lambda: stopped(pid))
    try:
        yield pid
    finally:
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pid = 0


def test_a_frozen_worker_gives_no_resumed_and_its_frontier_stays(
    session: tidemark.Session, client: tidemark.Client, doors: Doors
) -> None:
    cell = session.create_pausable_cell(SOURCE)
    seen = pending(cell)
    recorded = cell.frontier()
    doors.open("a")
    queued(cell, 1)
    with frozen(cell):
        with pytest.raises(tidemark.ResumeUnconfirmedError) as caught:
            cell.resume(1, timeout=1)
        assert not caught.value.outcome_known
        assert (caught.value.cell_id, caught.value.generation) == (cell.id, 1)
        assert "again" in str(caught.value)
        # Observable as before, by whom asked and by anybody else.
        assert pending(cell) == seen
        assert cell.frontier() == recorded
        other = client.cell(cell.id)
        assert isinstance(other, PausableCell)
        assert pending(other).generation == 1
        assert other.frontier() == recorded
        assert consumed(cell) == []
        status = cell.status()
        assert (status.state, status.generation, status.consumed_generation) == ("continuing", 1, 0)
        # Asking again while it is frozen changes nothing.
        with pytest.raises(tidemark.ResumeUnconfirmedError):
            cell.resume(1, timeout=0.3)
    assert cell.resume(1) == Resumed(1)
    assert len(consumed(cell)) == 1
    end = completed(cell)
    assert end.value == "a"
    assert len(consumed(cell)) == 1


def test_a_resume_that_nobody_repeats_takes_effect_once_the_worker_thaws(
    session: tidemark.Session, client: tidemark.Client, doors: Doors
) -> None:
    cell = session.create_pausable_cell(SOURCE)
    pending(cell)
    doors.open("a")
    with frozen(cell), pytest.raises(tidemark.ResumeUnconfirmedError):
        cell.resume(1, timeout=0.5)
    other = client.cell(cell.id)
    assert isinstance(other, PausableCell)
    in_state(other, "completed")
    assert completed(other).value == "a"
    # The handle that gave up asks again and is told what its own request did.
    assert cell.resume(1) == Resumed(1)
    assert other.resume(1) == AlreadyRunning(1, "completed", 1)


def test_a_resume_waits_as_long_as_the_worker_is_frozen_and_no_longer(
    session: tidemark.Session, doors: Doors
) -> None:
    cell = session.create_pausable_cell(SOURCE)
    pending(cell)
    with ThreadPoolExecutor() as pool:
        with frozen(cell):
            answer = pool.submit(cell.resume, 1)
            in_state(cell, "continuing")
            assert not answer.done()
            assert consumed(cell) == []
        assert answer.result(10) == Resumed(1)
    doors.open("a")
    assert completed(cell).value == "a"


def test_two_resumes_of_a_frozen_worker_have_one_winner(
    session: tidemark.Session, supervisor: RunningSupervisor
) -> None:
    cell = session.create_pausable_cell(SOURCE)
    pending(cell)
    with ThreadPoolExecutor() as pool, tidemark.connect(supervisor.endpoint) as second:
        other = second.cell(cell.id)
        assert isinstance(other, PausableCell)
        with frozen(cell):
            first = pool.submit(cell.resume, 1)
            in_state(cell, "continuing")
            later = pool.submit(other.resume, 1)
            # It waits for the outcome of the first instead of guessing.
            with tidemark.connect(supervisor.endpoint) as third:
                last = third.cell(cell.id)
                assert isinstance(last, PausableCell)
                with pytest.raises(tidemark.ResumeUnconfirmedError):
                    last.resume(1, timeout=0.5)
            assert not first.done()
            assert not later.done()
        assert first.result(10) == Resumed(1)
        assert later.result(10) == AlreadyRunning(1, "running", 1)
    assert len(consumed(cell)) == 1


def test_a_worker_killed_while_frozen_ends_the_cell_and_its_frontier_stays_readable(
    open_session: Callable[..., tidemark.Session], client: tidemark.Client
) -> None:
    session = open_session(replay=False)
    cell = session.create_pausable_cell(SOURCE)
    seen = pending(cell)
    recorded = cell.frontier()
    with ThreadPoolExecutor() as pool, frozen(cell) as pid:
        answer = pool.submit(cell.resume, 1)
        in_state(cell, "continuing")
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(tidemark.WorkerLostError) as caught:
            answer.result(10)
    assert "9" in caught.value.reason or "KILL" in caught.value.reason
    assert consumed(cell) == []
    assert cell.frontier() == recorded is not None
    assert recorded.tool_calls == seen.tool_calls
    other = client.cell(cell.id)
    assert isinstance(other, PausableCell)
    assert other.frontier() == recorded
    end = completed(cell)
    assert (end.reason, end.value) == ("lost", None)
    assert end.error is not None
    assert completed(other).number == end.number
    with pytest.raises(tidemark.CellClosedError) as closed:
        cell.resume(1)
    assert closed.value.outcome == "completed"
    assert cell.status().pid is None


def test_a_worker_killed_without_a_resume_in_flight_ends_the_cell_as_lost(
    open_session: Callable[..., tidemark.Session],
) -> None:
    session = open_session(replay=False)
    cell = session.create_pausable_cell(SOURCE)
    pending(cell)
    os.kill(pid_of(cell), signal.SIGKILL)
    in_state(cell, "completed")
    end = completed(cell)
    assert end.reason == "lost"
    frontier = cell.frontier()
    assert frontier is not None
    assert frontier.generation == 1


def test_a_terminate_of_a_frozen_worker_ends_it_and_answers_the_resume(
    session: tidemark.Session,
) -> None:
    cell = session.create_pausable_cell(SOURCE)
    pending(cell)
    with ThreadPoolExecutor() as pool, frozen(cell):
        answer = pool.submit(cell.resume, 1)
        in_state(cell, "continuing")
        ended = cell.terminate()
        assert isinstance(ended, tidemark.Terminated)
        with pytest.raises(tidemark.CellClosedError) as closed:
            answer.result(10)
        assert closed.value.outcome == "terminated"
    assert consumed(cell) == []
