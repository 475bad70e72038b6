"""Replays that somebody tries to break."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
import tidemark
from tidemark import Pending, Resumed

from fakes.cells import SECONDS, completed, in_state, pending, pid_of, queued, run_through, texts
from fakes.doors import Doors
from fakes.waiting import until


def kill(cell: Any) -> int:
    """SIGKILL the cell's worker, and wait until it is gone; its pid."""
    pid = pid_of(cell)
    os.kill(pid, signal.SIGKILL)
    until(lambda: cell.status().pid != pid, what=f"the end of worker {pid}")
    return pid


def test_a_past_larger_than_the_window_of_a_worker(
    session: tidemark.Session, doors: Doors
) -> None:
    """A worker stops when 1 MiB of what it said is not acknowledged, also in a replay."""
    cell = session.create_pausable_cell(
        "for n in range(60):\n    text(str(n) * 60_000)\n"
        "x = await tools.knock(door='x')\ntext(x)"
    )
    before = pending(cell)
    kill(cell)
    doors.open("x")
    queued(cell, 1)
    assert isinstance(cell.resume(1, timeout=SECONDS), Resumed)
    assert len(texts(before.output)) == 60
    assert texts(completed(cell).output)[-1] == "x"


def test_a_past_of_many_small_messages(session: tidemark.Session, doors: Doors) -> None:
    cell = session.create_pausable_cell(
        "for n in range(2500):\n    notify(n)\nx = await tools.knock(door='x')\ntext(x)"
    )
    pending(cell)
    kill(cell)
    doors.open("x")
    assert isinstance(cell.resume(1, timeout=SECONDS), Resumed)
    assert texts(completed(cell).output)[-1] == "x"
