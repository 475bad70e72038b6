"""The worker's link when what a signal calls raises in the middle of it; without a supervisor."""

from __future__ import annotations

import asyncio
import gc
import importlib
import os
import socket
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import closing
from functools import partial
from types import FrameType
from typing import Any

import pytest
from tidemark.protocol.errors import ToolError
from tidemark.protocol.packed import OutputKind
from tidemark.protocol.worker_messages import Called, Emitted
from tidemark.worker.clock import CellClock
from tidemark.worker.exits import EXIT_DEFECT, EXIT_NO_MEMORY
from tidemark.worker.link import Link
from tidemark.worker.output import Output
from tidemark.worker.own_work import OwnWork
from tidemark.worker.standby import Duty, Standby

from fakes.waiting import until

TEXT = Emitted(OutputKind.TEXT, "tide", None, b"0" * 16)


class Tick(Exception):
    """What a cell raises out of a signal, to give up what takes too long."""


def raises_at(moment: int, call: Callable[[], object]) -> bool:
    """Call this, with a `Tick` at one of the moments at which Python calls what a signal calls.

    These are: when a function begins, and when one of C's has returned. False: it has fewer.
    """
    count = 0

    def at(frame: FrameType, event: str, _: Any) -> None:
        nonlocal count
        if event in ("call", "c_return") and frame.f_code.co_filename != __file__:
            count += 1
            if count == moment:
                raise Tick

    gc.disable()  # what raises in a finalizer of somebody's is not seen
    sys.setprofile(at)
    try:
        call()
    except Tick:
        return True
    finally:
        sys.setprofile(None)
        gc.enable()
    return False


def say() -> tuple[Link, Callable[[], object]]:
    link = Link()
    link.hearing.cell_sleeps = False  # else it wakes the stand-by, and there is none
    return link, lambda: link.say(TEXT)


def fetch(monkeypatch: pytest.MonkeyPatch) -> tuple[Link, Callable[[], object]]:
    link = Link()

    def ask(_: object) -> None:
        raise Tick  # it would wait for the answer of nobody

    monkeypatch.setattr(link.hearing, "ask", ask)
    return link, lambda: link.fetch("key")


def test_the_lock_is_free_whenever_a_signal_interrupts_who_says_something() -> None:
    moment = 1
    while True:
        link, call = say()
        if not raises_at(moment, call):
            break
        assert not link.lock._is_owned(), f"at moment {moment}"  # type: ignore[attr-defined]
        moment += 1
    assert moment > 10


def test_the_lock_is_free_whenever_a_signal_interrupts_who_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for moment in range(1, 30):
        link, call = fetch(monkeypatch)
        assert raises_at(moment, call)
        assert not link.lock._is_owned(), f"at moment {moment}"  # type: ignore[attr-defined]


def test_the_lock_is_held_however_a_signal_interrupts_who_waits() -> None:
    """Until the moment at which it waits, and there it waits until it is told."""

    def waits(link: Link) -> None:
        link.changed._waiters = _Told()  # type: ignore[attr-defined]
        with link.lock:
            link._wait()

    moment = 1
    while True:
        link = Link()
        interrupted = raises_at(moment, partial(waits, link))
        assert not link.lock._is_owned(), f"at moment {moment}"  # type: ignore[attr-defined]
        if not interrupted:
            break
        moment += 1
    assert moment > 5


def test_a_call_has_a_number_exactly_when_it_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    # Whoever imports it has a `ToolError` as cells see it.
    monkeypatch.setattr(ToolError, "__module__", ToolError.__module__)
    tool_calls = importlib.import_module("tidemark.worker.tool_calls")
    moment = 1
    while True:
        link, _ = say()
        with closing(asyncio.new_event_loop()) as loop:
            calls = tool_calls.Calls(link, loop, OwnWork("cell.py", link.say), "cell", lambda: None)
            interrupted = raises_at(moment, partial(calls.call, "search", {}, "arguments"))
            calls.call("search", {}, "arguments")
        message = link.speaker.stream.take()
        assert message is not None
        numbers = [item.number for item in message.items if isinstance(item, Called)]
        assert numbers == list(range(1, len(numbers) + 1)), f"at moment {moment}"
        if not interrupted:
            break
        moment += 1
    assert moment > 20


class _Told(deque[Any]):
    """Those who wait on a condition: each is told at once."""

    def append(self, waiter: Any) -> None:
        super().append(waiter)
        waiter.release()


@pytest.mark.parametrize(
    ("failure", "status"), [(MemoryError(), EXIT_NO_MEMORY), (KeyError(), EXIT_DEFECT)]
)
def test_a_stand_by_that_fails_ends_the_process_even_if_it_cannot_say_why(
    monkeypatch: pytest.MonkeyPatch, failure: Exception, status: int
) -> None:
    """Without memory; else nobody would hear the supervisor any more."""

    class Deaf:
        def stand_by(self) -> Duty:
            raise failure

    def fails(**_: object) -> None:
        raise MemoryError

    statuses: list[int] = []

    def ends(status: int) -> None:
        statuses.append(status)
        raise SystemExit  # of this thread alone

    monkeypatch.setattr(traceback, "print_exc", fails)
    monkeypatch.setattr(os, "_exit", ends)
    standby = Standby(Deaf())  # type: ignore[arg-type]
    link, wire = socket.socketpair()
    with link, wire:
        standby.open(wire.fileno())
        standby.call()
        until(lambda: bool(statuses))
    assert statuses[0] == status


def test_what_the_clock_has_shown_is_said_later_if_it_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At the end of the stack, say; a later life needs it all the same, in its order."""
    link, _ = say()
    now_ns = time.time_ns()
    clock = link.speaker.clock = CellClock(now_ns, time.monotonic_ns(), now_ns - 10**9)

    def fails(*_: object) -> None:
        raise RecursionError

    link.say(TEXT)
    first = clock.reading()
    with monkeypatch.context() as patch:
        patch.setattr(link.speaker.stream, "take", fails)
        with pytest.raises(RecursionError):
            link.flush()
    later = time.monotonic() + 0.002
    until(lambda: time.monotonic() > later)
    second = clock.reading()
    link.flush()
    (message,) = link.speaker.stream.unacknowledged
    assert message.ticks == ((1, first), (2, second))


def test_a_copy_of_the_process_does_not_wait_for_threads_that_are_not_there() -> None:
    """Another thread was putting something out when the cell forked."""
    link, _ = say()
    output = Output(link, OwnWork("cell.py", link.say), None)
    output.write("kept back")
    taken, over = threading.Event(), threading.Event()

    def hold() -> None:
        with output._lock:
            taken.set()
            over.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    taken.wait()
    link._is_copy = True
    copy = threading.Thread(target=lambda: (output.text("a"), output.write("b\n")), daemon=True)
    copy.start()
    copy.join(0.5)
    hangs = copy.is_alive()
    over.set()
    holder.join()
    assert not hangs
