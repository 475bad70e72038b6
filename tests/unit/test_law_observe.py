"""Events: their numbers, what output they carry, who waits, and who is acknowledged."""

from __future__ import annotations

from typing import Any

import msgpack
from tidemark.protocol import host_answers as a
from tidemark.protocol import host_requests as h
from tidemark.protocol import worker_messages as w
from tidemark.protocol.packed import CellKind, EventKind

from transcripts import saying
from transcripts.players import Host, Worker, output
from transcripts.stage import MS, SECOND, Stage

FREE = CellKind.CONTINUING


def free(stage: Stage) -> tuple[Host, str, Worker]:
    """A continuing cell that runs."""
    host = stage.host("tides", saying.tool("search"))
    cell = host.creates(FREE)
    return host, cell, stage.worker(cell).hello()


def watching(host: Host, cell: str, seconds: float = 10, after: int | None = None) -> int:
    return host.sends(h.Observe(cell, after, int(seconds * SECOND), False))


def seen(answer: Any) -> tuple[str, int, list[str]]:
    return answer.event.kind.value, answer.event.number, output(answer)


def test_with_zero_it_is_what_is_there(stage: Stage) -> None:
    host, cell, worker = free(stage)
    assert seen(host.observes(cell, 0, 0)) == ("yielded", 0, [])
    worker.says(saying.text("a"), saying.text("b"))
    assert seen(host.observes(cell, 0, 0)) == ("yielded", 1, ["a", "b"])
    assert seen(host.observes(cell, 1, 0)) == ("yielded", 1, [])
    worker.says(saying.text("c"))
    assert seen(host.observes(cell, 1, 0)) == ("yielded", 2, ["c"])


def test_an_event_can_be_had_again_until_it_is_acknowledged(stage: Stage) -> None:
    host, cell, worker = free(stage)
    worker.says(saying.text("a"))
    first = host.observes(cell, None, 0)
    worker.says(saying.text("b"))
    assert host.observes(cell, None, 0) == first
    assert stage.host(None).observes(cell, 0, 0) == first
    assert seen(host.observes(cell, 1, 0)) == ("yielded", 2, ["b"])
    assert seen(stage.host(None).observes(cell, None, 0)) == ("yielded", 2, ["b"])
    assert host.observes(cell, 3).code == "protocol", "that was never made"


def test_any_request_can_acknowledge(stage: Stage) -> None:
    host, cell, worker = free(stage)
    worker.says(saying.text("a"))
    host.observes(cell, None, 0)
    host.ask(h.AskStatus(cell), (cell, 1))
    worker.says(saying.text("b"))
    assert seen(host.observes(cell, None, 0)) == ("yielded", 2, ["b"])


def test_time_counts_from_the_observation_or_the_first_step(stage: Stage) -> None:
    host = stage.host()
    cell = host.creates(FREE)
    number = watching(host, cell, 1)
    stage.passes(5 * SECOND)
    assert host.answer(number) is None, "it does not run yet"
    worker = stage.worker(cell).hello()
    worker.says(saying.text("a"))
    stage.passes(SECOND - MS)
    assert host.answer(number) is None
    stage.passes(MS)
    assert seen(host.answer(number)) == ("yielded", 1, ["a"])
    number = watching(host, cell, 1, 1)
    stage.passes(SECOND)
    assert seen(host.answer(number)) == ("yielded", 1, []), "no output makes no event"


def test_a_worker_that_is_asked_again_does_not_prolong_an_observation(stage: Stage) -> None:
    host, cell, worker = free(stage)
    number = watching(host, cell, 1)
    stage.passes(SECOND // 2)
    worker.said.append((saying.text("lost on the way"),))
    worker.says(saying.text("b"))
    worker.adopted()
    stage.passes(SECOND // 2)
    assert seen(host.answer(number)) == ("yielded", 1, ["lost on the way", "b"])


def test_what_is_behind_a_gap_asks_once_for_what_is_between(stage: Stage) -> None:
    """A worker answers with all that is missing: once for each message would be a storm."""
    _, _, worker = free(stage)
    worker.said.append((saying.text("lost on the way"),))
    for number in range(100):
        worker.says(saying.text(str(number)))
    assert [type(each) for each in worker.received].count(w.Adopt) == 1
    worker.adopted()
    worker.said.append((saying.text("lost as well"),))
    worker.says(saying.text("later"))
    assert [type(each) for each in worker.received].count(w.Adopt) == 2


def test_a_repeat_takes_its_own_place_and_keeps_its_time(stage: Stage) -> None:
    host, cell, _ = free(stage)
    number = watching(host, cell, 1)
    stage.passes(SECOND // 2)
    assert host.repeats(number) is None
    stage.passes(SECOND // 2)
    assert seen(host.answer(number)) == ("yielded", 0, [])


def test_a_yield_hands_the_output_to_who_waits(stage: Stage) -> None:
    host, cell, worker = free(stage)
    number = watching(host, cell)
    worker.says(saying.text("a"), saying.yielded(), saying.text("b"), saying.yielded())
    assert seen(host.answer(number)) == ("yielded", 1, ["a"])
    number = watching(host, cell, 10, 1)
    assert host.answer(number) is None, "later yields that nobody waits for do nothing"
    worker.says(saying.yielded())
    assert seen(host.answer(number)) == ("yielded", 2, ["b"])


def test_a_yield_without_output_answers_too(stage: Stage) -> None:
    host, cell, worker = free(stage)
    number = watching(host, cell)
    worker.says(saying.yielded())
    assert seen(host.answer(number)) == ("yielded", 0, [])


def test_the_first_yield_before_anybody_observed(stage: Stage) -> None:
    host, cell, worker = free(stage)
    worker.says(saying.text("a"), saying.yielded(), saying.text("b"), saying.yielded())
    worker.says(saying.text("c"))
    assert seen(host.observes(cell, 0)) == ("yielded", 1, ["a"])
    number = watching(host, cell, 10, 1)
    assert host.answer(number) is None
    stage.passes(10 * SECOND)
    assert seen(host.answer(number)) == ("yielded", 2, ["b", "c"])


def test_the_first_yield_is_remembered_once_also_without_output(stage: Stage) -> None:
    host, cell, worker = free(stage)
    worker.says(saying.yielded(), saying.text("a"))
    assert seen(host.observes(cell, 0)) == ("yielded", 0, [])
    number = watching(host, cell, 1, 0)
    assert host.answer(number) is None
    stage.passes(SECOND)
    assert seen(host.answer(number)) == ("yielded", 1, ["a"])


def test_the_first_yield_is_remembered_beyond_the_end(stage: Stage) -> None:
    host, cell, worker = free(stage)
    worker.says(saying.text("a"), saying.yielded(), saying.text("b"), saying.ended())
    assert seen(host.observes(cell)) == ("yielded", 1, ["a"])
    assert seen(host.observes(cell)) == ("yielded", 1, ["a"]), "until it is acknowledged"
    assert seen(host.observes(cell, 1)) == ("completed", 2, ["b"])


def test_a_terminated_cell_remembers_no_yield(stage: Stage) -> None:
    host, cell, worker = free(stage)
    worker.says(saying.text("a"), saying.yielded(), saying.text("b"))
    ended = host.sends(h.Terminate(cell, None))
    stage.passes(SECOND)
    assert seen(host.answer(ended)) == ("terminated", 1, ["a", "b"])
    assert seen(host.observes(cell)) == ("terminated", 1, ["a", "b"])


def test_who_looked_has_observed(stage: Stage) -> None:
    host, cell, worker = free(stage)
    host.observes(cell, 0, 0)
    worker.says(saying.text("a"), saying.yielded(), saying.text("b"))
    assert host.answer(watching(host, cell)) is None, "nobody waited for that yield"


def test_a_pausable_cell_does_nothing_at_a_yield(stage: Stage) -> None:
    host = stage.host()
    cell = host.creates()
    worker = stage.worker(cell).hello()
    number = host.sends(h.WaitToPending(cell, False))
    worker.says(saying.text("a"), saying.yielded(), saying.text("b"))
    assert host.answer(number) is None
    worker.says(saying.paused(1))
    assert seen(host.answer(number)) == ("pending", 1, ["a", "b"])


def test_a_frontier_is_the_same_as_often_as_asked(stage: Stage) -> None:
    host = stage.host()
    cell = host.creates()
    worker = stage.worker(cell).hello()
    worker.says(saying.text("a"), saying.paused(1))
    first = host.waits(cell)
    host.ask(h.AskStatus(cell), (cell, 1))
    worker.says(saying.text("of a thread"))
    assert host.waits(cell) == first
    assert host.ask(h.AskFrontier(cell)).event == first.event


def test_a_number_that_nobody_acknowledged_is_skipped(stage: Stage) -> None:
    host = stage.host()
    cell = host.creates()
    worker = stage.worker(cell).hello()
    worker.says(saying.text("a"), saying.paused(1))
    assert seen(host.waits(cell)) == ("pending", 1, ["a"])
    host.sends(h.Resume(cell, 1, None))
    worker.confirms()
    worker.says(saying.text("b"), saying.waited())
    assert host.sends(h.WaitToPending(cell, False))
    stage.state(cell)
    worker.says(saying.ended())
    assert seen(host.waits(cell)) == ("completed", 2, ["a", "b"])


def test_an_acknowledged_output_is_not_carried_again(stage: Stage) -> None:
    host = stage.host()
    cell = host.creates()
    worker = stage.worker(cell).hello()
    worker.says(saying.text("a"), saying.paused(1))
    host.sends(h.Resume(cell, 1, 1))
    worker.confirms()
    worker.says(saying.text("b"), saying.ended())
    final = host.waits(cell)
    assert seen(final) == ("completed", 2, ["b"])
    assert [item.index for item in final.event.output] == [1]


def test_terminated_carries_what_no_event_can_give_any_more(stage: Stage) -> None:
    host, cell, worker = free(stage)
    worker.says(saying.text("a"))
    yielded = host.observes(cell, None, 0)
    worker.says(saying.text("b"))
    number = host.sends(h.Terminate(cell, None))
    assert seen(host.answer(number)) == ("terminated", 2, ["b"])
    assert host.observes(cell, 0) == yielded
    assert seen(host.observes(cell, 1)) == ("terminated", 2, ["b"])
    assert host.observes(cell, 2).code == "cell_closed"
    assert host.terminates(cell) == host.answer(number)


def test_terminated_carries_the_output_of_an_unread_frontier(stage: Stage) -> None:
    host = stage.host()
    cell = host.creates()
    stage.worker(cell).hello().says(saying.text("a"), saying.paused(1))
    assert seen(host.terminates(cell)) == ("terminated", 2, ["a"])
    assert seen(host.waits(cell)) == ("terminated", 2, ["a"])


def test_a_waiting_observer_gets_the_end(stage: Stage) -> None:
    host, cell, worker = free(stage)
    number = watching(host, cell)
    other = stage.host(None)
    stage.processes.kills = False
    ending = other.sends(h.Terminate(cell, None))
    assert other.answer(ending) is None, "it is told when the worker is gone"
    worker.ends(-9)
    assert host.answer(number) == other.answer(ending)
    assert seen(host.answer(number)) == ("terminated", 1, [])


def test_one_observer_waits(stage: Stage) -> None:
    host, cell, worker = free(stage)
    number = watching(host, cell)
    began = stage.clock.ns
    stage.passes(SECOND)
    other = stage.host(None)
    refusal = other.observes(cell)
    assert refusal.code == "busy_observer"
    assert msgpack.unpackb(refusal.attributes) == {
        "since": began / 1e9,
        "by": "process 101 on here",
    }
    worker.says(saying.text("a"), saying.yielded())
    assert seen(host.answer(number)) == ("yielded", 1, ["a"]), "the first is undisturbed"


def test_taking_an_observation_over(stage: Stage) -> None:
    host, cell, worker = free(stage)
    number = watching(host, cell)
    other = stage.host(None)
    second = other.sends(h.Observe(cell, None, 10 * SECOND, True))
    assert host.answer(number).code == "busy_observer"
    worker.says(saying.text("a"), saying.yielded())
    assert seen(other.answer(second)) == ("yielded", 1, ["a"])


def test_a_refused_observation_takes_nothing_over(stage: Stage) -> None:
    host, cell, _ = free(stage)
    number = watching(host, cell)
    other = stage.host(None)
    assert other.waits(cell, take_over=True).code == "wrong_cell_kind"
    assert other.observes(cell, 7, take_over=True).code == "protocol"
    assert host.answer(number) is None


def test_a_cancelled_or_vanished_observer_is_in_nobodys_way(stage: Stage) -> None:
    host, cell, worker = free(stage)
    number = watching(host, cell)
    host.sends(h.Cancel(number))
    other = stage.host(None)
    second = watching(other, cell)
    assert other.answer(second) is None
    other.vanishes()
    worker.says(saying.text("a"), saying.yielded())
    assert host.answer(number) is None
    assert other.answer(second) is None
    third = watching(host, cell)
    stage.passes(10 * SECOND)
    assert seen(host.answer(third)) == ("yielded", 1, ["a"])


def test_a_cancelled_wait_for_the_end(stage: Stage) -> None:
    host, cell, worker = free(stage)
    stage.processes.kills = False
    number = host.sends(h.Terminate(cell, None))
    host.sends(h.Cancel(number))
    worker.ends(-9)
    assert host.answer(number) is None
    assert seen(host.repeats(number)) == ("terminated", 1, [])


def test_the_step_of_a_crashed_supervisor_takes_its_place_again(stage: Stage) -> None:
    host = stage.host()
    cell = host.creates()
    worker = stage.worker(cell).hello()
    worker.says(saying.called(1), saying.paused(1))
    number = host.sends(h.Step(cell, 1, None))
    worker.confirms()
    stage.crash()
    stage.restart()
    other = stage.host(None)
    worker.adopted()
    waiting = other.sends(h.WaitToPending(cell, False))
    host.reconnects()
    assert host.repeats(number) is None
    assert other.answer(waiting).code == "busy_observer", "never left without an answer"
    worker.says(saying.text("a"), saying.ended())
    assert seen(host.answer(number)) == ("completed", 2, ["a"])


def test_watching_consumes_nothing(stage: Stage) -> None:
    host, cell, worker = free(stage)
    number = host.sends(h.AskEvents(cell, "", 0, 10, 5 * SECOND))
    outside = stage.host(None)
    of_session = outside.sends(h.AskEvents("", "tides", 0, 10, 5 * SECOND))
    worker.says(saying.text("a"))
    host.observes(cell, None, 0)
    rows = host.answer(number).rows
    assert [(row.event.kind, row.event.number) for row in rows] == [(EventKind.YIELDED, 1)]
    assert outside.answer(of_session) is None, "a yield is no affair of the session"
    worker.says(saying.ended())
    found = outside.answer(of_session)
    assert [row.event.kind for row in found.rows] == [EventKind.COMPLETED]
    rows = host.ask(h.AskEvents(cell, "", 0, 10, 0)).rows
    assert [row.event.number for row in rows] == [1, 2]
    assert host.ask(h.AskEvents(cell, "", 2, 10, SECOND)) == a.EventsGiven((), True)


def test_a_watch_ends_with_its_time(stage: Stage) -> None:
    host, cell, worker = free(stage)
    number = host.sends(h.AskEvents("", "tides", 0, 10, SECOND))
    stage.passes(SECOND // 2)
    worker.says(saying.text("a"))
    host.observes(cell, None, 0)
    stage.passes(SECOND // 2)
    assert host.answer(number) == a.EventsGiven((), False)
