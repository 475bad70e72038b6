"""Cells that have lost their worker, and what later workers of them say."""

from __future__ import annotations

from typing import Any

from tidemark.protocol import host_requests as h
from tidemark.protocol import worker_messages as w
from tidemark.protocol.packed import CellKind
from tidemark.supervisor.core import events as e
from tidemark.supervisor.core import records as r

from transcripts import saying
from transcripts.players import Host, Worker
from transcripts.stage import Stage

FREE = CellKind.CONTINUING
#: What the cell of `paused` says before its first frontier, and what again in every later life.
BEGINNING = (saying.text("a"), saying.called(1), saying.called(2), saying.notified("n"))


def paused(stage: Stage, **fields: Any) -> tuple[Host, str, Worker]:
    """A cell at its first frontier."""
    host = stage.host("tides", saying.tool("search"))
    cell = host.creates(**fields)
    worker = stage.worker(cell).hello()
    worker.says(*BEGINNING, saying.paused(1))
    return host, cell, worker


def stepped(stage: Stage) -> tuple[Host, str, Worker]:
    """A cell whose first frontier is consumed, and which has taken its first result."""
    host, cell, worker = paused(stage)
    host.sends(h.Resume(cell, 1, None))
    worker.confirms()
    host.finishes(cell, 1)
    worker.says(saying.text("b"))
    return host, cell, worker


def waiting(stage: Stage) -> tuple[Host, str, Worker]:
    """A continuing cell that waits for two calls."""
    host = stage.host("tides", saying.tool("search"))
    cell = host.creates(FREE)
    worker = stage.worker(cell).hello()
    worker.says(*BEGINNING, saying.waited())
    return host, cell, worker


def records(stage: Stage, cell: str) -> list[r.Record]:
    """Everything that the journal has of this cell."""
    return [stored.record for stored in stage.store.cell_records(cell)]


def kinds(stage: Stage, cell: str, since: int = 0) -> list[type[r.Record]]:
    """Of which kinds its records are, from the one at `since` on."""
    return [type(record) for record in records(stage, cell)[since:]]


def forks(stage: Stage, cell: str) -> int:
    """How many workers were made for it."""
    return sum(name == cell for name, _ in stage.processes.names.values())


def next_life(stage: Stage, cell: str, before: Worker) -> Worker:
    """The worker that replaced this one, after its Hello."""
    again = stage.worker(cell)
    assert again.token != before.token, "the cell has no other worker"
    return again.hello()


def given(worker: Worker) -> list[int]:
    """The numbers of the inputs that were delivered to it, Continue's not among them."""
    found = [message for message in worker.received if isinstance(message, w.Deliver)]
    return [each.number for message in found for each in message.inputs]


def continues(worker: Worker) -> list[w.Continue]:
    """What it was told to leave."""
    return [message for message in worker.received if isinstance(message, w.Continue)]


def zygote_dies(stage: Stage) -> None:
    """The kernel kills all its workers; another zygote is started."""
    stage.processes.living.clear()
    stage.happens(e.ZygoteLost())
    stage.happens(e.WorkersListed((), fresh=True))
