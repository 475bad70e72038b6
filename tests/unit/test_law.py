"""The law, walked: every phase x every event x generation -1/0/+1 x this, an old or a past worker.

Each state is built by what real hosts and workers say. The event is then taken by the fleet, looked
at, and undone, so one cell per state serves the whole walk.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tidemark.protocol import host_answers as a
from tidemark.protocol import host_requests as h
from tidemark.protocol import worker_messages as w
from tidemark.protocol.ids import RequestRef
from tidemark.protocol.packed import CellKind, EventKind, InputKind, Reason
from tidemark.supervisor.core import effects as f
from tidemark.supervisor.core import events as e
from tidemark.supervisor.core import records as r
from tidemark.supervisor.core import turn
from tidemark.supervisor.core.facts import Cell, Phase
from tidemark.supervisor.core.fleet import Fleet
from tidemark.supervisor.core.law import LEGAL, CellState, Told

from transcripts import saying
from transcripts.players import Host
from transcripts.stage import Stage

PAUSABLE, CONTINUING = CellKind.PAUSABLE, CellKind.CONTINUING
#: Every way to be in a phase that the law tells apart; "fresh": no generation was consumed yet.
STATES = {
    "starting": Phase.STARTING,
    "running fresh": Phase.RUNNING,
    "running": Phase.RUNNING,
    "paused": Phase.PAUSED,
    "continuing": Phase.CONTINUING,
    "completed": Phase.FINISHED,
    "terminated": Phase.FINISHED,
    "lost": Phase.FINISHED,
    "free starting": Phase.STARTING,
    "free running": Phase.RUNNING,
    "free completed": Phase.FINISHED,
}
ITEMS = (
    Told.EMITTED,
    Told.CALLED,
    Told.ABANDONED,
    Told.NOTIFIED,
    Told.WROTE,
    Told.YIELD_ASKED,
    Told.CONFIRMED,
    Told.PAUSED,
    Told.WAITED,
    Told.FLAGGED,
    Told.FINISHED,
)
OFFSETS = (-1, 0, 1)


@dataclass
class Scene:
    """A cell in one state: its host, its worker, and that worker's predecessor."""

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


def build(stage: Stage, host: Host, name: str) -> Scene:
    kind = CONTINUING if name.startswith("free") else PAUSABLE
    cell = host.creates(kind)
    first = stage.worker(cell)
    first.ends(1)  # before it said Hello: the cell gets another worker
    stage.passes(600_000_000)
    worker = stage.worker(cell)
    assert worker.token != first.token
    scene = Scene(stage, host, cell, worker.token, first.token, 0)
    if name.endswith("starting"):
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
    if name == "lost":
        worker.ends(-9)
    scene.seq = len(worker.said)
    stage.passes(200_000_000)
    return scene


def _to_generation_3(scene: Scene, worker: Any, name: str) -> None:
    host, cell = scene.host, scene.cell
    worker.says(saying.paused(1))
    for generation in (1, 2):
        host.sends(h.Resume(cell, generation, None))
        worker.confirms()
        host.finishes(cell, generation)
        if generation == 1 or name in ("paused", "continuing", "terminated", "lost"):
            worker.says(saying.paused(generation + 1, generation))
    if name in ("continuing", "lost"):
        host.sends(h.Resume(cell, 3, None))


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Scene]]:
    path: Path = tmp_path_factory.mktemp("law")
    made = {}
    for number, name in enumerate(STATES):
        stage = Stage(path / f"{number}.db")
        stage.run()
        made[name] = build(stage, stage.host("tides", saying.tool("search")), name)
    yield made
    for scene in made.values():
        scene.stage.store.close()


def take(scene: Scene, event: e.FleetEvent, *, after_ns: int = 0) -> Taken:
    fleet: Fleet = scene.stage.loop.fleet
    before, dropped = scene.state.cell, fleet.dropped
    fleet.mark()
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


def said(scene: Scene, *items: w.Item, epoch: int | None = None, seq: int | None = None) -> Any:
    number = scene.seq + 1 if seq is None else seq
    return w.Said(scene.stage.store.epoch if epoch is None else epoch, number, (), items)


def item(scene: Scene, told: Told, offset: int) -> w.Item:
    """An item as this worker may say it now, off by `offset` where it has a number."""
    cell = scene.state.cell
    resuming = scene.state.waits.resuming
    current = cell.generation if cell.phase is Phase.PAUSED else cell.consumed
    upto, request = (
        (resuming.upto, resuming.ref) if resuming else (cell.taken + 1, RequestRef(1, 1))
    )
    made: dict[Told, w.Item] = {
        Told.EMITTED: saying.text("b"),
        Told.CALLED: saying.called(cell.calls_made + 1 + offset),
        Told.ABANDONED: saying.abandoned(max(0, cell.calls_made + offset)),
        Told.NOTIFIED: saying.notified("b"),
        Told.WROTE: saying.wrote("k", 1),
        Told.YIELD_ASKED: saying.yielded(),
        Told.CONFIRMED: saying.confirmed(max(0, current + offset), upto, request),
        Told.PAUSED: saying.paused(max(0, cell.generation + 1 + offset), _taken(cell, 0)),
        Told.WAITED: saying.waited(max(0, _taken(cell, offset))),
        Told.FLAGGED: saying.flagged("b"),
        Told.FINISHED: saying.ended(None, _taken(cell, 0)),
    }
    return made[told]


def _taken(cell: Cell, offset: int) -> int:
    if offset < 0:
        return cell.taken - 1
    return min(cell.inputs, cell.upto if cell.pausable else cell.inputs) + offset


def honest(scene: Scene, told: Told, offset: int) -> bool:
    """Whether a worker that keeps to the protocol could have said it in this state."""
    state, cell = scene.state, scene.state.cell
    if told not in LEGAL[state.phase]:
        return False
    if told is Told.CONFIRMED:
        if not cell.pausable:
            return False
        current = cell.generation if cell.phase is Phase.PAUSED else cell.consumed
        if max(0, current + offset) <= cell.consumed:
            return True  # a Continue that was repeated is confirmed again
        return state.phase is Phase.CONTINUING and offset == 0
    if told is Told.PAUSED:
        return cell.pausable and offset == 0
    if told is Told.WAITED:
        return (not cell.pausable or cell.consumed > 0) and (
            offset == 0 or (offset < 0 and cell.taken == 0)
        )
    if told is Told.CALLED:
        return offset == 0
    if told is Told.ABANDONED:
        return offset <= 0
    return True


every_state = pytest.mark.parametrize("name", STATES)


@every_state
def test_the_scene_is_in_the_phase_that_it_says(scenes: dict[str, Scene], name: str) -> None:
    assert scenes[name].state.phase is STATES[name]
    assert scenes[name].state.token == scenes[name].token


def does(before: Cell, after: Cell, told: Told, offset: int) -> bool:
    """Whether a legal item has done to the facts what it says, and no more to where the cell is."""
    here = (before.phase, before.generation, before.consumed)
    there = (after.phase, after.generation, after.consumed)
    if told is Told.PAUSED:
        return there == (Phase.PAUSED, before.generation + 1, before.consumed)
    if told is Told.FINISHED:
        return after.final is not None and after.final.reason is Reason.ENDED
    if told is Told.CONFIRMED and offset == 0 and before.phase is Phase.PAUSED:
        return there == (Phase.RUNNING, before.generation, before.generation)
    changes = {
        Told.EMITTED: after.output.total == before.output.total + 1,
        Told.CALLED: after.calls_made == before.calls_made + 1,
        Told.ABANDONED: after.calls_made == before.calls_made,
        Told.NOTIFIED: after.notices_made == before.notices_made + 1,
        Told.WROTE: dict(after.writes) == {"k": 2},
        Told.WAITED: after.waiting,
        Told.FLAGGED: after.flagged == "b",
    }
    return there == here and changes.get(told, True)


@every_state
@pytest.mark.parametrize("told", ITEMS, ids=lambda told: told.value)
@pytest.mark.parametrize("offset", OFFSETS)
def test_a_worker_that_speaks_now(
    scenes: dict[str, Scene], name: str, told: Told, offset: int
) -> None:
    scene = scenes[name]
    taken = take(scene, e.WorkerSpoke(scene.token, said(scene, item(scene, told, offset))))
    if STATES[name] in (Phase.STARTING, Phase.FINISHED):
        # Before the handshake and after the end nothing counts, and nothing is punished.
        assert taken.nothing
        assert taken.dropped == 1
        assert not taken.effects
    elif honest(scene, told, offset):
        assert not taken.of(f.KillWorker)
        assert taken.after.have == scene.seq + 1
        assert does(taken.before, taken.after, told, offset)
    else:
        assert taken.of(f.KillWorker) == [f.KillWorker(scene.token)]
        final = taken.after.final
        assert final is not None
        assert final.reason is Reason.LOST
        assert taken.after.have == scene.seq, "a refused message is not in the stream"
        assert (taken.after.consumed, taken.after.frontier) == (
            taken.before.consumed,
            taken.before.frontier,
        )


@every_state
@pytest.mark.parametrize("told", ITEMS, ids=lambda told: told.value)
@pytest.mark.parametrize("offset", OFFSETS)
def test_the_past_is_dropped_and_not_punished(
    scenes: dict[str, Scene], name: str, told: Told, offset: int
) -> None:
    scene = scenes[name]
    words = item(scene, told, offset)
    old = take(scene, e.WorkerSpoke(scene.old_token, said(scene, words)))
    assert old.nothing
    assert old.dropped == 1
    assert old.effects == [f.KillWorker(scene.old_token)], "nobody needs that one any more"
    past = [said(scene, words, epoch=0), said(scene, words, epoch=scene.stage.store.epoch + 1)]
    past += [said(scene, words, seq=seq) for seq in range(1, scene.seq + 1)]
    for message in past:
        dropped = take(scene, e.WorkerSpoke(scene.token, message))
        assert dropped.nothing
        assert dropped.dropped == 1
        assert not dropped.effects


@every_state
def test_after_a_gap_the_rest_is_asked_for(scenes: dict[str, Scene], name: str) -> None:
    scene = scenes[name]
    late = said(scene, saying.text("b"), seq=scene.seq + 2)
    taken = take(scene, e.WorkerSpoke(scene.token, late))
    assert taken.nothing
    live = STATES[name] not in (Phase.STARTING, Phase.FINISHED)
    assert taken.effects == ([f.GiveAdopt(scene.token, scene.seq)] if live else [])


@every_state
def test_hello_and_fetch(scenes: dict[str, Scene], name: str) -> None:
    scene = scenes[name]
    cell, phase = scene.state.cell, STATES[name]
    born = cell.incarnation
    assert born is not None
    hello = w.Hello(scene.cell, born, 0, phase is not Phase.STARTING, scene.seq, 0, 7, "3.11")
    taken = take(scene, e.WorkerSpoke(scene.token, hello))
    assert taken.nothing
    answers = {
        Phase.STARTING: [f.GiveStart(scene.token, scene.cell, scene.host.attachment)],
        Phase.FINISHED: [],
    }
    assert taken.effects == answers.get(phase, [f.GiveAdopt(scene.token, scene.seq)])
    taken = take(scene, e.WorkerSpoke(scene.token, w.Fetch(scene.stage.store.epoch, 1, "k")))
    assert taken.nothing
    live = phase not in (Phase.STARTING, Phase.FINISHED)
    assert taken.effects == (
        [f.GiveStored(scene.token, 1, "tides", cell.stored_version, "k")] if live else []
    )
    taken = take(scene, e.WorkerSpoke(scene.old_token, hello))
    assert taken.nothing
    assert taken.effects == [f.KillWorker(scene.old_token)]


@every_state
def test_the_end_of_a_worker(scenes: dict[str, Scene], name: str) -> None:
    scene, phase = scenes[name], STATES[name]
    old = take(scene, e.WorkerEnded(scene.old_token, 1, killed=False))
    assert old.nothing
    assert old.effects == [f.ForgetWorker(scene.old_token)]
    taken = take(scene, e.WorkerEnded(scene.token, -11, killed=False))
    assert f.ForgetWorker(scene.token) in taken.effects
    if phase in (Phase.STARTING, Phase.FINISHED):
        assert taken.nothing
        return
    final = taken.after.final
    assert final is not None
    assert (final.kind, final.reason) == (EventKind.COMPLETED, Reason.LOST)
    assert taken.after.frontier == taken.before.frontier
    assert taken.after.consumed == taken.before.consumed
    lost = [refusal for refusal in taken.of(f.Refuse) if refusal.code == "worker_lost"]
    assert len(lost) == (phase is Phase.CONTINUING)


@every_state
def test_a_worker_that_is_not_forked(scenes: dict[str, Scene], name: str) -> None:
    scene = scenes[name]
    for token in (scene.old_token, scene.token):
        taken = take(scene, e.WorkerNotForked(token, "no memory"))
        assert taken.nothing
    legal = Told.NOT_FORKED in LEGAL[STATES[name]]
    assert legal == (STATES[name] in (Phase.STARTING, Phase.FINISHED))
    assert taken.dropped == (not legal)


@every_state
def test_bytes_that_are_no_message(scenes: dict[str, Scene], name: str) -> None:
    scene, phase = scenes[name], STATES[name]
    old = take(scene, e.WorkerGarbled(scene.old_token, "no header"))
    assert old.nothing
    assert old.dropped == 1
    taken = take(scene, e.WorkerGarbled(scene.token, "no header"))
    if phase is Phase.FINISHED:
        assert taken.nothing
    else:
        assert f.KillWorker(scene.token) in taken.effects
        assert taken.after.final is not None


def ask(scene: Scene, told: Told, offset: int) -> h.Ask:
    cell = scene.state.cell
    current = cell.generation if cell.phase is Phase.PAUSED else cell.consumed
    generation = current + offset
    finish = h.CallRef(scene.cell, max(0, cell.calls_made + offset))
    asks: dict[Told, h.Ask] = {
        Told.OBSERVE: h.Observe(scene.cell, None, 0, take_over=False),
        Told.WAIT_TO_PENDING: h.WaitToPending(scene.cell, take_over=False),
        Told.RESUME: h.Resume(scene.cell, generation, None),
        Told.STEP: h.Step(scene.cell, generation, None),
        Told.TERMINATE: h.Terminate(scene.cell, None),
        Told.FINISH_CALL: h.FinishCall(finish, InputKind.RESULT, b"\x01", "", cancelled=False),
    }
    return asks[told]


HOSTS = (
    Told.OBSERVE,
    Told.WAIT_TO_PENDING,
    Told.RESUME,
    Told.STEP,
    Told.TERMINATE,
    Told.FINISH_CALL,
)


@every_state
@pytest.mark.parametrize("told", HOSTS, ids=lambda told: told.value)
@pytest.mark.parametrize("offset", OFFSETS)
def test_a_host_that_asks(scenes: dict[str, Scene], name: str, told: Told, offset: int) -> None:
    """A host may ask anything of any cell; a refusal changes nothing."""
    scene = scenes[name]
    assert told in LEGAL[scene.state.phase]
    host = scene.host
    request = h.Request(host.attachment, host.last + 1, 0, (), ask(scene, told, offset))
    taken = take(scene, e.HostAsked(host.connection, request))
    refusals = taken.of(f.Refuse)
    answers = [*taken.of(f.Reply), *taken.of(f.GiveEvent)]
    mine = [each for each in (*refusals, *answers) if each.to == host.ref(host.last + 1)]
    assert len(mine) <= 1, "a request is answered once"
    if refusals:
        assert taken.before == taken.after
    pausable = scene.state.cell.pausable
    if told is Told.OBSERVE and pausable:
        assert [refusal.code for refusal in refusals] == ["wrong_cell_kind"]
    if told in (Told.WAIT_TO_PENDING, Told.RESUME, Told.STEP) and not pausable:
        assert [refusal.code for refusal in refusals] == ["wrong_cell_kind"]
    if told in (Told.RESUME, Told.STEP):
        assert taken.nothing, "a generation is consumed by a confirmation and by nothing else"
        assert not any(isinstance(reply.answer, a.ResumedGiven) for reply in taken.of(f.Reply))
    if told is Told.TERMINATE:
        ended = STATES[name] is Phase.FINISHED
        assert taken.nothing == ended
        assert taken.after.phase is Phase.FINISHED


@every_state
def test_a_timer_becomes_an_input_only_where_the_law_has_it(
    scenes: dict[str, Scene], name: str
) -> None:
    scene = scenes[name]
    if STATES[name] in (Phase.STARTING, Phase.FINISHED):
        assert Told.TIMER_DUE not in LEGAL[STATES[name]]
        assert scene.state.cell.next_timer_ns is None
        return
    assert Told.TIMER_DUE in LEGAL[STATES[name]]


def test_every_row_and_every_phase_is_walked() -> None:
    assert set(STATES.values()) == set(Phase)
    walked = {*ITEMS, *HOSTS, Told.HELLO, Told.FETCH, Told.WORKER_ENDED, Told.NOT_FORKED}
    assert set(Told) - walked == {Told.TIMER_DUE}
