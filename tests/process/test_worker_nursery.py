"""The nursery of a zygote when the machine gives it a process and nothing more."""

from __future__ import annotations

import errno
import gc
import importlib
import os
import resource
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from tidemark.protocol.errors import ToolError
from tidemark.protocol.ids import Incarnation
from tidemark.protocol.limits import Limits
from tidemark.protocol.zygote_messages import Ended, Fork
from tidemark.worker.isolation.quarters import OpenQuarters

FORK = Fork(b"t" * 16, "cell", Incarnation(1, 1), "ipc://nowhere", Limits())
YOUNG_MAX = 100  # what the way from there to the fork makes; a test has some 100,000 objects


@contextmanager
def nursery_in(
    path: Path, monkeypatch: pytest.MonkeyPatch, fork: Callable[[], int]
) -> Iterator[Any]:
    # Whoever imports it has a `ToolError` as cells see it.
    monkeypatch.setattr(ToolError, "__module__", ToolError.__module__)
    of_zygote = importlib.import_module("tidemark.worker.nursery")
    work, one_thread = path / "work", path / "tasks"
    work.mkdir()
    (one_thread / "1").mkdir(parents=True)
    proc = os.open("/proc", os.O_RDONLY)
    nobody: Any = None  # what a worker needs: nobody here becomes one
    nursery = of_zygote.Nursery(OpenQuarters(str(work), proc), nobody, fork, nobody)
    monkeypatch.setattr(nursery, "_tasks", str(one_thread))  # a test has threads of others
    try:
        yield nursery
    finally:
        gc.unfreeze()
        os.close(proc)


def sleeper() -> int:
    return os.posix_spawn("/bin/sleep", ["sleep", "100"], {})


@pytest.mark.parametrize(
    ("owner", "name"), [(os, "pidfd_open"), (OpenQuarters, "number_outside")], ids=["fd", "number"]
)
def test_what_was_made_for_a_worker_that_cannot_be_watched_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    def fails(*_: object) -> int:
        raise OSError(errno.EMFILE, "no descriptor is left")

    with nursery_in(tmp_path, monkeypatch, sleeper) as nursery:
        monkeypatch.setattr(owner, name, fails)
        gc.collect()  # a fork does, and then closes what other tests have left to be found
        children, descriptors = psutil.Process().children(), len(os.listdir("/proc/self/fd"))
        with pytest.raises(OSError, match="no descriptor is left"):
            nursery.fork(FORK)
        assert not os.listdir(tmp_path / "work")
        assert psutil.Process().children() == children
        assert len(os.listdir("/proc/self/fd")) == descriptors


def test_a_worker_finds_nothing_of_its_zygote_to_collect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ring:
        def __init__(self) -> None:
            self.ring = self

    found: list[tuple[bool, int]] = []

    def fork() -> int:
        found.append((seen() is None, len(gc.get_objects())))
        raise OSError(errno.EAGAIN, "as far as this test goes")

    with nursery_in(tmp_path, monkeypatch, fork) as nursery:
        seen = weakref.ref(Ring())
        assert seen() is not None  # garbage, and in nobody's way but a collection's
        with pytest.raises(OSError, match="as far as"):
            nursery.fork(FORK)
    ((is_gone, young),) = found
    assert is_gone
    assert young < YOUNG_MAX


def test_threads_that_garbage_has_started_are_seen_before_a_fork(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Starter:
        def __init__(self) -> None:
            self.ring = self

        def __del__(self) -> None:
            (tmp_path / "tasks" / "2").mkdir(exist_ok=True)

    def fork() -> int:
        raise AssertionError("it has two threads")

    with nursery_in(tmp_path, monkeypatch, fork) as nursery:
        Starter()
        with pytest.raises(OSError, match="2 threads"):
            nursery.fork(FORK)


def test_a_zygote_without_a_descriptor_left_goes_on_reaping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with nursery_in(tmp_path, monkeypatch, sleeper) as nursery:
        child = nursery.fork(FORK)
        nursery.kill(FORK.token)
        ended: list[Ended] = []
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        # The lowest number that was free, and now is not even when its pidfd has been closed.
        resource.setrlimit(resource.RLIMIT_NOFILE, (child.pidfd, limits[1]))
        try:
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
            nursery.reap(ended.append)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert [end.token for end in ended] == [FORK.token]
    assert "was not seen" in capfd.readouterr().err
