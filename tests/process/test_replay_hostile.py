"""Replays that somebody tries to break."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import tidemark
from tidemark import Resumed

from fakes.cells import SECONDS, completed, in_state, pending, pid_of, queued, texts
from fakes.doors import Doors
from fakes.waiting import until


def kill(cell: Any) -> int:
    """SIGKILL the cell's worker, and wait until it is gone; its pid."""
    pid = pid_of(cell)
    os.kill(pid, signal.SIGKILL)
    until(lambda: cell.status().pid != pid, what=f"the end of worker {pid}")
    return pid


def test_a_past_larger_than_the_window_of_a_worker(session: tidemark.Session, doors: Doors) -> None:
    """A worker stops when 1 MiB of what it said is not acknowledged, also in a replay."""
    cell = session.create_pausable_cell(
        "for n in range(60):\n    text(str(n) * 60_000)\nx = await tools.knock(door='x')\ntext(x)"
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


@pytest.mark.parametrize(
    "shows",
    [
        "import os\ntext(os.getcwd())",
        "import os\nopen('log', 'w').close()\ntext(os.path.abspath('log'), os.listdir())",
        "import os, sys\ntext(dict(os.environ), sys.argv, sys.path)",
        "import threading\ntext(threading.current_thread().name, threading.active_count())",
        "import subprocess\ntext(subprocess.run(['echo', 'x'], capture_output=True).stdout)",
        "import os\nif not (child := os.fork()):\n    print('copy')\n    os._exit(0)\n"
        "text(os.waitpid(child, 0)[1])",
        "def dive(n):\n    try:\n        return dive(n + 1)\n    except RecursionError:\n"
        "        return n\ntext(dive(0))",
    ],
)
def test_what_a_cell_may_show_is_the_same_in_every_life(
    open_session: Callable[..., tidemark.Session], doors: Doors, shows: str
) -> None:
    starts = "subprocess" in shows or "fork" in shows  # which only this level lets it do
    session = open_session(isolation="process", replay=True) if starts else open_session()
    doors.open("x")
    cell = session.create_pausable_cell(f"{shows}\nx = await tools.knock(door='x')\nexit(x)")
    pending(cell)
    queued(cell, 1)
    kill(cell)
    assert isinstance(cell.resume(1, timeout=SECONDS), Resumed)
    assert completed(cell).value == "x"


def test_the_place_of_a_life_is_another_life_s_at_once(
    session: tidemark.Session, doors: Doors
) -> None:
    """Files of the life before are gone from it, however many and however fast it is replaced."""
    cell = session.create_cell(
        "import os\nfound = os.listdir()\nfor n in range(300):\n    open(f'f{n}', 'w').close()\n"
        "text(found, os.getcwd())\nawait tools.knock(door='x')\nexit(len(os.listdir()))"
    )
    in_state(cell, "idle")
    for life in (1, 2, 3):
        assert cell.hibernate() is None
        with ThreadPoolExecutor() as pool:
            watching = pool.submit(cell.observe, 0.5)
            until(lambda life=life: _restored(cell) == life, what=f"life {life}")  # type: ignore[misc]
            watching.result(SECONDS)
    doors.open("x")
    assert completed(cell).value == 300


def _restored(cell: Any) -> int:
    return sum(entry.what == "cell restored" for entry in cell.history())


def test_a_clock_that_is_read_within_a_reading(session: tidemark.Session, doors: Doors) -> None:
    """A signal handler does that; whatever it leads to, somebody is told."""
    cell = session.create_pausable_cell(
        "import signal, time\nsignal.signal(signal.SIGALRM, lambda *_: time.time())\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)\nend = time.time() + 1\n"
        "while time.time() < end: pass\nsignal.setitimer(signal.ITIMER_REAL, 0)\n"
        "await tools.knock(door='x')"
    )
    pending(cell)
    kill(cell)
    try:
        answer = cell.resume(1, timeout=SECONDS)
    except tidemark.ReplayDivergedError:
        return
    assert isinstance(answer, Resumed)


def test_replays_that_hang_keep_nobody_else(
    session: tidemark.Session, doors: Doors, place: Path
) -> None:
    mark = place / "mark"
    hanging = [
        session.create_cell(
            f"import os\nwhile os.path.exists({str(mark)!r}): pass\nawait tools.knock(door='never')"
        )
        for _ in range(3)
    ]
    good = session.create_pausable_cell("exit(await tools.knock(door='x'))")
    frontier = pending(good)
    for cell in hanging:
        in_state(cell, "idle")
    mark.touch()
    for each in (good, *hanging):
        kill(each)
    with ThreadPoolExecutor() as pool:
        watching = [pool.submit(cell.observe, SECONDS) for cell in hanging]
        for cell in hanging:
            until(lambda cell=cell: cell.status().pid, what="a worker that hangs")  # type: ignore[misc]
        doors.open("x")
        assert isinstance(good.resume(frontier.generation, timeout=SECONDS), Resumed)
        assert completed(good).value == "x"
        for cell in hanging:
            cell.terminate()
        assert {type(each.result(SECONDS)) for each in watching} == {tidemark.Terminated}
