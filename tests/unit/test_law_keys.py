"""Idempotency keys that outlive their cell, and creates that have no key."""

from __future__ import annotations

from tidemark.protocol import host_answers as a
from tidemark.protocol import host_requests as h
from tidemark.supervisor.shell.retention import DAY_NS

from transcripts import saying
from transcripts.players import creation
from transcripts.stage import SECOND, Stage


def test_a_create_without_a_key_acts_once_also_when_its_cell_has_ended(stage: Stage) -> None:
    """Nothing in memory knows of a finished cell after a crash: the journal has to."""
    host = stage.host()
    number = host.sends(creation())
    cell = host.answer(number).cell
    stage.worker(cell).hello().says(saying.ended())
    stage.crash()
    stage.restart()
    host.reconnects()
    assert host.repeats(number).cell == cell
    assert [row.cell for row in host.ask(h.ListCells("tides", "", 10, "")).rows] == [cell]


def test_two_creates_without_a_key_are_two_cells(stage: Stage) -> None:
    host = stage.host()
    assert host.creates() != host.creates()


def test_the_key_of_a_removed_cell_makes_no_new_one(stage: Stage) -> None:
    host = stage.host()
    cell = host.creates(key="once")
    stage.worker(cell).hello().says(saying.ended())
    host.ask(h.AskInfo(), (cell, 1))
    stage.passes(2 * SECOND)
    stage.passes(8 * DAY_NS)
    stage.passes(2 * SECOND)
    assert host.ask(h.ListCells("tides", "", 10, "")).rows == ()
    refused = host.ask(creation(key="once"))
    assert isinstance(refused, a.Refused)
    assert refused.code == "cell_not_found"
    assert host.ask(h.ListCells("tides", "", 10, "")).rows == ()


def test_no_id_is_used_again_when_the_clock_stands_still(stage: Stage) -> None:
    host = stage.host()
    first = host.creates()
    stage.worker(first).hello().says(saying.ended())
    stage.crash()
    stage.restart()
    host.reconnects()
    second = host.creates()
    assert first < second
