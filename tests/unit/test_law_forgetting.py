"""A cell that is no longer in memory wants nothing at any time."""

from __future__ import annotations

from dataclasses import replace

from tidemark.protocol import host_answers as a
from tidemark.protocol.limits import Limits
from tidemark.protocol.packed import CellKind

from transcripts.players import creation
from transcripts.stage import SECOND, Stage


def test_a_forgotten_cell_is_not_due(stage: Stage) -> None:
    fleet = stage.loop.fleet
    fleet.world = replace(fleet.world, finished_max=1)
    host = stage.host()
    cells = [host.creates(CellKind.CONTINUING) for _ in range(3)]
    workers = [stage.worker(cell) for cell in cells]  # forked; each has yet to say Hello
    for cell, worker in zip(cells, workers, strict=True):
        host.terminates(cell)
        worker.ends()
    assert [cell in fleet.cells for cell in cells] == [False, False, True]
    stage.passes(60 * SECOND)
    assert [host.terminates(cell).event.number for cell in cells] == [1, 1, 1]


def test_a_cell_whose_creation_was_undone_is_not_due(stage: Stage) -> None:
    host = stage.host()
    stage.store.full = True
    refusal = host.ask(creation(limits=Limits(lifetime_seconds=2.0)))
    assert isinstance(refusal, a.Refused)
    stage.store.full = False
    stage.passes(60 * SECOND)
    assert host.creates()
