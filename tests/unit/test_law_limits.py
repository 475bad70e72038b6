"""Bounds, and stored values: each bound names itself, and values become visible all at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgpack
import pytest
from tidemark.protocol import host_answers as a
from tidemark.protocol import host_requests as h
from tidemark.protocol import limits, values
from tidemark.protocol import worker_messages as w
from tidemark.protocol.limits import Limits
from tidemark.protocol.packed import CellKind, EventKind, Reason

from transcripts import saying
from transcripts.players import Host, Worker, creation, output
from transcripts.stage import MS, SECOND, Killed, Stage

FREE = CellKind.CONTINUING
ONE, TWO = values.encode(1), values.encode(2)


def free(stage: Stage, *, replay: bool = True, **fields: Any) -> tuple[Host, str, Worker]:
    host = stage.host(replay=replay)
    cell = host.creates(FREE, **fields)
    return host, cell, stage.worker(cell).hello()


def exceeded(answer: Any) -> tuple[str, int, int]:
    assert answer.code == "limit_exceeded"
    found = msgpack.unpackb(answer.attributes)
    return found["limit"], found["value"], found["used"]


def over(stage: Stage, host: Host, cell: str) -> str:
    """The cell has ended for a limit; what it says."""
    stage.passes(2 * SECOND)
    event = host.observes(cell, 0).event
    if event.kind is EventKind.YIELDED:
        event = host.observes(cell, event.number).event
    assert (event.kind, event.reason) == (EventKind.COMPLETED, Reason.LIMIT)
    assert stage.state(cell).token in stage.processes.killed
    return str(event.error)


def test_the_size_of_a_source(stage: Stage) -> None:
    host = stage.host()
    assert host.creates(source=b"#" * limits.SOURCE_BYTES_MAX)
    answer = host.ask(creation(source=b"#" * (limits.SOURCE_BYTES_MAX + 1)))
    assert exceeded(answer) == (
        "source_bytes",
        limits.SOURCE_BYTES_MAX,
        limits.SOURCE_BYTES_MAX + 1,
    )
    assert host.ask(creation(source=b"\xff")).code == "protocol"


def test_the_number_of_unfinished_cells(stage: Stage) -> None:
    host = stage.host()
    cell = host.creates(key="once")
    fleet = stage.loop.fleet
    fleet.sessions["tides"] = replace(
        fleet.sessions["tides"], unfinished=limits.CELLS_UNFINISHED_MAX
    )
    answer = host.ask(creation())
    assert exceeded(answer) == ("cells_unfinished", 10_000, 10_001)
    assert host.creates(key="once") == cell, "that creates nothing"
    host.terminates(cell)
    assert host.creates()


def test_output_bytes(stage: Stage) -> None:
    host, cell, worker = free(stage, limits=Limits(output_bytes=10))
    other = host.creates(FREE)
    worker.says(saying.text("1234567890"))
    worker.says(saying.text("1"), saying.text("2"))
    assert "output_bytes: at most 10 are allowed, 11 were used" in over(stage, host, cell)
    assert output(host.observes(cell, 0)) == ["1234567890"]
    assert stage.state(other).cell.final is None


def test_the_limits_of_a_session_are_those_of_its_cells(stage: Stage) -> None:
    host = stage.host("tides", limits=Limits(output_bytes=10, wall_seconds=1.5))
    cell = host.creates(FREE, limits=Limits(output_bytes=20))
    found = stage.state(cell).cell.limits
    assert (found.output_bytes, found.wall_seconds) == (20, 1.5)


@pytest.mark.parametrize("phase", ["starting", "running", "paused", "continuing"])
def test_wall_seconds_in_every_phase(stage: Stage, phase: str) -> None:
    host = stage.host()
    cell = host.creates(limits=Limits(wall_seconds=1.5))
    worker = stage.worker(cell)
    if phase != "starting":
        worker.hello()
    if phase in ("paused", "continuing"):
        worker.says(saying.paused(1))
    number = host.sends(h.Resume(cell, 1, None)) if phase == "continuing" else 0
    stage.passes(1_499 * MS)
    assert stage.state(cell).cell.final is None
    stage.passes(2 * SECOND)
    final = host.waits(cell).event
    assert final.reason is Reason.LIMIT
    assert "wall_seconds" in final.error
    assert worker.token in stage.processes.killed
    if number:
        assert host.answer(number).code == "cell_closed"


def test_more_open_calls_than_a_frontier_can_list(stage: Stage) -> None:
    host = stage.host("tides", saying.tool("search"))
    cell = host.creates()
    worker = stage.worker(cell).hello()
    worker.says(*(saying.called(n + 1) for n in range(limits.CALLS_OPEN_MAX)), saying.paused(1))
    assert len(host.waits(cell).event.calls) == limits.CALLS_OPEN_MAX
    second = host.creates()
    worker = stage.worker(second).hello()
    worker.says(*(saying.called(n + 1) for n in range(limits.CALLS_OPEN_MAX + 1)), saying.paused(1))
    stage.passes(SECOND)
    final = host.waits(second).event
    assert final.reason in (Reason.LIMIT, Reason.LOST)


def test_an_image_has_to_be_inline(stage: Stage) -> None:
    host, cell, worker = free(stage)
    worker.says(saying.image("data:image/png;base64,AA=="))
    worker.says(saying.image("https://example.org/tide.png"))
    stage.passes(SECOND)
    assert host.observes(cell, 0).event.reason is Reason.LOST
    assert len(host.observes(cell, 0).event.output) == 1


# -- stored values --------------------------------------------------------------------------------


def test_a_host_reads_and_writes(stage: Stage) -> None:
    host = stage.host()
    assert host.ask(h.StoredGet("k")) == a.StoredGiven(None)
    host.ask(h.StoredSet("k", ONE))
    host.ask(h.StoredSet("a", TWO))
    assert host.ask(h.StoredGet("k")) == a.StoredGiven(ONE)
    assert host.ask(h.StoredKeys()) == a.KeysGiven(("a", "k"))
    host.ask(h.StoredSet("k", None))
    assert host.ask(h.StoredKeys()) == a.KeysGiven(("a",))
    other = stage.host("other")
    assert other.ask(h.StoredKeys()) == a.KeysGiven(()), "sessions share nothing"


def fetched(worker: Worker, key: str | None) -> Any:
    worker.sends(w.Fetch(worker.epoch, 1, key))
    answer = worker.last(w.Fetched)
    return answer.keys if key is None else answer.content


def test_a_cell_reads_the_version_of_its_creation(stage: Stage) -> None:
    host = stage.host()
    host.ask(h.StoredSet("k", ONE))
    cell = host.creates(FREE)
    host.ask(h.StoredSet("k", TWO))
    host.ask(h.StoredSet("new", TWO))
    worker = stage.worker(cell).hello()
    assert fetched(worker, "k") == ONE
    assert fetched(worker, None) == ("k",)
    stage.crash()
    stage.restart()
    worker.adopted()
    assert fetched(worker, "k") == ONE
    assert fetched(worker, "new") is None
    later = host.reconnects() and host.creates(FREE)
    assert fetched(stage.worker(later).hello(), "k") == TWO


@pytest.mark.parametrize("end", [saying.ended(), saying.raised()], ids=["ended", "raised"])
def test_writes_become_visible_with_the_completion(stage: Stage, end: w.Item) -> None:
    host, _, worker = free(stage)
    host.ask(h.StoredSet("gone", ONE))
    worker.says(saying.wrote("k", 1), saying.wrote("k", 2), saying.deleted("gone"))
    assert host.ask(h.StoredKeys()) == a.KeysGiven(("gone",))
    worker.says(saying.wrote("l", 1), end)
    assert host.ask(h.StoredKeys()) == a.KeysGiven(("k", "l"))
    assert host.ask(h.StoredGet("k")) == a.StoredGiven(TWO)
    written, stored = stage.store.commits[-1][-2:]
    assert type(written.record).__name__ == "CellCompleted"
    assert type(stored.record).__name__ == "StoredChanged"


@pytest.mark.parametrize("end", ["terminated", "lost", "limit", "refused"])
def test_writes_of_a_cell_that_ended_otherwise_never_do(stage: Stage, end: str) -> None:
    host, cell, worker = free(stage, replay=False, limits=Limits(output_bytes=1))
    worker.says(saying.wrote("k", 1))
    if end == "terminated":
        host.terminates(cell)
    elif end == "lost":
        worker.ends(-9)
    elif end == "limit":
        worker.says(saying.wrote("l", 1), saying.text("too much"))
    else:
        worker.says(saying.refused())
    stage.passes(SECOND)
    assert stage.state(cell).cell.final is not None
    assert host.ask(h.StoredKeys()) == a.KeysGiven(())
    assert stage.store.contents(cell, "w", 0, 10) == []


def test_terminate_after_the_completion_changes_nothing(stage: Stage) -> None:
    host, cell, worker = free(stage)
    worker.says(saying.wrote("k", 1), saying.ended(7))
    final = host.terminates(cell)
    assert (final.event.kind, final.event.value) == (EventKind.COMPLETED, values.encode(7))
    assert host.ask(h.StoredKeys()) == a.KeysGiven(("k",))


def test_a_completion_after_terminate_changes_nothing(stage: Stage) -> None:
    host, cell, worker = free(stage)
    stage.processes.kills = False
    number = host.sends(h.Terminate(cell, None))
    worker.says(saying.wrote("k", 1), saying.ended())
    worker.ends(0)
    assert host.answer(number).event.kind is EventKind.TERMINATED
    assert host.ask(h.StoredKeys()) == a.KeysGiven(())


@pytest.mark.parametrize("dies", ["dies_before", "dies_after"])
def test_completion_and_writes_are_one_transaction(stage: Stage, dies: str) -> None:
    host, cell, worker = free(stage)
    worker.says(saying.wrote("k", 1))
    setattr(stage.store, dies, True)
    with pytest.raises(Killed):
        worker.says(saying.ended())
    stage.crash()
    stage.restart()
    host.reconnects()
    visible = host.ask(h.StoredKeys()) == a.KeysGiven(("k",))
    assert visible == (dies == "dies_after")
    assert (host.ask(h.AskStatus(cell)).state == "completed") == visible
    if not visible:
        worker.adopted()
        assert host.ask(h.StoredKeys()) == a.KeysGiven(("k",))


def test_the_size_of_all_stored_values(stage: Stage) -> None:
    host, cell, worker = free(stage)
    fleet = stage.loop.fleet
    fleet.sessions["tides"] = replace(
        fleet.sessions["tides"], stored_bytes=limits.STORED_BYTES_MAX - 1
    )
    answer = host.ask(h.StoredSet("k", ONE))
    bound = limits.STORED_BYTES_MAX
    assert exceeded(answer) == ("stored_bytes", bound, bound + 1)
    worker.says(saying.wrote("k", 1), saying.ended())
    assert "stored_bytes: at most 67,108,864 are allowed" in over(stage, host, cell)
    assert host.ask(h.StoredKeys()) == a.KeysGiven(())
