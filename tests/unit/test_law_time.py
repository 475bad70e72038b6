"""Limits of time: what counts, what does not, and that a restart changes neither."""

from __future__ import annotations

from typing import Any

import pytest
from tidemark.protocol import worker_messages as w
from tidemark.protocol.limits import Limits
from tidemark.protocol.packed import CellKind, Reason

from transcripts import saying
from transcripts.players import Host, Worker
from transcripts.stage import MS, SECOND, Stage

FREE = CellKind.CONTINUING
WALL = Limits(wall_seconds=1.5)


def begun(
    stage: Stage, kind: CellKind, own: Limits = WALL, **session: Any
) -> tuple[Host, str, Worker]:
    host = stage.host("tides", saying.tool("search"), **session)
    cell = host.creates(kind, limits=own)
    return host, cell, stage.worker(cell).hello()


def limit_of(stage: Stage, cell: str) -> str:
    """What the cell has ended for; empty: it has not ended."""
    final = stage.state(cell).cell.final
    assert final is None or final.reason is Reason.LIMIT
    return "" if final is None else str(final.error)


def test_a_continuing_cell_that_waits_for_a_tool_uses_no_wall_time(stage: Stage) -> None:
    host, cell, worker = begun(stage, FREE)
    stage.passes(500 * MS)
    worker.says(saying.called(1), saying.waited())
    stage.passes(60 * SECOND)
    host.finishes(cell, 1)
    stage.passes(999 * MS)
    assert limit_of(stage, cell) == ""
    stage.passes(2 * MS)
    found = limit_of(stage, cell)
    assert found.startswith("LimitExceededError: wall_seconds: at most 1.5 are allowed, 1.5")


def test_a_pausable_cell_that_waits_for_a_tool_uses_no_wall_time(stage: Stage) -> None:
    host, cell, worker = begun(stage, CellKind.PAUSABLE)
    stage.passes(500 * MS)
    worker.says(saying.called(1), saying.paused(1))
    stage.passes(60 * SECOND)
    number = host.waits(cell).event.number
    host.resumes(cell, 1, number)
    worker.says(saying.confirms(worker.last(w.Continue)))
    assert stage.state(cell).cell.consumed == 1
    stage.passes(60 * SECOND)  # resumed, and still nothing to take
    assert limit_of(stage, cell) == ""
    host.finishes(cell, 1)
    stage.passes(999 * MS)
    assert limit_of(stage, cell) == ""
    stage.passes(2 * MS)
    assert "wall_seconds" in limit_of(stage, cell)


def test_a_pause_with_nothing_but_results_counts(stage: Stage) -> None:
    host, cell, worker = begun(stage, CellKind.PAUSABLE)
    worker.says(saying.called(1), saying.paused(1))
    stage.passes(60 * SECOND)
    host.finishes(cell, 1)
    stage.passes(1_499 * MS)
    assert limit_of(stage, cell) == ""
    stage.passes(2 * MS)
    assert "wall_seconds" in limit_of(stage, cell)


@pytest.mark.parametrize("how", ["a timer", "own work", "nothing"])
def test_waiting_for_anything_else_counts(stage: Stage, how: str) -> None:
    _, cell, worker = begun(stage, FREE)
    if how == "own work":
        worker.says(saying.called(1), saying.waited(0, None, "thread"))
    elif how == "a timer":
        worker.says(saying.waited(0, stage.clock.ns + 100 * SECOND))
    else:
        worker.says(saying.waited())
    stage.passes(1_499 * MS)
    assert limit_of(stage, cell) == ""
    stage.passes(2 * MS)
    assert "wall_seconds" in limit_of(stage, cell)


def test_a_busy_cell_uses_its_time_although_a_call_is_out(stage: Stage) -> None:
    _, cell, worker = begun(stage, FREE)
    worker.says(saying.called(1))
    stage.passes(1_501 * MS)
    assert "wall_seconds" in limit_of(stage, cell)


def test_a_due_timer_ends_the_wait(stage: Stage) -> None:
    _, cell, worker = begun(stage, FREE)
    worker.says(saying.called(1), saying.waited(0, stage.clock.ns + 30 * SECOND))
    stage.passes(30 * SECOND)
    assert stage.state(cell).cell.queued
    stage.passes(1_499 * MS)
    assert limit_of(stage, cell) == ""
    stage.passes(2 * MS)
    assert "wall_seconds" in limit_of(stage, cell)


def test_a_new_supervisor_counts_the_same(stage: Stage) -> None:
    host, cell, worker = begun(stage, FREE)
    stage.passes(500 * MS)
    worker.says(saying.called(1), saying.waited())
    stage.passes(10 * SECOND)
    before = stage.state(cell).cell
    stage.crash()
    stage.clock.ns += 10 * SECOND
    stage.restart()
    worker.adopted()
    after = stage.state(cell).cell
    assert (after.tools_ns, after.tools_since_ns) == (before.tools_ns, before.tools_since_ns)
    host.reconnects()
    stage.passes(10 * SECOND)
    host.finishes(cell, 1)
    assert stage.state(cell).cell.tools_ns == 30 * SECOND
    stage.crash()
    stage.restart()
    worker.adopted()
    assert stage.state(cell).cell.tools_ns == 30 * SECOND
    stage.passes(999 * MS)
    assert limit_of(stage, cell) == ""
    stage.passes(2 * MS)
    assert "wall_seconds" in limit_of(stage, cell)


def test_a_lifetime_counts_everything(stage: Stage) -> None:
    limits = Limits(wall_seconds=100, lifetime_seconds=1.5)
    _, cell, worker = begun(stage, CellKind.PAUSABLE, limits)
    worker.says(saying.called(1), saying.paused(1))
    stage.passes(1_499 * MS)
    assert limit_of(stage, cell) == ""
    stage.passes(2 * MS)
    assert limit_of(stage, cell).startswith(
        "LimitExceededError: lifetime_seconds: at most 1.5 are allowed, 1.5"
    )


def test_of_two_limits_the_one_that_has_passed_is_named(stage: Stage) -> None:
    _, cell, _ = begun(stage, FREE, Limits(wall_seconds=1, lifetime_seconds=2))
    stage.passes(1_001 * MS)
    assert "wall_seconds" in limit_of(stage, cell)
    assert "lifetime_seconds" not in limit_of(stage, cell)


def test_a_session_gives_its_cells_its_limits_of_time(stage: Stage) -> None:
    _, cell, _ = begun(stage, FREE, Limits(), limits=Limits(lifetime_seconds=1))
    stage.passes(1_001 * MS)
    assert "lifetime_seconds" in limit_of(stage, cell)
