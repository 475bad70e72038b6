"""The nursery of a zygote when the machine gives it a process and nothing more."""

from __future__ import annotations

import errno
import importlib
import os
from pathlib import Path
from typing import Any

import psutil
import pytest
from tidemark.protocol.errors import ToolError
from tidemark.protocol.ids import Incarnation
from tidemark.protocol.limits import Limits
from tidemark.protocol.zygote_messages import Fork
from tidemark.worker.isolation.quarters import OpenQuarters


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

    # Whoever imports it has a `ToolError` as cells see it.
    monkeypatch.setattr(ToolError, "__module__", ToolError.__module__)
    of_zygote = importlib.import_module("tidemark.worker.nursery")
    work, one_thread = tmp_path / "work", tmp_path / "tasks"
    work.mkdir()
    (one_thread / "1").mkdir(parents=True)
    proc = os.open("/proc", os.O_RDONLY)
    nobody: Any = None  # what a worker needs: this one only waits until it is killed
    nursery = of_zygote.Nursery(OpenQuarters(str(work), proc), nobody, sleeper, nobody)
    monkeypatch.setattr(nursery, "_tasks", str(one_thread))  # a test has threads of others
    fork = Fork(b"t" * 16, "cell", Incarnation(1, 1), "ipc://nowhere", Limits())
    monkeypatch.setattr(owner, name, fails)
    children, descriptors = psutil.Process().children(), len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="no descriptor is left"):
        nursery.fork(fork)
    assert not os.listdir(work)
    assert psutil.Process().children() == children
    assert len(os.listdir("/proc/self/fd")) == descriptors
    os.close(proc)
