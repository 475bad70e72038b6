"""Tool calls and notifications: dispatched once, withdrawn, of unknown outcome, and windows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tidemark.protocol import host_answers as a
from tidemark.protocol import host_requests as h
from tidemark.protocol import worker_messages as w
from tidemark.protocol.limits import INPUTS_MAX, NOTIFICATIONS_KEPT_MAX, UNDERWAY_MAX
from tidemark.protocol.packed import CellKind, EventKind, InputKind, OnUnknown
from tidemark.supervisor.core import records as r
from tidemark.supervisor.core.facts import CallState
from tidemark.supervisor.core.offers import NOTICES_HELD_MAX

from transcripts import saying
from transcripts.players import Host, Worker
from transcripts.stage import MS, SECOND, Stage

SEARCH = saying.tool("search")


def calling(stage: Stage, calls: int = 1, *tools: Any) -> tuple[Host, str, Worker]:
    host = stage.host("tides", *(tools or (SEARCH,)))
    cell = host.creates(CellKind.CONTINUING)
    worker = stage.worker(cell).hello()
    worker.says(*(saying.called(n) for n in range(1, calls + 1)), saying.waited())
    return host, cell, worker


def offered(host: Host) -> list[int]:
    return [message.call.number for message in host.heard(a.CallOffered)]


def withdrawn(host: Host) -> list[int]:
    return [message.call.number for message in host.heard(a.CallWithdrawn)]


def taken(worker: Worker) -> list[tuple[int, int, str]]:
    return [
        (each.number, each.call, each.kind.value)
        for message in worker.received
        if isinstance(message, w.Deliver)
        for each in message.inputs
    ]


def test_the_receipt_is_in_the_journal_before_the_call_leaves(stage: Stage) -> None:
    host, _, _ = calling(stage, 2)
    assert offered(host) == [1, 2]
    records = [entry.record for entry in stage.store.commits[-1]]
    assert r.CallsDispatched(host.attachment, (1, 2)) in records
    said = [record for record in records if isinstance(record, r.WorkerSaid)]
    assert len(said) == 1, "one commit for the calls and their dispatch"


def test_at_most_so_many_are_under_way(stage: Stage) -> None:
    host, cell, worker = calling(stage, UNDERWAY_MAX + 6)
    assert offered(host) == list(range(1, UNDERWAY_MAX + 1))
    host.finishes(cell, 7)
    host.finishes(cell, 3)
    assert offered(host)[UNDERWAY_MAX:] == [UNDERWAY_MAX + 1, UNDERWAY_MAX + 2]
    assert taken(worker) == [(1, 7, "result"), (2, 3, "result")]


def test_without_a_holder_calls_wait(stage: Stage) -> None:
    host = stage.host("tides", SEARCH)
    cell = host.creates(CellKind.CONTINUING)
    host.ask(h.Detach())
    worker = stage.worker(cell).hello()
    worker.says(saying.called(1), saying.called(2), saying.waited())
    assert stage.state(cell).cell.calls[1].state is CallState.WAITING
    stage.crash()
    stage.restart()
    worker.adopted()
    successor = stage.host("tides", SEARCH)
    assert offered(successor) == [1, 2]


def test_a_tool_that_the_holder_does_not_offer(stage: Stage) -> None:
    _, _, worker = calling(stage, 1, saying.tool("other"))
    assert taken(worker) == [(1, 1, "error")]
    message = worker.last(w.Deliver).inputs[0].message
    assert "'search' is not offered" in message


def test_a_result_is_taken_once(stage: Stage) -> None:
    host, cell, worker = calling(stage)
    assert host.finishes(cell, 1, b"\x01") == a.Done()
    assert host.repeats(host.last) == a.Done()
    assert host.finishes(cell, 1, b"\x02") == a.Done(), "a second word on it is no news"
    worker.says(saying.waited(1))
    assert host.finishes(cell, 1, b"\x03") == a.Done()
    assert [i.content for m in worker.received if isinstance(m, w.Deliver) for i in m.inputs] == [
        b"\x01"
    ]
    assert host.finishes(cell, 2).code == "protocol"
    assert host.finishes(cell, 0).code == "protocol"


def test_another_host_cannot_finish_a_running_call(stage: Stage) -> None:
    _, cell, worker = calling(stage)
    assert stage.host(None).finishes(cell, 1).code == "protocol"
    assert taken(worker) == []


def test_an_error_is_an_input_too(stage: Stage) -> None:
    host, cell, worker = calling(stage, 2)
    ref = h.CallRef(cell, 1)
    host.ask(h.FinishCall(ref, InputKind.ERROR, b"ignored", "no corpus", False))
    host.lets_go(cell, 2)
    first, second = (m.inputs[0] for m in worker.received if isinstance(m, w.Deliver))
    assert (first.kind, first.content, first.message) == (InputKind.ERROR, b"", "no corpus")
    assert (second.kind, second.message) == (InputKind.ERROR, "the host cancelled the call")


def test_an_abandoned_call_is_withdrawn(stage: Stage) -> None:
    host, cell, worker = calling(stage, 2)
    worker.says(saying.abandoned(1), saying.waited())
    assert withdrawn(host) == [1]
    assert host.ask(h.AskStatus(cell)).waiting_on == ("tool-2: search",)
    assert host.lets_go(cell, 1) == a.Done()
    assert taken(worker) == [], "nobody waits for it"
    worker.says(saying.abandoned(1), saying.waited())
    assert stage.state(cell).cell.final is None, "once more is no lie"


def test_a_call_that_is_abandoned_at_once_never_leaves(stage: Stage) -> None:
    host, _, worker = calling(stage, 1)
    worker.says(saying.called(2), saying.abandoned(2), saying.waited())
    assert offered(host) == [1]


@pytest.mark.parametrize("cooperative", [True, False])
def test_an_end_waits_for_cancelled_calls_but_not_long(stage: Stage, *, cooperative: bool) -> None:
    host, cell, worker = calling(stage, 2)
    number = host.sends(h.Observe(cell, None, 10 * SECOND, False))
    worker.says(saying.ended())
    assert withdrawn(host) == [1, 2]
    assert host.answer(number) is None
    if cooperative:
        host.lets_go(cell, 1)
        assert host.answer(number) is None
        host.lets_go(cell, 2)
    else:
        stage.passes(99 * MS)
        assert host.answer(number) is None
        stage.passes(MS)
    assert host.answer(number).event.kind is EventKind.COMPLETED


def test_an_end_without_calls_does_not_wait(stage: Stage) -> None:
    host, cell, worker = calling(stage, 0)
    number = host.sends(h.Observe(cell, None, 10 * SECOND, False))
    worker.says(saying.ended())
    assert host.answer(number).event.kind is EventKind.COMPLETED


def test_a_slow_kill_does_not_prolong_the_grace_of_calls(stage: Stage) -> None:
    host, cell, worker = calling(stage, 1)
    stage.processes.kills = False
    number = host.sends(h.Terminate(cell, None))
    stage.passes(150 * MS)
    assert host.answer(number) is None
    worker.ends(-9)
    assert host.answer(number).event.kind is EventKind.TERMINATED


def test_a_worker_that_no_signal_ends_holds_nobody_up_for_ever(stage: Stage) -> None:
    host, cell, _ = calling(stage, 1)
    stage.processes.kills = False
    number = host.sends(h.Terminate(cell, None))
    stage.passes(2 * SECOND)
    assert host.answer(number).event.kind is EventKind.TERMINATED


# -- unknown outcomes -----------------------------------------------------------------------------


def test_ask_lists_the_call_until_somebody_decides(stage: Stage) -> None:
    host, cell, worker = calling(stage, 3)
    host.vanishes()
    assert taken(worker) == []
    successor = stage.host("tides", SEARCH)
    listed = successor.ask(h.ListCalls()).calls
    assert [(call.call.number, call.unknown) for call in listed] == [
        (1, True),
        (2, True),
        (3, True),
    ]
    successor.finishes(cell, 2)
    successor.ask(h.FinishCall(h.CallRef(cell, 1), InputKind.ERROR, b"", "gone", False))
    assert taken(worker) == [(1, 2, "result"), (2, 1, "error")]
    again = successor.sends(h.RunAgain(h.CallRef(cell, 3)))
    assert successor.answer(again) == a.Done()
    assert [(m.call.number, m.attempt) for m in successor.heard(a.CallOffered)] == [(3, 2)]
    assert successor.repeats(again) == a.Done()
    assert offered(successor) == [3], "run again once"
    assert successor.ask(h.RunAgain(h.CallRef(cell, 2))).code == "protocol"


def test_fail_makes_it_an_error_that_says_so(stage: Stage) -> None:
    host, _, worker = calling(stage, 1, saying.tool("search", OnUnknown.FAIL))
    host.vanishes()
    (found,) = worker.last(w.Deliver).inputs
    assert (found.kind, found.unknown) == (InputKind.ERROR, True)


def test_retry_offers_it_to_the_next_holder(stage: Stage) -> None:
    retry = saying.tool("search", OnUnknown.RETRY)
    host, cell, worker = calling(stage, 1, retry)
    host.vanishes()
    successor = stage.host("tides", retry)
    assert [(m.call.number, m.attempt) for m in successor.heard(a.CallOffered)] == [(1, 2)]
    successor.finishes(cell, 1)
    assert taken(worker) == [(1, 1, "result")]


def test_retry_also_when_somebody_else_holds_the_session_already(stage: Stage) -> None:
    retry = saying.tool("search", OnUnknown.RETRY)
    host, _, _ = calling(stage, 1, retry)
    successor = stage.host("tides", retry, take_over=True)
    assert offered(successor) == []
    host.vanishes()
    assert offered(successor) == [1]


def test_a_timer_is_no_end_of_a_call(stage: Stage) -> None:
    host, cell, worker = calling(stage, 1)
    lie = h.FinishCall(h.CallRef(cell, 1), InputKind.TIMER, b"\x01", "", False)
    assert host.ask(lie).code == "protocol"
    assert taken(worker) == []
    host.finishes(cell, 1)
    assert taken(worker) == [(1, 1, "result")]


def test_an_external_call_waits_for_anybody(stage: Stage) -> None:
    host, cell, worker = calling(stage, 1, saying.tool("search", external=True))
    assert offered(host) == []
    listed = host.ask(h.ListCalls()).calls
    assert [(call.call.number, call.unknown) for call in listed] == [(1, False)]
    host.finishes(cell, 1)
    assert taken(worker) == [(1, 1, "result")]
    assert host.ask(h.ListCalls()).calls == ()


# -- reconnecting ---------------------------------------------------------------------------------


def test_after_a_reconnect_what_is_not_held_is_offered_again(stage: Stage) -> None:
    host, cell, _ = calling(stage, 3)
    host.heard(a.CallOffered)
    host.unasked.clear()
    host.holding = (h.CallRef(cell, 2),)
    host.reconnects()
    assert offered(host) == [1, 3]
    assert {m.attempt for m in host.heard(a.CallOffered)} == {1}


def test_the_window_survives_a_crash(stage: Stage) -> None:
    host, cell, _ = calling(stage, UNDERWAY_MAX + 6)
    host.heard(a.CallOffered)
    host.unasked.clear()
    stage.crash()
    stage.restart()
    host.holding = tuple(h.CallRef(cell, n) for n in range(1, UNDERWAY_MAX + 1))
    host.reconnects()
    assert offered(host) == []
    host.finishes(cell, 1)
    assert offered(host) == [UNDERWAY_MAX + 1]


# -- notifications --------------------------------------------------------------------------------


def noticed(host: Host) -> list[tuple[int, str]]:
    return [(m.number, m.text) for m in host.heard(a.NoticeOffered)]


def test_notifications_are_numbered_and_offered_until_received(stage: Stage) -> None:
    host, cell, worker = calling(stage, 0)
    worker.says(saying.notified("a"), saying.notified("b"))
    worker.says(saying.notified("c"))
    assert noticed(host) == [(1, "a"), (2, "b"), (3, "c")]
    host.sends(h.NoticeReceived(cell, 2))
    host.unasked.clear()
    host.reconnects()
    assert noticed(host) == [(3, "c")]
    host.unasked.clear()
    stage.crash()
    stage.restart()
    host.reconnects()
    assert noticed(host)[-1] == (3, "c")
    host.sends(h.NoticeReceived(cell, 3))
    host.unasked.clear()
    host.reconnects()
    assert noticed(host) == []


def test_notifications_wait_their_turn_in_the_window(stage: Stage) -> None:
    host, cell, worker = calling(stage, UNDERWAY_MAX)
    worker.says(saying.notified("a"))
    assert noticed(host) == []
    host.finishes(cell, 1)
    assert noticed(host) == [(1, "a")]


def test_without_a_holder_the_last_thousand_wait(stage: Stage) -> None:
    host, cell, worker = calling(stage, 0)
    host.ask(h.Detach())
    for batch in range(11):
        worker.says(*(saying.notified(f"{batch}.{n}") for n in range(100)))
    successor = stage.host("tides", SEARCH)
    assert len(noticed(successor)) == UNDERWAY_MAX
    assert noticed(successor)[0] == (1_100 - NOTIFICATIONS_KEPT_MAX + 1, "1.0")
    received = 0
    while noticed(successor)[-1][0] != received:
        received = noticed(successor)[-1][0]
        successor.sends(h.NoticeReceived(cell, received))
    assert received == 1_100


def test_a_holder_gets_every_notification_however_many_come_at_once(stage: Stage) -> None:
    host, cell, worker = calling(stage, 0)
    for batch in range(15):
        worker.says(*(saying.notified(f"{batch}.{n}") for n in range(100)))
    received = 0
    while noticed(host)[-1][0] != received:
        received += 1
        host.sends(h.NoticeReceived(cell, received))
    assert [number for number, _ in noticed(host)] == list(range(1, 1_501))
    worker.says(*(saying.called(number) for number in range(1, UNDERWAY_MAX + 1)))
    assert len(offered(host)) == UNDERWAY_MAX, "and then has room for calls"


def test_a_host_that_does_not_read_notifications_keeps_a_bounded_number(stage: Stage) -> None:
    host, cell, worker = calling(stage, 0)
    for _ in range(NOTICES_HELD_MAX // 500 + 2):
        worker.says(*(saying.notified("tick") for _ in range(500)))
    kept = stage.state(cell).cell.notices
    assert (len(kept), kept[-1][0]) == (NOTICES_HELD_MAX, NOTICES_HELD_MAX + 1_000)
    assert len(noticed(host)) == UNDERWAY_MAX, "and is sent no more than it reads"
    host.sends(h.NoticeReceived(cell, 1))
    assert noticed(host)[-1][0] == kept[0][0]
    host.sends(h.NoticeReceived(cell, UNDERWAY_MAX))
    assert noticed(host)[-1][0] == kept[0][0] + UNDERWAY_MAX - 1


def test_only_the_hosts_of_a_session_receive_its_notifications(stage: Stage) -> None:
    host, cell, worker = calling(stage, 0)
    worker.says(saying.notified("a"))
    stage.host(None).sends(h.NoticeReceived(cell, 1))
    stage.host("elsewhere").sends(h.NoticeReceived(cell, 1))
    assert stage.state(cell).cell.notices == ((1, "a"),)
    host.sends(h.NoticeReceived(cell, 1))
    assert stage.state(cell).cell.notices == ()


# -- inputs ---------------------------------------------------------------------------------------


def test_too_many_inputs_end_the_cell_only(stage: Stage) -> None:
    host, cell, worker = calling(stage, 2)
    state = stage.state(cell)
    full = replace(state, cell=replace(state.cell, inputs=INPUTS_MAX))
    stage.loop.fleet.put(full, stage.clock.ns)
    assert host.finishes(cell, 1) == a.Done()
    stage.passes(SECOND)
    event = host.observes(cell).event
    assert (event.kind, event.reason.value) == (EventKind.COMPLETED, "limit")
    assert "inputs: at most 100,000" in event.error
    assert worker.token in stage.processes.killed


def test_a_timer_is_an_input(stage: Stage) -> None:
    host, _, worker = calling(stage, 1)
    due = stage.clock.ns + 5 * MS
    worker.says(saying.waited(0, due))
    host.finishes(stage.worker(worker.cell).cell, 1)
    stage.passes(5 * MS)
    assert taken(worker) == [(1, 1, "result"), (2, 0, "timer")]
    assert worker.last(w.Deliver).inputs[0].due_ns == due
    stage.passes(SECOND)
    assert len(taken(worker)) == 2, "once"
