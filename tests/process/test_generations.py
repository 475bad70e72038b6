"""The table of resume: every state of a cell, every kind of number, racing hosts."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
import tidemark
from tidemark import AlreadyRunning, Pending, Resumed
from tidemark.protocol.limits import INTEGER_MAX

from fakes.cells import completed, consumed, in_state, pending, pid_of, run_through
from fakes.doors import Doors
from fakes.process_watch import stopped
from fakes.running_supervisor import RunningSupervisor
from fakes.waiting import until

TWO_CALLS = """
await tools.knock(door="a")
await tools.knock(door="b")
"""


def refused(cell: tidemark.PausableCell, generation: int, latest: int | None) -> None:
    """The generation is refused, and nothing has changed."""
    before = cell.status()
    with pytest.raises(tidemark.InvalidGenerationError) as caught:
        cell.resume(generation)
    error = caught.value
    assert (error.cell_id, error.requested, error.latest) == (cell.id, generation, latest)
    assert error.outcome_known
    assert "frontier()" in str(error)
    after = cell.status()
    assert (after.generation, after.consumed_generation) == (
        before.generation,
        before.consumed_generation,
    )


def pausable(client: tidemark.Client, cell: str) -> tidemark.PausableCell:
    """Another host's handle."""
    handle = client.cell(cell)
    assert isinstance(handle, tidemark.PausableCell)
    return handle


def test_before_the_first_frontier(session: tidemark.Session) -> None:
    cell = session.create_pausable_cell("while True: pass")
    in_state(cell, "running")
    for generation in (1, 2, 10**6, INTEGER_MAX):
        refused(cell, generation, None)
    for generation in (0, -1, -INTEGER_MAX):
        refused(cell, generation, None)
    assert cell.frontier() is None


def test_paused_running_and_ended(session: tidemark.Session, doors: Doors) -> None:
    cell = session.create_pausable_cell(TWO_CALLS)
    assert pending(cell).generation == 1
    refused(cell, 0, 1)
    refused(cell, -5, 1)
    refused(cell, 2, 1)
    refused(cell, INTEGER_MAX, 1)
    assert cell.resume(1) == Resumed(1)  # with nothing queued: it waits for the first input
    assert cell.status().state in ("running", "idle")
    assert cell.resume(1) == AlreadyRunning(1, "running", 1)
    refused(cell, 2, 1)
    refused(cell, 0, 1)
    doors.open("a")
    assert pending(cell).generation == 2
    assert cell.resume(1) == AlreadyRunning(1, "paused", 2)
    refused(cell, 3, 2)
    doors.open("b")
    assert cell.resume(2) == Resumed(2)
    completed(cell)
    assert cell.resume(1) == AlreadyRunning(1, "completed", 2)
    assert cell.resume(2) == AlreadyRunning(2, "completed", 2)
    refused(cell, 0, 2)
    for generation in (3, 4, INTEGER_MAX):
        with pytest.raises(tidemark.CellClosedError) as caught:
            cell.resume(generation)
        assert caught.value.outcome == "completed"
    assert [line.split(" by ")[0] for line in consumed(cell)] == ["generation 1", "generation 2"]


def test_terminated(session: tidemark.Session, doors: Doors) -> None:
    cell = session.create_pausable_cell(TWO_CALLS)
    pending(cell)
    cell.resume(1)
    doors.open("a")
    pending(cell)
    cell.terminate()
    assert cell.resume(1) == AlreadyRunning(1, "terminated", 1)
    with pytest.raises(tidemark.CellClosedError) as caught:
        cell.resume(2)
    assert caught.value.outcome == "terminated"
    refused(cell, 0, 1)
    frontier = cell.frontier()
    assert frontier is not None
    assert frontier.generation == 2


def test_continuing_while_the_worker_is_frozen(
    session: tidemark.Session, client: tidemark.Client
) -> None:
    cell = session.create_pausable_cell(TWO_CALLS)
    pending(cell)
    pid = pid_of(cell)
    os.kill(pid, signal.SIGSTOP)
    until(lambda: stopped(pid))
    try:
        with pytest.raises(tidemark.ResumeUnconfirmedError):
            cell.resume(1, timeout=0.2)
        other = pausable(client, cell.id)
        refused(other, 2, 1)
        refused(other, 0, 1)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert cell.resume(1) == Resumed(1)


@pytest.mark.parametrize("generation", [True, 1.0, "1", None])
def test_a_generation_is_an_int(session: tidemark.Session, generation: object) -> None:
    cell = session.create_pausable_cell(TWO_CALLS)
    pending(cell)
    with pytest.raises(TypeError, match="int"):
        cell.resume(generation)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="64 bits"):
        cell.resume(2**64)
    assert pending(cell).generation == 1


def test_racing_resumes_of_many_hosts_have_exactly_one_winner(
    session: tidemark.Session, supervisor: RunningSupervisor, doors: Doors
) -> None:
    hosts = 4
    doors.open("open")
    cell = session.create_pausable_cell("for n in range(12): await tools.knock(door='open')")
    clients = [tidemark.connect(supervisor.endpoint) for _ in range(hosts)]
    try:
        handles = [pausable(client, cell.id) for client in clients]
        with ThreadPoolExecutor(hosts) as pool:
            for generation in range(1, 13):
                event = pending(cell)
                assert event.generation == generation
                answers = list(pool.map(lambda h, g=generation: h.resume(g), handles))
                assert answers.count(Resumed(generation)) == 1
                losers = [one for one in answers if one != Resumed(generation)]
                assert {(one.generation, one.latest >= generation) for one in losers} == {
                    (generation, True)
                }
        assert len(consumed(cell)) == 12
    finally:
        for client in clients:
            client.close()


def test_step_is_resume_and_the_next_event_in_one(session: tidemark.Session, doors: Doors) -> None:
    doors.open("a", "b")
    cell = session.create_pausable_cell(TWO_CALLS + "exit('done')")
    assert pending(cell).generation == 1
    event = cell.step(1)
    assert isinstance(event, Pending)
    assert event.generation == 2
    assert cell.step(1) == AlreadyRunning(1, "paused", 2)
    with pytest.raises(tidemark.InvalidGenerationError):
        cell.step(3)
    end = cell.step(2)
    assert isinstance(end, tidemark.Completed)
    assert end.value == "done"
    assert cell.step(2) == AlreadyRunning(2, "completed", 2)
    with pytest.raises(tidemark.CellClosedError):
        cell.step(3)


def test_a_step_that_times_out_is_asked_again_and_answered(
    session: tidemark.Session, doors: Doors
) -> None:
    cell = session.create_pausable_cell(TWO_CALLS)
    pending(cell)
    with pytest.raises(tidemark.ResumeUnconfirmedError):
        cell.step(1, timeout=0.3)  # nothing queued: it runs, and reaches no frontier
    doors.open("a")
    event = cell.step(1)
    assert isinstance(event, Pending)
    assert event.generation == 2
    assert len(consumed(cell)) == 1


def test_verbs_of_the_other_kind_are_refused(
    session: tidemark.Session, client: tidemark.Client
) -> None:
    continuing = session.create_cell("await asyncio.Event().wait()")
    pausable = session.create_pausable_cell("await asyncio.Event().wait()")
    assert not hasattr(continuing, "resume")
    assert not hasattr(pausable, "observe")
    assert isinstance(client.cell(continuing.id), tidemark.Cell)
    assert isinstance(client.cell(pausable.id), tidemark.PausableCell)
    # A handle that believes something else is told.
    inner = pausable._cell
    wrong = tidemark.AsyncPausableCell(inner._opening, continuing.id, "", None)
    handle = tidemark.PausableCell(pausable._thread, wrong)
    with pytest.raises(tidemark.WrongCellKindError, match="observe") as caught:
        handle.resume(1)
    assert caught.value.kind == "continuing"
    with pytest.raises(tidemark.WrongCellKindError):
        handle.wait_to_pending()


def test_generations_are_never_reused_by_a_cell(session: tidemark.Session, doors: Doors) -> None:
    doors.open("a")
    cell = session.create_pausable_cell(
        "for n in range(20):\n    await asyncio.sleep(0.001)\nexit(n)"
    )
    generations = []
    event = cell.wait_to_pending()
    while isinstance(event, Pending):
        generations.append(event.generation)
        event = cell.step(event.generation)  # type: ignore[assignment]
    assert generations == list(range(1, 21))
    assert run_through(cell).value == 19
