"""A journal that cannot be written: writers are told, readers answered, and nothing is lost."""

from __future__ import annotations

from typing import Any

import pytest
from tidemark.protocol import host_answers as a
from tidemark.protocol import host_requests as h
from tidemark.protocol.packed import CellKind, EventKind, InputKind

from transcripts import saying
from transcripts.players import creation, output
from transcripts.stage import MS, SECOND, Stage


def test_writers_are_refused_and_readers_answered(stage: Stage) -> None:
    host = stage.host("tides", saying.tool("search"))
    cell = host.creates()
    worker = stage.worker(cell).hello()
    worker.says(saying.text("a"), saying.called(1), saying.paused(1))
    frontier = host.waits(cell)
    before, records = stage.state(cell).cell, stage.store.last_number
    stage.store.full = True
    asks: list[Any] = [
        creation(),
        h.Terminate(cell, None),
        h.StoredSet("k", b"\x01"),
        h.FinishCall(h.CallRef(cell, 1), InputKind.RESULT, b"\x01", "", False),
        h.CloseSession(),
        h.Detach(),
    ]
    for ask in asks:
        refusal = host.ask(ask)
        assert (type(refusal), refusal.code) == (a.Refused, "journal")
    assert stage.host("other").answers[1].code == "journal", "also who has no attachment yet"
    assert host.waits(cell) == frontier
    assert host.ask(h.AskStatus(cell)).state == "paused"
    assert host.ask(h.AskFrontier(cell)).event == frontier.event
    assert host.ask(h.AskInfo()).journal == records
    assert host.ask(h.ListCells("tides", "", 10, "")).rows[0].cell == cell
    assert stage.state(cell).cell == before
    assert stage.store.last_number == records


def test_afterwards_it_goes_on_and_nothing_was_lost(stage: Stage) -> None:
    host = stage.host("tides", saying.tool("search"))
    cell = host.creates()
    worker = stage.worker(cell).hello()
    worker.says(saying.called(1), saying.paused(1))
    number = host.sends(h.Resume(cell, 1, None))
    stage.store.full = True
    worker.confirms()
    assert host.answer(number) is None
    worker.says(saying.text("a"), saying.called(2), saying.waited())
    finishing = host.last + 1
    assert host.finishes(cell, 1).code == "journal"
    stage.passes(5 * SECOND)
    assert host.answer(number) is None
    assert stage.state(cell).cell.consumed == 0
    stage.store.full = False
    stage.passes(SECOND)
    assert host.answer(number) == a.ResumedGiven(1)
    assert [call.call.number for call in host.heard(a.CallOffered)] == [1, 2]
    assert host.repeats(finishing) == a.Done()
    worker.says(saying.paused(2, 1))
    event = host.waits(cell).event
    assert (event.generation, [item.content for item in event.output]) == (2, ["a"])


def test_a_completion_waits_for_the_disk(stage: Stage) -> None:
    host = stage.host()
    cell = host.creates(CellKind.CONTINUING)
    worker = stage.worker(cell).hello()
    number = host.sends(h.Observe(cell, None, 60 * SECOND, False))
    stage.store.full = True
    worker.says(saying.wrote("k", 1), saying.text("a"), saying.ended())
    worker.ends(0)
    stage.passes(SECOND)
    assert host.answer(number) is None
    assert host.ask(h.StoredKeys()) == a.KeysGiven(())
    stage.store.full = False
    stage.passes(SECOND)
    final = host.answer(number)
    assert (final.event.kind, output(final)) == (EventKind.COMPLETED, ["a"])
    assert host.ask(h.StoredKeys()) == a.KeysGiven(("k",))


def test_a_full_disk_does_not_keep_the_supervisor_busy(stage: Stage) -> None:
    host = stage.host()
    stage.store.full = True
    assert host.ask(h.StoredSet("k", b"\x01")).code == "journal"
    rest = stage.loop.wait_ns()
    assert rest is not None
    assert rest > 100 * MS
    stage.passes(SECOND)
    assert stage.loop.wait_ns() is None, "nothing waits for the disk any more"


def test_what_may_wait_is_not_tried_without_rest_either(stage: Stage) -> None:
    host = stage.host()
    cell = host.creates(CellKind.CONTINUING)
    stage.worker(cell).hello().says(saying.text("a"))
    host.observes(cell, None, 0)
    stage.store.full = True
    host.ask(h.AskInfo(), (cell, 1))
    for _ in range(3):
        stage.passes(2 * SECOND)
        rest = stage.loop.wait_ns()
        assert rest is not None
        assert rest > 0
    stage.store.full = False
    stage.passes(2 * SECOND)
    stage.crash()
    stage.restart()
    assert stage.state(cell).cell.output.event is None, "the acknowledgement is in the journal"


@pytest.mark.parametrize("kind", CellKind)
def test_a_cell_whose_end_was_undone_is_not_forgotten(stage: Stage, kind: CellKind) -> None:
    host = stage.host()
    cell = host.creates(kind)
    worker = stage.worker(cell).hello()
    stage.store.full = True
    host.terminates(cell)
    stage.store.full = False
    for _ in range(1_001):
        stage.loop.fleet.finished[f"one that ended {_}"] = None
    stage.passes(SECOND)
    host.ask(h.AskInfo())
    worker.says(saying.text("a"), saying.ended())
    event = host.terminates(cell).event
    assert (event.kind, len(event.output)) == (EventKind.COMPLETED, 1)
    assert worker.token not in stage.processes.killed
