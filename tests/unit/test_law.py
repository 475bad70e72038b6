"""The law, walked: every phase x every event x generation -1/0/+1 x this, an old or a past worker.

Each state is built by what real hosts and workers say. The event is then taken by the fleet, looked
at, and undone, so one cell per state serves the whole walk.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tidemark.protocol import host_answers as a
from tidemark.protocol import host_requests as h
from tidemark.protocol import worker_messages as w
from tidemark.protocol.ids import RequestRef
from tidemark.protocol.packed import EventKind, InputKind, Reason
from tidemark.supervisor.core import effects as f
from tidemark.supervisor.core import events as e
from tidemark.supervisor.core import records as r
from tidemark.supervisor.core.facts import Cell, Phase
from tidemark.supervisor.core.law import LEGAL, Told
from tidemark.supervisor.core.past import deliverable, past_of

from fakes import law_scenes
from fakes.law_scenes import STATES, Has, Kind, Scene, Taken, take
from transcripts import saying

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


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Scene]]:
    with law_scenes.scenes(tmp_path_factory.mktemp("law")) as made:
        yield made


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
        if not cell.pausable or state.waits.replay is not None:
            return False  # that one has been sent no Continue
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
    scene, state = scenes[name], scenes[name].state
    assert state.phase is STATES[name].phase
    assert state.token == scene.token
    if state.phase is Phase.FINISHED:
        return
    assert state.waits.dormant == (STATES[name].has is Has.NOBODY)
    assert (state.waits.replay is not None) == (STATES[name].has is Has.REPEATER)
    assert state.hears == (STATES[name].has is Has.SPEAKER)
    assert deaf(name) or state.have == scene.seq


def deaf(name: str) -> bool:
    """Whether nothing that its worker says counts: before the handshake, and after the end."""
    return STATES[name].phase is Phase.FINISHED or STATES[name].has in (Has.NOBODY, Has.STRANGER)


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
    words = item(scene, told, offset)
    taken = take(scene, e.WorkerSpoke(scene.token, said(scene, words)))
    if deaf(name):
        # Before the handshake and after the end nothing counts, and nothing is punished.
        assert taken.nothing
        assert taken.dropped == 1
        assert not taken.effects
    elif STATES[name].has is Has.REPEATER and told is not Told.CONFIRMED:
        # Its next step is known: an output. It may only say that it waits for an input before it.
        if told is Told.WAITED and words.taken < deliverable(taken.before):  # type: ignore[union-attr]
            assert taken.nothing
            assert not taken.effects
            return
        assert not taken.moved
        assert [type(record) for record in taken.records][:1] == [r.ReplayDiverged]
        assert taken.of(f.KillWorker) == [f.KillWorker(scene.token)]
        refused = len(taken.of(f.RefuseDiverged))
        assert refused == (scene.state.waits.resuming is not None) + (
            scene.state.waits.observer is not None
        )
    elif honest(scene, told, offset):
        assert not taken.of(f.KillWorker)
        assert taken.after.have == scene.seq + 1
        assert does(taken.before, taken.after, told, offset)
    else:
        assert taken.of(f.KillWorker) == [f.KillWorker(scene.token)]
        final = taken.after.final
        assert final is not None
        assert final.reason is Reason.LOST
        assert taken.after.have == taken.before.have, "a refused message is not in the stream"
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
    assert taken.effects == ([] if deaf(name) else [f.GiveAdopt(scene.token, scene.seq)])


@every_state
def test_hello_and_fetch(scenes: dict[str, Scene], name: str) -> None:
    scene = scenes[name]
    cell, kind = scene.state.cell, STATES[name]
    born = cell.incarnation
    assert born is not None
    hello = w.Hello(scene.cell, born, 0, kind.has is not Has.STRANGER, scene.seq, 0, 7, "3.11")
    taken = take(scene, e.WorkerSpoke(scene.token, hello))
    began_ns = cell.created_us * 1_000
    if kind.has is Has.STRANGER and kind.phase is Phase.STARTING:
        assert taken.records == [r.WorkerGreeted(born, "3.11")]
        assert taken.effects == [
            f.GiveStart(scene.token, scene.cell, born, cell.tools_of, began_ns)
        ]
    elif kind.has is Has.STRANGER:
        past = past_of(each.record for each in scene.stage.store.cell_records(scene.cell))
        last, earlier = deliverable(cell), past.earlier(cell)
        assert taken.nothing, "it was greeted in its first life"
        assert taken.effects == [
            f.GiveStart(scene.token, scene.cell, born, cell.tools_of, began_ns, earlier, past),
            *([f.GiveInputs(scene.token, scene.cell, 0, 1, last)] if last else []),
        ]
    else:
        assert taken.nothing
        assert taken.effects == ([] if deaf(name) else [f.GiveAdopt(scene.token, scene.seq)])
    taken = take(scene, e.WorkerSpoke(scene.token, w.Fetch(scene.stage.store.epoch, 1, "k")))
    assert taken.nothing
    fetched = f.GiveStored(scene.token, 1, "tides", cell.stored_version, "k")
    assert taken.effects == ([] if deaf(name) else [fetched])
    taken = take(scene, e.WorkerSpoke(scene.old_token, hello))
    assert taken.nothing
    assert taken.effects == [f.KillWorker(scene.old_token)]


@every_state
def test_the_end_of_a_worker(scenes: dict[str, Scene], name: str) -> None:
    scene, kind = scenes[name], STATES[name]
    old = take(scene, e.WorkerEnded(scene.old_token, 1, killed=False))
    assert old.nothing
    assert old.effects == [f.ForgetWorker(scene.old_token)]
    taken = take(scene, e.WorkerEnded(scene.token, -11, killed=False))
    assert f.ForgetWorker(scene.token) in taken.effects
    lost = [refusal for refusal in taken.of(f.Refuse) if refusal.code == "worker_lost"]
    final = taken.after.final
    if deaf(name):
        assert taken.nothing
        assert not lost
    elif kind.once:
        assert final is not None
        assert (final.kind, final.reason) == (EventKind.COMPLETED, Reason.LOST)
        assert taken.after.frontier == taken.before.frontier
        assert taken.after.consumed == taken.before.consumed
        assert len(lost) == (kind.phase is Phase.CONTINUING)
    else:
        assert final is None
        assert not taken.moved
        assert not lost
        assert len(taken.after.losses) == len(taken.before.losses) + 1
        issued = [record for record in taken.records if isinstance(record, r.WorkerIssued)]
        busy = kind.phase is Phase.CONTINUING or (
            kind.phase is Phase.RUNNING and not taken.before.waiting
        )
        first = len(taken.before.losses) == 0  # the second time the next one waits a little
        assert len(issued) == len(taken.of(f.ForkWorker)) == (busy and first)


@every_state
def test_a_worker_that_is_not_forked(scenes: dict[str, Scene], name: str) -> None:
    scene = scenes[name]
    assert Told.NOT_FORKED in LEGAL[STATES[name].phase], "a cell can need a worker in every phase"
    for token in (scene.old_token, scene.token):
        taken = take(scene, e.WorkerNotForked(token, "no memory"))
        assert taken.nothing
        assert {type(each) for each in taken.effects} <= {f.GiveEvent}  # an end that waited for it
    finished = STATES[name].phase is Phase.FINISHED
    assert taken.dropped == (STATES[name].has is Has.NOBODY and not finished)


@every_state
def test_bytes_that_are_no_message(scenes: dict[str, Scene], name: str) -> None:
    scene, kind = scenes[name], STATES[name]
    old = take(scene, e.WorkerGarbled(scene.old_token, "no header"))
    assert old.nothing
    assert old.dropped == 1
    taken = take(scene, e.WorkerGarbled(scene.token, "no header"))
    if kind.phase is Phase.FINISHED or kind.has is Has.NOBODY:
        assert taken.nothing
        assert taken.dropped == 1
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
        Told.HIBERNATE: h.Hibernate(scene.cell),
    }
    return asks[told]


HOSTS = (
    Told.OBSERVE,
    Told.WAIT_TO_PENDING,
    Told.RESUME,
    Told.STEP,
    Told.TERMINATE,
    Told.FINISH_CALL,
    Told.HIBERNATE,
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
        assert not taken.moved, "a generation is consumed by a confirmation and by nothing else"
        issued = [type(record) for record in taken.records]
        assert issued in ([], [r.WorkerIssued])
        mine_paused = taken.before.phase is Phase.PAUSED and pausable and offset == 0
        assert bool(issued) == (mine_paused and STATES[name].has is Has.NOBODY)
        assert not any(isinstance(reply.answer, a.ResumedGiven) for reply in taken.of(f.Reply))
    if told is Told.HIBERNATE:
        _hibernates(scene, STATES[name], taken)
    if told is Told.TERMINATE:
        ended = STATES[name].phase is Phase.FINISHED
        assert taken.nothing == ended
        assert taken.after.phase is Phase.FINISHED


def _hibernates(scene: Scene, kind: Kind, taken: Taken) -> None:
    """It gives up a worker that it can be without, and says why where it cannot."""
    idle = kind.phase is Phase.PAUSED or taken.before.waiting
    sleeps = kind.has is Has.SPEAKER and idle and not kind.once and kind.phase in _QUIET
    assert not taken.moved
    assert [type(record) for record in taken.records] == ([r.WorkerLost] if sleeps else [])
    assert taken.of(f.KillWorker) == ([f.KillWorker(scene.token)] if sleeps else [])
    assert taken.after.losses == taken.before.losses, "that is no loss of the cell's own"
    (reply,) = taken.of(f.Reply)
    has_none = sleeps or kind.phase is Phase.FINISHED or kind.has is Has.NOBODY
    assert (reply.answer == a.Hibernated("")) == has_none


_QUIET = (Phase.PAUSED, Phase.RUNNING)


@every_state
def test_a_timer_becomes_an_input_only_where_the_law_has_it(
    scenes: dict[str, Scene], name: str
) -> None:
    scene = scenes[name]
    phase = STATES[name].phase
    if phase in (Phase.STARTING, Phase.FINISHED):
        assert Told.TIMER_DUE not in LEGAL[phase]
        assert scene.state.cell.next_timer_ns is None
        return
    assert Told.TIMER_DUE in LEGAL[phase]


def test_every_row_and_every_phase_is_walked() -> None:
    walked_states = {(kind.phase, kind.has) for kind in STATES.values()}
    assert {phase for phase, _ in walked_states} == set(Phase)
    assert {has for _, has in walked_states} == set(Has)
    walked = {*ITEMS, *HOSTS, Told.HELLO, Told.FETCH, Told.WORKER_ENDED, Told.NOT_FORKED}
    assert set(Told) - walked == {Told.TIMER_DUE}
