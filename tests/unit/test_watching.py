"""Hosts that wait for events, as the fleet keeps them; and moments that count no more."""

from __future__ import annotations

from tidemark.protocol import host_answers as a
from tidemark.protocol import host_requests as h
from tidemark.protocol.ids import RequestRef
from tidemark.supervisor.core.alarms import STALE_MAX, Alarms
from tidemark.supervisor.core.effects import Read
from tidemark.supervisor.core.fleet import Fleet
from tidemark.supervisor.core.watching import (
    Watch,
    begin_watch,
    end_watches,
    never_watch,
    take_impatient,
    take_watches,
)
from tidemark.supervisor.shell.reading import WAIT_NS_MAX

from transcripts.stage import Stage

CELL, OTHER = "c1", "c2"


def watch(number: int, cell: str = "", session: str = "tides", until_ns: int = 10**18) -> Watch:
    return Watch(RequestRef(1, number), session, h.AskEvents(cell, session, 0, 10, 1), until_ns)


def taken(fleet: Fleet, cell: str, *, is_yield: bool = False) -> list[int]:
    return [each.ref.number for each in take_watches(fleet, "tides", cell, is_yield=is_yield)]


def is_empty(fleet: Fleet) -> bool:
    return not (len(fleet.watches) or len(fleet.watched)) and fleet.patience.first_ns() is None


def test_an_event_finds_those_that_wait_for_it_and_nobody_else(stage: Stage) -> None:
    fleet = stage.loop.fleet
    for each in (watch(1, CELL), watch(2), watch(3, OTHER), watch(4, CELL), watch(5, "", "ebb")):
        begin_watch(fleet, each)
    assert taken(fleet, CELL, is_yield=True) == [1, 4]
    assert taken(fleet, CELL) == [2]
    assert taken(fleet, CELL) == []
    assert taken(fleet, OTHER) == [3]
    end_watches(fleet, [RequestRef(1, 5)])
    end_watches(fleet, [RequestRef(1, 5)])
    assert is_empty(fleet)


def test_asking_again_is_waiting_once(stage: Stage) -> None:
    fleet = stage.loop.fleet
    begin_watch(fleet, watch(1, CELL, until_ns=5))
    begin_watch(fleet, watch(1, until_ns=9))
    assert fleet.patience.first_ns() == 9
    assert taken(fleet, CELL) == [1]
    assert is_empty(fleet)


def test_those_whose_time_is_over(stage: Stage) -> None:
    fleet = stage.loop.fleet
    for each in (watch(1, CELL, until_ns=30), watch(2, CELL, until_ns=10), watch(3, until_ns=20)):
        begin_watch(fleet, each)
    assert fleet.next_deadline_ns() == 10
    assert [ref.number for ref in take_impatient(fleet, 20)] == [2, 3]
    assert fleet.next_deadline_ns() == 30
    assert taken(fleet, CELL) == [1]
    assert is_empty(fleet)


def test_a_beat_that_fails_puts_them_back_with_their_time(stage: Stage) -> None:
    fleet = stage.loop.fleet
    begin_watch(fleet, watch(1, CELL, until_ns=30))
    begin_watch(fleet, watch(2, until_ns=20))
    fleet.mark()
    assert taken(fleet, CELL) == [1, 2]
    begin_watch(fleet, watch(3, OTHER, until_ns=5))
    fleet.undo()
    assert fleet.next_deadline_ns() == 20
    assert taken(fleet, OTHER) == [2]
    assert taken(fleet, CELL) == [1]
    assert is_empty(fleet)


def test_what_was_asked_in_the_same_beat_is_not_waited_for_either(stage: Stage) -> None:
    fleet = stage.loop.fleet
    for number in (1, 2):
        ref = RequestRef(number, 3)
        fleet.speak(Read(ref, h.AskEvents("", "tides", 0, 10, 1), "tides"))
        ask = h.AskEvents("", "tides", 0, 10, 1)
        begin_watch(fleet, Watch(RequestRef(number, 4), "tides", ask, 10**18))
    fleet.speak(Read(RequestRef(1, 5), h.AskEvents("", "tides", 0, 10, 1), "tides"))
    never_watch(fleet, 1, 3)
    assert [effect.to for effect in fleet.effects] == [RequestRef(2, 3), RequestRef(1, 5)]
    never_watch(fleet, 1)
    assert [effect.to for effect in fleet.effects] == [RequestRef(2, 3)]
    assert list(fleet.watches) == [RequestRef(2, 4)]


def test_nobody_waits_for_ever(stage: Stage) -> None:
    outside = stage.host(None)
    number = outside.sends(h.AskEvents("", "tides", 0, 10, 2**60))
    stage.passes(WAIT_NS_MAX)
    assert outside.answer(number) == a.EventsGiven((), False)


def test_moments_that_count_no_more_are_let_go() -> None:
    alarms: Alarms[str] = Alarms()
    alarms.set("never", 10**9)
    for moment in range(10 * STALE_MAX):
        alarms.set("often", moment)
    assert len(alarms._heap) <= STALE_MAX + 4
    assert alarms.first_ns() == 10 * STALE_MAX - 1
    assert alarms.due(10**9) == ["often", "never"]
    assert alarms.first_ns() is None
