"""Cells in every state that the law tells apart, each built by what real hosts and workers say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from tidemark.protocol import host_requests as h
from tidemark.protocol.packed import CellKind
from tidemark.supervisor.core import effects as f
from tidemark.supervisor.core import events as e
from tidemark.supervisor.core import records as r
from tidemark.supervisor.core import turn
from tidemark.supervisor.core.facts import Cell, Phase
from tidemark.supervisor.core.fleet import Fleet
from tidemark.supervisor.core.law import CellState

from transcripts import saying
from transcripts.players import Host, Worker
from transcripts.stage import Stage

PAUSABLE, CONTINUING = CellKind.PAUSABLE, CellKind.CONTINUING


class Has(Enum):
    """What kind of worker a cell has, which its phase does not tell."""

    NOBODY = "no worker: it gets one when there is something to do"
    STRANGER = "a worker that has not said Hello"
    REPEATER = "a worker that says again what the journal has"
    SPEAKER = "a worker whose words are recorded"


@dataclass(frozen=True)
class Kind:
    """A state of the walk. `once`: its session does not replay."""

    phase: Phase
    has: Has = Has.SPEAKER
    once: bool = False


#: "fresh": no generation was consumed yet; "free": a continuing cell.
STATES = {
    "starting": Kind(Phase.STARTING, Has.STRANGER),
    "starting without": Kind(Phase.STARTING, Has.NOBODY),
    "running fresh": Kind(Phase.RUNNING),
    "running": Kind(Phase.RUNNING),
    "running once": Kind(Phase.RUNNING, once=True),
    "running dormant": Kind(Phase.RUNNING, Has.NOBODY),
    "running woken": Kind(Phase.RUNNING, Has.STRANGER),
    "running replaying": Kind(Phase.RUNNING, Has.REPEATER),
    "paused": Kind(Phase.PAUSED),
    "paused once": Kind(Phase.PAUSED, once=True),
    "paused dormant": Kind(Phase.PAUSED, Has.NOBODY),
    "paused diverged": Kind(Phase.PAUSED, Has.NOBODY),
    "continuing": Kind(Phase.CONTINUING),
    "continuing once": Kind(Phase.CONTINUING, once=True),
    "continuing woken": Kind(Phase.CONTINUING, Has.STRANGER),
    "continuing replaying": Kind(Phase.CONTINUING, Has.REPEATER),
    "completed": Kind(Phase.FINISHED),
    "terminated": Kind(Phase.FINISHED),
    "lost once": Kind(Phase.FINISHED, once=True),
    "free starting": Kind(Phase.STARTING, Has.STRANGER),
    "free running": Kind(Phase.RUNNING),
    "free once": Kind(Phase.RUNNING, once=True),
    "free dormant": Kind(Phase.RUNNING, Has.NOBODY),
    "free woken": Kind(Phase.RUNNING, Has.STRANGER),
    "free replaying": Kind(Phase.RUNNING, Has.REPEATER),
    "free diverged": Kind(Phase.RUNNING, Has.NOBODY),
    "free completed": Kind(Phase.FINISHED),
}
AFTER_A_LOSS = ("dormant", "woken", "replaying", "diverged")


@dataclass
class Scene:
    """A cell in one state: its host, its worker, and that worker's predecessor.

    `seq`: the last message of its worker that was heard.
    """

    stage: Stage
    host: Host
    cell: str
    token: bytes
    old_token: bytes
    seq: int

    @property
    def state(self) -> CellState:
        return self.stage.state(self.cell)


@dataclass
class Taken:
    """What an event has done, before it was undone."""

    before: Cell
    after: Cell
    effects: list[f.Effect]
    records: list[r.Record]
    dropped: int

    def of(self, kind: type[Any]) -> list[Any]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    @property
    def nothing(self) -> bool:
        return self.before == self.after and not self.records

    @property
    def moved(self) -> bool:
        """Whether the cell is anywhere else now, whatever became of its worker."""
        here, there = (
            (cell.phase, cell.generation, cell.consumed, cell.frontier, cell.output, cell.taken)
            for cell in (self.before, self.after)
        )
        return here != there


@contextmanager
def scenes(path: Path) -> Iterator[dict[str, Scene]]:
    """One scene for each state, each on a journal of its own."""
    made: dict[str, Scene] = {}
    try:
        for number, (name, kind) in enumerate(STATES.items()):
            stage = Stage(path / f"{number}.db")
            stage.run()
            host = stage.host("tides", saying.tool("search"), replay=not kind.once)
            made[name] = build(stage, host, name)
        yield made
    finally:
        for scene in made.values():
            scene.stage.store.close()


def build(stage: Stage, host: Host, name: str) -> Scene:
    """A new cell, brought into the state of this name."""
    kind = CONTINUING if name.startswith("free") else PAUSABLE
    cell = host.creates(kind)
    first = stage.worker(cell)
    first.ends(1)  # before it said Hello: the cell gets another worker
    stage.passes(600_000_000)
    worker = stage.worker(cell)
    assert worker.token != first.token
    scene = Scene(stage, host, cell, worker.token, first.token, 0)
    if name == "starting without":
        worker.ends(1)
    if "starting" in name:
        return scene
    worker.hello()
    worker.says(saying.called(1), saying.called(2), saying.text("a"))
    if kind is CONTINUING:
        worker.says(saying.waited())
    elif name != "running fresh":
        _to_generation_3(scene, worker, name)
    stage.processes.kills = False  # also after the end there is still somebody who can speak
    if name.endswith("completed"):
        worker.says(saying.ended())
    if name == "terminated":
        host.sends(h.Terminate(cell, None))
    if name == "lost once":
        worker.ends(-9)
    scene.seq = len(worker.said)
    if name.endswith(AFTER_A_LOSS):
        _after_a_loss(scene, worker, name.rpartition(" ")[2])
    stage.passes(200_000_000)
    return scene


def _to_generation_3(scene: Scene, worker: Worker, name: str) -> None:
    host, cell = scene.host, scene.cell
    worker.says(saying.paused(1))
    for generation in (1, 2):
        host.sends(h.Resume(cell, generation, None))
        worker.confirms()
        if not (generation == 2 and name == "running dormant"):  # that one has nothing to do
            host.finishes(cell, generation)
        if generation == 1 or not name.startswith(("running", "completed")):
            worker.says(saying.paused(generation + 1, generation))
    if name == "running dormant":
        worker.says(saying.waited(1))
    if name in ("continuing", "continuing once", "lost once"):
        host.sends(h.Resume(cell, 3, None))


def _after_a_loss(scene: Scene, worker: Worker, how: str) -> None:
    """The worker dies; what there is to do, if there is anything, gets the cell another one."""
    stage, host, cell = scene.stage, scene.host, scene.cell
    worker.ends(-9)
    if how == "dormant":
        return
    if scene.state.cell.phase is Phase.PAUSED:
        host.sends(h.Resume(cell, 3, None))
    elif not scene.state.cell.pausable:
        host.sends(h.Observe(cell, None, 10**12, take_over=False))
    again = stage.worker(cell)
    assert again.token != worker.token, "the loss of a cell with something to do wakes it"
    scene.token, scene.old_token, scene.seq = again.token, worker.token, 0
    if how == "woken":
        return
    again.hello()
    if how == "diverged":
        again.says(saying.text("another life"))
    else:
        again.says(saying.called(1), saying.called(2))
    scene.seq = 1


def take(scene: Scene, event: e.FleetEvent, *, after_ns: int = 0) -> Taken:
    """What the event does to this cell; it is undone at once, so one scene serves a whole walk."""
    fleet: Fleet = scene.stage.loop.fleet
    before, dropped = scene.state.cell, fleet.dropped
    fleet.mark()
    for need in turn.needs(fleet, event):
        assert need == turn.NeedPast(scene.cell)
        records = [stored.record for stored in scene.stage.store.cell_records(scene.cell)]
        turn.learn_past(fleet, scene.cell, records)
    turn.take(fleet, event, 1_000, scene.stage.clock.ns + after_ns)
    found = Taken(
        before,
        scene.state.cell,
        list(fleet.effects),
        [entry.record for entry in fleet.entries],
        fleet.dropped - dropped,
    )
    fleet.undo()
    fleet.dropped = dropped
    assert scene.state.cell == before, "undo() puts everything back"
    return found
