"""A zygote that a killed supervisor had only just started meets that of its successor."""

from __future__ import annotations

import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import psutil
import pytest
from tidemark.supervisor.core.events import FleetEvent, LevelExamined, WorkersListed
from tidemark.supervisor.shell.os_processes import OsProcesses
from tidemark.supervisor.shell.zygote_seat import ENDED_EARLY
from tidemark.supervisor.shell.zygote_start import StartedZygote, start_zygote, zygote_socket

from fakes.waiting import until

LEVEL = "process"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    path = tmp_path / "run"
    path.mkdir(0o700)
    (tmp_path / "work").mkdir()
    return path


def options(run: Path) -> list[str]:
    # With a place for its cells, as from a supervisor: one of its own it cannot remove when killed.
    pid = str(psutil.Process().pid)
    return ["--supervisor-pid", pid, "--work", str(run.parent / "work")]


def started(run: Path) -> StartedZygote:
    extra = [*options(run), "--orphan-seconds", "10"]
    return start_zygote(zygote_socket(run, LEVEL), LEVEL, extra, sys.stderr.fileno())


@pytest.fixture
def first(run: Path) -> Iterator[StartedZygote]:
    zygote = started(run)
    yield zygote
    zygote.abandon()


def examined(processes: OsProcesses) -> tuple[LevelExamined, list[FleetEvent]]:
    heard: list[FleetEvent] = []

    def found() -> LevelExamined | None:
        heard.extend(processes.drain())
        return next((each for each in heard if isinstance(each, LevelExamined)), None)

    answer = until(found, what="whether the level can be had")
    assert answer is not None
    return answer, heard


@contextmanager
def blocked() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def ignored() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("sigterm", [blocked, ignored])
def test_one_on_its_way_is_ended_whatever_its_host_does_with_sigterm(
    run: Path, sigterm: Callable[[], AbstractContextManager[None]]
) -> None:
    with sigterm():
        zygote = started(run)
    zygote.abandon()
    assert zygote.process.returncode == -signal.SIGTERM  # and not for want of patience


def test_who_comes_second_makes_way_for_the_first(run: Path, first: StartedZygote) -> None:
    """The first was not listening when the successor looked for it, so another was started."""
    select.select([first.ready], [], [], 20)
    second = started(run)
    processes = OsProcesses(run, "", 2, [], sys.stderr.fileno(), second)
    with closing(_Ending(processes)):
        answer, heard = examined(processes)
        assert answer == LevelExamined(LEVEL, ())
        until(lambda: second.process.poll() is not None, what="the end of the second")
        heard += processes.drain()
        listed = [each for each in heard if isinstance(each, WorkersListed)]
        assert WorkersListed((), fresh=True, level=LEVEL) in listed
        assert first.process.poll() is None
    until(lambda: first.process.poll() is not None, what="the end of the first")


def test_what_was_not_tried_when_it_was_found_is_tried_anew(
    run: Path, first: StartedZygote
) -> None:
    """A zygote listens before it has tried its level, and may end because of what it finds."""
    select.select([first.ready], [], [], 20)
    psutil.Process(first.process.pid).suspend()
    processes = OsProcesses(run, "", 2, options(run), sys.stderr.fileno(), None)
    with closing(_Ending(processes)):
        processes.examine(LEVEL)
        assert not [each for each in processes.drain() if isinstance(each, LevelExamined)]
        first.process.kill()
        answer, _ = examined(processes)
        assert answer == LevelExamined(LEVEL, ())


def test_a_zygote_that_dies_when_it_is_ready_is_followed_by_another(run: Path) -> None:
    """Its end says nothing of the level, and nothing that was asked for is lost."""
    dying = started(run)
    select.select([dying.ready], [], [], 20)
    dying.process.kill()
    dying.process.wait()
    processes = OsProcesses(run, "", 2, options(run), sys.stderr.fileno(), dying)
    with closing(_Ending(processes)):
        answer, _ = examined(processes)
        assert answer == LevelExamined(LEVEL, ())


def test_a_zygote_that_cannot_start_is_not_tried_for_ever(run: Path) -> None:
    extra = ["--no-such-option"]
    processes = OsProcesses(run, "", 2, extra, sys.stderr.fileno(), None)
    with closing(_Ending(processes)):
        processes.examine(LEVEL)
        answer, _ = examined(processes)
        assert answer == LevelExamined(LEVEL, (ENDED_EARLY,))


class _Ending:
    def __init__(self, processes: OsProcesses) -> None:
        self._processes = processes

    def close(self) -> None:
        self._processes.end_all(10)
