"""Sessions: who holds them, who may do what, leaving, and a supervisor that drains."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgpack
import pytest
from tidemark.protocol import host_answers as a
from tidemark.protocol import host_requests as h
from tidemark.protocol.packed import CellKind, EventKind, InputKind
from tidemark.supervisor.core.events import DrainAsked, HostGarbled

from transcripts import saying
from transcripts.players import creation
from transcripts.stage import BEGIN_NS, MS, SECOND, Stage

SEARCH = saying.tool("search")


def refused(answer: Any) -> tuple[str, Any]:
    assert isinstance(answer, a.Refused)
    return answer.code, msgpack.unpackb(answer.attributes)


def test_opening_a_session(stage: Stage) -> None:
    first = stage.host("tides", SEARCH)
    assert first.answers[1].existed is False
    first.ask(h.Detach())
    second = stage.host("tides")
    assert second.answers[1].existed is True
    assert second.answers[1].session == "tides"
    named, other = stage.host("").answers[1].session, stage.host("").answers[1].session
    assert named
    assert named != other


def test_a_held_session(stage: Stage) -> None:
    holder = stage.host()
    stage.passes(SECOND)
    second = stage.host()
    held = {"pid": holder.pid, "host": "here", "since": BEGIN_NS / 1e9}
    assert refused(second.answers[1]) == ("session_held", held)
    stage.crash()
    stage.restart()
    assert refused(stage.host().answers[1]) == ("session_held", held), "also before it is back"
    holder.vanishes()
    assert stage.host().attachment


def test_taking_a_session_over(stage: Stage) -> None:
    former = stage.host("tides", SEARCH)
    cell = former.creates()
    worker = stage.worker(cell).hello()
    worker.says(saying.called(1), saying.called(2), saying.paused(1))
    holder = stage.host("tides", SEARCH, take_over=True)
    assert former.heard(a.SessionLost) == [a.SessionLost("tides", "another host")]
    for ask in (creation(), h.StoredSet("k", b"\x01"), h.WaitToPending(cell, False)):
        assert refused(former.ask(ask)) == ("session_taken", {})
    assert former.finishes(cell, 1) == a.Done(), "results of calls it still runs are taken"
    assert holder.heard(a.CallOffered) == []
    assert holder.finishes(cell, 2).code == "protocol"
    assert former.ask(h.Detach()) == a.Done()
    assert [c.call.number for c in holder.ask(h.ListCalls()).calls] == [2]
    assert holder.waits(cell).event.generation == 1


def test_everybody_may_look_resume_and_terminate(stage: Stage) -> None:
    holder = stage.host("tides", SEARCH)
    cell = holder.creates()
    stage.worker(cell).hello().says(saying.called(1), saying.paused(1))
    guest = stage.host(None)
    assert guest.waits(cell).event.generation == 1
    assert guest.resumes(cell, 1) is None
    assert [row.cell for row in guest.ask(h.ListCells("", "", 10, "")).rows] == [cell]
    assert [row.name for row in guest.ask(h.ListSessions()).rows] == ["tides"]
    assert guest.terminates(cell) is None
    stage.passes(100 * MS)
    assert guest.terminates(cell).event.kind is EventKind.TERMINATED
    for ask in (creation(), h.StoredSet("k", b"\x01")):
        assert refused(guest.ask(ask))[0] == "protocol"
    assert guest.ask(h.StoredGet("k")) == a.StoredGiven(None)


def test_detach_leaves_the_cells(stage: Stage) -> None:
    host = stage.host()
    cell = host.creates(CellKind.CONTINUING)
    worker = stage.worker(cell).hello()
    assert host.ask(h.Detach()) == a.Done()
    assert refused(host.ask(h.AskStatus(cell)))[0] == "session_taken"
    worker.says(saying.text("a"), saying.ended())
    assert stage.host().observes(cell).event.kind is EventKind.COMPLETED


@pytest.mark.parametrize("calls", [0, 1])
def test_close_terminates_them(stage: Stage, calls: int) -> None:
    host = stage.host("tides", SEARCH)
    cells = [host.creates(), host.creates(CellKind.CONTINUING)]
    other = stage.host("other")
    bystander = other.creates()
    for cell in cells:
        stage.worker(cell).hello()
        stage.worker(cell).says(*(saying.called(n + 1) for n in range(calls)))
    number = host.sends(h.CloseSession())
    assert (host.answer(number) is None) == bool(calls)
    for cell in cells:
        host.lets_go(cell, 1)
    assert host.answer(number) == a.Done()
    for cell in cells:
        assert other.terminates(cell).event.kind is EventKind.TERMINATED
    assert stage.state(bystander).cell.final is None
    assert not set(stage.processes.living) - {stage.state(bystander).token}


def test_close_terminates_what_is_created_meanwhile(stage: Stage) -> None:
    host = stage.host("tides", SEARCH)
    cell = host.creates()
    stage.worker(cell).hello().says(saying.called(1))
    closing = host.sends(h.CloseSession())
    late = host.creates(CellKind.CONTINUING)
    assert host.answer(closing) is None, "a tool still runs"
    host.lets_go(cell, 1)
    assert host.answer(closing) == a.Done()
    final = stage.state(late).cell.final
    assert final is not None
    assert final.kind is EventKind.TERMINATED
    assert not stage.processes.living


def test_close_ends_nothing_of_who_has_taken_the_session_over_meanwhile(stage: Stage) -> None:
    host = stage.host("tides", SEARCH)
    cell = host.creates()
    stage.worker(cell).hello().says(saying.called(1))
    closing = host.sends(h.CloseSession())
    successor = stage.host("tides", SEARCH, take_over=True)
    late = successor.creates(CellKind.CONTINUING)
    host.lets_go(cell, 1)
    assert host.answer(closing) == a.Done()
    assert stage.state(late).cell.final is None


def test_names_that_collide(stage: Stage) -> None:
    tools = (saying.tool("a b", exposed="a_b"), saying.tool("a-b", exposed="a_b"))
    answer = stage.host("tides", *tools).answers[1]
    assert answer.code == "protocol"
    assert "'a b' and 'a-b' would both be tools.a_b" in answer.message


@pytest.mark.parametrize(
    ("wishes", "code"),
    [
        ({"isolation": "sealed"}, "isolation_unavailable"),
        ({"isolation": "restricted"}, "isolation_unavailable"),
        ({"isolation": "none"}, "protocol"),
        ({"durability": "power"}, "protocol"),
    ],
)
def test_what_cannot_be_had(stage: Stage, wishes: dict[str, Any], code: str) -> None:
    before = stage.store.last_number
    host = stage.host("tides", **wishes)
    assert host.answers[1].code == code
    assert stage.store.last_number == before
    assert host.attachment == 0
    assert stage.host("tides", isolation="process", durability="crash").attachment


def test_a_name_that_is_none(stage: Stage) -> None:
    assert stage.host("a\nb").answers[1].code == "protocol"
    assert stage.host("x" * 201).answers[1].code == "protocol"


def test_without_an_attachment_nothing_is_done(stage: Stage) -> None:
    host = stage.host()
    cell = host.creates()
    host.connection = b"another"
    assert host.ask(h.Terminate(cell, None)) == a.Unattached(host.last, stage.store.epoch)
    assert stage.state(cell).cell.final is None
    refused_host = stage.host()
    assert isinstance(refused_host.ask(creation()), a.Unattached)


def test_a_journal_that_has_gone_back(stage: Stage) -> None:
    host = stage.host()
    host.vanishes()
    second = stage.host()
    second.vanishes()
    host.attachment, host.token = 0, b"t" * 16
    answer = host.attach(journal=stage.store.last_number + 5)
    assert answer.code == "journal"
    assert f"ends at record {stage.store.last_number}" in answer.message


def test_a_journal_that_has_gone_back_refuses_hosts_that_it_still_knows(stage: Stage) -> None:
    host = stage.host()
    stage.crash()
    stage.restart()
    answer = host.attach(journal=stage.store.last_number + 1)
    assert answer.code == "journal"
    assert f"and the host was told of {stage.store.last_number + 1}" in answer.message
    assert isinstance(host.attach(journal=stage.store.last_number), a.Attached)


def test_bytes_that_are_no_request(stage: Stage) -> None:
    host = stage.host()
    stage.wires.arrived.append(HostGarbled(host.connection, "the header is wrong"))
    stage.run()
    assert refused(host.answer(0)) == ("protocol", {})


def test_an_unknown_cell_and_a_closed_one_are_not_confused(stage: Stage) -> None:
    host = stage.host()
    asks = [
        h.Observe("c1", None, 0, False),
        h.WaitToPending("c1", False),
        h.Resume("c1", 1, None),
        h.Step("c1", 1, None),
        h.Terminate("c1", None),
        h.AskStatus("c1"),
        h.AskHistory("c1", 0, 10),
        h.AskFrontier("c1"),
        h.AskEvents("c1", "", 0, 10, 0),
        h.FinishCall(h.CallRef("c1", 1), InputKind.RESULT, b"\x01", "", False),
    ]
    for ask in asks:
        assert refused(host.ask(ask)) == ("cell_not_found", {"cell_id": "c1"})


def test_a_supervisor_that_drains(stage: Stage) -> None:
    host = stage.host()
    cell = host.creates(CellKind.CONTINUING)
    worker = stage.worker(cell).hello()
    number = host.sends(creation(key="before"))
    stage.happens(DrainAsked())
    assert refused(host.ask(creation())) == ("shutting_down", {})
    assert refused(stage.host("other").answers[1]) == ("shutting_down", {})
    assert host.repeats(number) == a.CellMade(host.answer(number).cell, CellKind.PAUSABLE, "")
    worker.says(saying.text("a"), saying.ended())
    assert host.observes(cell).event.kind is EventKind.COMPLETED


@pytest.mark.parametrize(
    "inputs", [b"", b"\xc1", b"\x93\x01\x02\x03", b"\x81\x01\x02", b"\x80\x80"]
)
def test_inputs_that_are_not_plain_data_make_no_cell(stage: Stage, inputs: bytes) -> None:
    host = stage.host("tides")
    assert host.ask(creation(inputs=inputs)).code == "protocol"
    assert len(stage.loop.fleet.cells) == 0


def best_asked(stage: Stage) -> None:
    """From here on sessions that ask for no level get the best that can be had."""
    world = stage.loop.fleet.world
    stage.loop.fleet.world = replace(world, isolation="")


def test_a_session_without_a_wish_gets_the_best_level_that_can_be_had(stage: Stage) -> None:
    best_asked(stage)
    stage.processes.missing = {"sealed": (), "restricted": ()}
    host = stage.host("tides")
    assert host.answers[1].isolation == "sealed"
    assert stage.host("more", isolation="restricted").answers[1].isolation == "restricted"
    host.ask(h.Detach())
    assert stage.host("tides").answers[1].isolation == "sealed"


def test_it_is_never_lowered_to_the_one_that_is_no_boundary(stage: Stage) -> None:
    best_asked(stage)
    stage.processes.missing = {"sealed": ("no namespaces",), "restricted": ()}
    assert stage.host("tides").answers[1].isolation == "restricted"
    other = Stage(stage.path.with_name("other.db"))
    other.run()
    best_asked(other)
    refusal = other.host("tides").answers[1]
    assert refusal.code == "isolation_unavailable"
    assert "sealed: a kernel" in refusal.message
    assert "restricted: a kernel" in refusal.message
    assert other.host("tides", isolation="process").answers[1].isolation == "process"
    other.store.close()


def test_a_session_keeps_its_level(stage: Stage) -> None:
    stage.processes.missing = {"sealed": ()}
    stage.host("tides", isolation="process").ask(h.Detach())
    refusal = stage.host("tides", isolation="sealed").answers[1]
    assert refusal.code == "isolation_unavailable"
    assert "never changed" in refusal.message


def test_who_observes_hears_the_end_before_the_session_is_closed(stage: Stage) -> None:
    told: list[Any] = []
    tell = stage.wires.tell_host

    def listen(connection: bytes, message: Any) -> bool:
        told.append(message)
        return tell(connection, message)

    stage.wires.tell_host = listen  # type: ignore[method-assign]
    host = stage.host("tides", SEARCH)
    cell = host.creates(CellKind.CONTINUING)
    stage.worker(cell).hello()
    waiting = host.sends(h.Observe(cell, None, 10 * SECOND, False))
    told.clear()
    closing = host.sends(h.CloseSession())
    assert [m.number for m in told if isinstance(m, a.Answered)] == [waiting, closing]
