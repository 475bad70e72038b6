"""A repeat of each request that changes something acts once, with the same answer; also after a
crash, from another supervisor on the same journal. And of idempotency keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from tidemark.protocol import host_answers as a
from tidemark.protocol import host_requests as h
from tidemark.protocol.packed import CellKind, EventKind, InputKind, OnUnknown
from tidemark.supervisor.core.records import LAZY

from transcripts import saying
from transcripts.players import Host, creation
from transcripts.stage import MS, SECOND, Killed, Stage

SEARCH = saying.tool("search", OnUnknown.ASK)


def facts(stage: Stage) -> int:
    """How many records there are that somebody's request may have made."""
    return sum(
        not isinstance(entry.record, LAZY) for commit in stage.store.commits for entry in commit
    )


def same(stage: Stage) -> None:
    """Nothing happens: only the answer is lost."""


def new_supervisor(stage: Stage) -> None:
    stage.crash()
    stage.restart()
    for host in stage.hosts:
        host.reconnects()
    for worker in stage.workers.values():
        if worker.token in stage.processes.living and worker.started:
            worker.adopted()


def paused(stage: Stage) -> tuple[Host, str]:
    host = stage.host("tides", SEARCH)
    cell = host.creates()
    worker = stage.worker(cell).hello()
    worker.says(saying.called(1), saying.paused(1))
    return host, cell


def create(stage: Stage) -> tuple[Host, int]:
    host = stage.host()
    return host, host.sends(creation(key="once"))


def create_without_key(stage: Stage) -> tuple[Host, int]:
    host = stage.host()
    return host, host.sends(creation())


def create_of_a_finished_cell(stage: Stage) -> tuple[Host, int]:
    host = stage.host()
    number = host.sends(creation(key="once"))
    cell = host.answer(number).cell
    stage.worker(cell).hello().says(saying.ended())
    return host, number


def resume(stage: Stage) -> tuple[Host, int]:
    host, cell = paused(stage)
    number = host.sends(h.Resume(cell, 1, None))
    stage.worker(cell).confirms()
    return host, number


def resume_left_twice(stage: Stage) -> tuple[Host, int]:
    """Since then another host has resumed the next one, and the cell has ended."""
    host, cell = paused(stage)
    number = host.sends(h.Resume(cell, 1, None))
    worker = stage.worker(cell)
    worker.confirms()
    host.finishes(cell, 1)
    worker.says(saying.called(2), saying.paused(2, 1))
    stage.host(None).sends(h.Resume(cell, 2, None))
    worker.confirms()
    worker.says(saying.ended(None, 1))
    host.lets_go(cell, 2)
    stage.passes(SECOND)
    return host, number


def step(stage: Stage) -> tuple[Host, int]:
    host, cell = paused(stage)
    number = host.sends(h.Step(cell, 1, None))
    worker = stage.worker(cell)
    worker.confirms()
    host.finishes(cell, 1)
    worker.says(saying.paused(2, 1))
    return host, number


def terminate(stage: Stage) -> tuple[Host, int]:
    host, cell = paused(stage)
    number = host.sends(h.Terminate(cell, None))
    stage.passes(200 * MS)
    return host, number


def stored_set(stage: Stage) -> tuple[Host, int]:
    host = stage.host()
    number = host.sends(h.StoredSet("k", b"\x01"))
    cell = host.creates(CellKind.CONTINUING)
    stage.worker(cell).hello().says(saying.wrote("k", 2), saying.ended())
    return host, number


def finish_call(stage: Stage) -> tuple[Host, int]:
    host, cell = paused(stage)
    ref = h.CallRef(cell, 1)
    return host, host.sends(h.FinishCall(ref, InputKind.RESULT, b"\x01", "", False))


def run_again(stage: Stage) -> tuple[Host, int]:
    host, cell = paused(stage)
    host.vanishes()
    successor = stage.host("tides", SEARCH)
    successor.holding = (h.CallRef(cell, 1),)
    return successor, successor.sends(h.RunAgain(h.CallRef(cell, 1)))


def close(stage: Stage) -> tuple[Host, int]:
    host, _ = paused(stage)
    number = host.sends(h.CloseSession())
    stage.passes(200 * MS)
    return host, number


def detach(stage: Stage) -> tuple[Host, int]:
    host, _ = paused(stage)
    return host, host.sends(h.Detach())


CHANGES = [
    create,
    create_without_key,
    create_of_a_finished_cell,
    resume,
    resume_left_twice,
    step,
    terminate,
    stored_set,
    finish_call,
    run_again,
    close,
    detach,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("meanwhile", [same, new_supervisor], ids=lambda each: each.__name__)
def test_a_repeat(
    stage: Stage,
    change: Callable[[Stage], tuple[Host, int]],
    meanwhile: Callable[[Stage], None],
) -> None:
    host, number = change(stage)
    answer = host.answer(number)
    assert answer is not None
    assert not isinstance(answer, a.Refused)
    meanwhile(stage)
    before, cells = facts(stage), stage.store.cells("", "", 100, "")
    assert host.repeats(number) == answer
    stage.passes(200 * MS)
    assert facts(stage) == before, "it acts once"
    assert stage.store.cells("", "", 100, "") == cells


def test_a_repeated_attach_is_the_same_attachment(stage: Stage) -> None:
    host = stage.host("tides", SEARCH)
    number = host.attachment
    host.attachment = 0  # the answer was lost
    for meanwhile in (same, new_supervisor):
        meanwhile(stage)
        before = facts(stage)
        host.attachment = 0
        assert host.attach().attachment == number
        assert facts(stage) == before


@pytest.mark.parametrize("dies", ["dies_before", "dies_after"])
def test_a_supervisor_that_dies_at_the_commit_of_a_create(stage: Stage, dies: str) -> None:
    host = stage.host()
    setattr(stage.store, dies, True)
    with pytest.raises(Killed):
        host.sends(creation(key="once"))
    new_supervisor(stage)
    cell = host.repeats(2).cell
    assert [row.cell for row in host.ask(h.ListCells("tides", "", 10, "")).rows] == [cell]


@pytest.mark.parametrize("dies", ["dies_before", "dies_after"])
def test_a_supervisor_that_dies_between_confirmation_and_answer(stage: Stage, dies: str) -> None:
    host, cell = paused(stage)
    number = host.sends(h.Resume(cell, 1, 1))
    worker = stage.worker(cell)
    setattr(stage.store, dies, True)
    with pytest.raises(Killed):
        worker.confirms()
    new_supervisor(stage)
    answer = host.repeats(number)
    if answer is None:
        worker.confirms()
        answer = host.answer(number)
    assert answer == a.ResumedGiven(1)
    other = stage.host(None).resumes(cell, 1)
    assert other == a.AlreadyGiven(1, "running", 1)


def test_a_resume_of_the_former_supervisor_wins_over_a_new_one(stage: Stage) -> None:
    """The worker had confirmed to the one that died: that request has consumed the frontier."""
    host, cell = paused(stage)
    first = host.sends(h.Resume(cell, 1, None))
    worker = stage.worker(cell)
    stage.store.dies_before = True
    with pytest.raises(Killed):
        worker.confirms()
    stage.crash()
    stage.restart()
    other = stage.host(None)
    second = other.sends(h.Resume(cell, 1, None))
    assert other.answer(second) is None
    worker.adopted()
    assert other.answer(second) == a.AlreadyGiven(1, "running", 1)
    host.reconnects()
    assert host.repeats(first) == a.ResumedGiven(1)


def test_what_its_host_has_acknowledged_is_the_past(stage: Stage) -> None:
    host = stage.host()
    number = host.sends(creation())
    host.answered = number + 1
    host.ask(h.AskInfo())
    before, dropped = facts(stage), stage.loop.fleet.dropped
    assert host.repeats(number) is None
    assert (facts(stage), stage.loop.fleet.dropped) == (before, dropped + 1)


# -- idempotency keys -----------------------------------------------------------------------------


def test_the_same_key_is_the_same_cell(stage: Stage) -> None:
    host = stage.host()
    cell = host.creates(key="once", source=b"a")
    assert host.creates(key="once", source=b"a") == cell
    host.vanishes()
    stage.crash()
    stage.restart()
    successor = stage.host()
    assert successor.creates(key="once", source=b"a") == cell
    assert stage.host("other").creates(key="once", source=b"a") != cell, "keys are a session's own"
    stage.happens(drain())
    assert successor.creates(key="once", source=b"a") == cell, "nothing new is created"
    assert successor.ask(creation(key="twice")).code == "shutting_down"


def drain() -> Any:
    from tidemark.supervisor.core.events import DrainAsked

    return DrainAsked()


@pytest.mark.parametrize(
    "other", [{"source": b"b"}, {"name": "n"}, {"inputs": b"\x81\xa1a\x01"}], ids=str
)
def test_the_same_key_with_another_request_is_a_conflict(
    stage: Stage, other: dict[str, Any]
) -> None:
    host = stage.host()
    cell = host.creates(key="once", source=b"a")
    refusal = host.ask(creation(**{"key": "once", "source": b"a", **other}))
    assert refusal.code == "idempotency_conflict"
    assert msgpack.unpackb(refusal.attributes) == {"cell_id": cell}
    kind = host.ask(creation(CellKind.CONTINUING, key="once", source=b"a"))
    assert kind.code == "idempotency_conflict"


def test_a_key_outlives_its_cells_end(stage: Stage) -> None:
    host = stage.host()
    cell = host.creates(key="once")
    assert host.terminates(cell).event.kind is EventKind.TERMINATED
    assert host.creates(key="once") == cell
