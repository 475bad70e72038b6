"""The cell's clock: what it shows, what it records, and what it shows again from the record."""

from __future__ import annotations

import itertools
import threading
import time

import pytest
from tidemark.worker.clock import (
    COLLECTED,
    STEP_NS,
    STEPS_MAX,
    TICK_NS,
    TICKS_CROWDED,
    CellClock,
    Ticks,
)
from tidemark.worker.timers import SECOND_NS

NOW_NS = 1_700_000_000 * SECOND_NS


def never() -> bool:
    return False


def always() -> bool:
    return True


def live() -> CellClock:
    return CellClock(NOW_NS, time.monotonic_ns(), NOW_NS)


def again(ticks: Ticks, readings: int) -> CellClock:
    """A clock of a later life, a minute later."""
    now_ns = NOW_NS + 60 * SECOND_NS
    return CellClock(now_ns, time.monotonic_ns(), NOW_NS, dict(ticks), readings)


def test_it_always_rises_also_in_seconds() -> None:
    clock = live()
    readings = [clock.reading() for _ in range(STEPS_MAX)]
    assert all(a < b for a, b in itertools.pairwise(readings))
    assert all(a / 1e9 < b / 1e9 for a, b in itertools.pairwise(readings))
    more = [clock.reading() for _ in range(20_000)]
    assert all(a < b for a, b in itertools.pairwise(more))


def test_it_is_true_to_a_millisecond() -> None:
    began_ns = time.monotonic_ns()
    clock = CellClock(NOW_NS, began_ns, NOW_NS)
    for _ in range(50_000):
        before_ns = time.monotonic_ns() - began_ns
        shown_ns = clock.reading() - NOW_NS
        after_ns = time.monotonic_ns() - began_ns
        assert before_ns - TICK_NS <= shown_ns <= after_ns + STEP_NS * STEPS_MAX


def test_few_records_tell_every_reading() -> None:
    clock = live()
    readings = [clock.reading() for _ in range(50_000)]
    ticks, count = clock.drain()
    assert clock.drain() == ((), count)
    assert count == len(readings)
    assert len(ticks) < 5_000
    later = again(ticks, count)
    assert [later.reading() for _ in readings] == readings
    assert later.drain() == ((), count)  # nothing that is not known already
    assert later.reading() > NOW_NS + 59 * SECOND_NS


def test_records_in_pieces_tell_the_same() -> None:
    clock = live()
    readings: list[int] = []
    ticks: Ticks = ()
    for count in range(1, 150):
        readings += [clock.reading() for _ in range(count)]
        more, readings_told = clock.drain()
        ticks += more
        assert readings_told == len(readings)
    assert [number for number, _ in ticks] == sorted({number for number, _ in ticks})
    later = again(ticks, readings_told)
    assert [later.reading() for _ in readings] == readings


def test_a_drain_by_another_thread_loses_nothing() -> None:
    clock = live()
    ticks: list[tuple[int, int]] = []
    is_over = threading.Event()

    def drain() -> None:
        while not is_over.is_set():
            ticks.extend(clock.drain()[0])

    thread = threading.Thread(target=drain)
    thread.start()
    readings = [clock.reading() for _ in range(100_000)]
    is_over.set()
    thread.join()
    ticks.extend(clock.drain()[0])
    later = again(tuple(ticks), len(readings))
    assert [later.reading() for _ in readings] == readings


def test_a_handover_is_counted_and_puts_the_clock_forward_only() -> None:
    clock = live()
    first = clock.reading()
    assert not clock.hand_over(NOW_NS + SECOND_NS, never)
    second = clock.reading()
    assert second > NOW_NS + SECOND_NS
    assert clock.hand_over(NOW_NS, always)
    third = clock.reading()
    assert third > second
    ticks, count = clock.drain()
    assert count == 5
    assert (4, COLLECTED) in ticks
    later = again(ticks, count)
    assert later.reading() == first
    assert not later.hand_over(NOW_NS + SECOND_NS, always)  # it was not, then
    assert later.reading() == second
    assert later.hand_over(NOW_NS, never)  # it was
    assert later.reading() == third
    assert later.hand_over(NOW_NS, always)  # the record has ended: it decides again
    assert later.drain() == (((6, COLLECTED),), 6)


def test_a_handover_that_was_the_last_is_told_too() -> None:
    clock = live()
    clock.hand_over(NOW_NS + SECOND_NS, never)
    ticks, count = clock.drain()
    assert (ticks, count) == ((), 1)
    assert not again(ticks, count).hand_over(NOW_NS + SECOND_NS, always)


def test_after_its_record_it_goes_on_with_real_time_and_never_back() -> None:
    ticks = ((1, NOW_NS + 3_600 * SECOND_NS),)
    clock = again(ticks, 1)
    assert clock.reading() == ticks[0][1]
    assert clock.reading() == ticks[0][1] + STEP_NS  # the machine's clock is an hour behind
    assert clock.drain() == ((), 2)


def test_other_threads_see_real_time_and_are_noticed() -> None:
    clock = CellClock(NOW_NS, time.monotonic_ns() - 10 * TICK_NS, NOW_NS)
    why: list[str] = []
    clock.on_foreign = why.append
    last = clock.reading()
    clock.drain()
    seen: list[int] = []

    def wait_a_little() -> None:
        while not seen or seen[-1] < last + 5 * TICK_NS:
            seen.append(clock.reading())

    thread = threading.Thread(target=wait_a_little)
    thread.start()
    thread.join()
    assert seen[0] >= last
    assert set(why) == {"the clock in another thread"}
    assert clock.drain()[0] == ()


def test_a_copy_of_the_process_records_nothing() -> None:
    clock = live()
    why: list[str] = []
    clock.on_foreign = why.append
    clock.release()
    assert NOW_NS <= clock.reading() <= clock.reading()
    assert clock.drain()[0] == ()
    assert why == []


def test_it_says_when_much_is_recorded() -> None:
    clock = CellClock(NOW_NS, 0, NOW_NS)  # every reading is far ahead
    calls: list[int] = []
    clock.on_crowded = lambda: calls.append(len(clock.drain()[0]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tidemark.worker.real.monotonic_ns", itertools.count(0, TICK_NS).__next__)
        for _ in range(2 * TICKS_CROWDED + 10):
            clock.reading()
    assert calls == [TICKS_CROWDED, TICKS_CROWDED]
