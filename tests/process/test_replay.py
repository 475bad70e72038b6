"""A worker may be killed at any moment: its cell goes on as if nothing had happened."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import tidemark
from tidemark import AlreadyRunning, Completed, PausableCell, Pending, Resumed, Text

from fakes.cells import (
    SECONDS,
    completed,
    consumed,
    in_state,
    pending,
    pid_of,
    queued,
    run_through,
    shown,
    texts,
)
from fakes.doors import Doors
from fakes.process_watch import alive, stopped
from fakes.running_supervisor import RunningSupervisor
from fakes.waiting import until

# Sequential calls, parallel ones, one that fails, timers, and everything that has to be told again.
SOURCE = """
import random, time, uuid, os
def facts():
    drawn = [random.random(), uuid.uuid4().hex, os.urandom(4).hex()]
    return [*drawn, time.time(), time.monotonic_ns()]
text("begin", facts(), {"ebb", "flow", "neap"}, {object().__class__.__name__})
notify("begun")
store("first", await tools.count(n=1))
text("one", load("first"), facts())
a, b = await asyncio.gather(tools.count(n=2), tools.count(n=3))
text("two", a, b, facts())
await asyncio.sleep(0.02)
text("slept", facts())
tasks = {asyncio.create_task(tools.count(n=n)) for n in (4, 5, 6)}
done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
text("first of three", sorted(t.result() for t in done))
await asyncio.wait(tasks)
try:
    await tools.count(n=-1)
except ToolError as error:
    text("failed", error.message)
delete("first")
exit([a, b, facts()])
"""


class Counter:
    """A tool that counts how often it ran for each number."""

    def __init__(self) -> None:
        self.runs: dict[int, int] = {}

    def count(self, n: int) -> int:
        self.runs[n] = self.runs.get(n, 0) + 1
        if n < 0:
            raise ValueError("below the datum")
        return n * 10


def kill(cell: Any) -> int:
    """SIGKILL the cell's worker, and wait until it is gone; its pid."""
    pid = pid_of(cell)
    os.kill(pid, signal.SIGKILL)
    until(lambda: cell.status().pid != pid, what=f"the end of worker {pid}")
    return pid


def lives(cell: Any) -> int:
    return sum(entry.what == "worker issued" for entry in cell.history())


@pytest.mark.parametrize("every", [1, 2, 3])
def test_a_worker_killed_at_frontiers_changes_nothing_that_can_be_seen(
    supervisor: RunningSupervisor, every: int
) -> None:
    counter = Counter()
    notices: list[str] = []
    with tidemark.Session(
        endpoint=supervisor.endpoint,
        tools=[counter.count],
        on_notify=lambda notice: notices.append(notice.text),
    ) as session:
        cell = session.create_pausable_cell(SOURCE)
        event: Any = cell.wait_to_pending(timeout=SECONDS)
        items: list[Text] = []
        turn = 0
        while isinstance(event, Pending):
            items += [item for item in event.output if isinstance(item, Text)]
            turn += 1
            before = cell.frontier()
            if turn % every == 0:
                kill(cell)
                assert cell.frontier() == before
                again = cell.wait_to_pending(timeout=SECONDS)
                assert again == event
            assert isinstance(cell.resume(event.generation, timeout=SECONDS), Resumed)
            event = cell.wait_to_pending(timeout=SECONDS)
        assert isinstance(event, Completed)
        assert event.reason == "ended", event.error
        items += [item for item in event.output if isinstance(item, Text)]
        assert [item.index for item in items] == list(range(len(items)))
        assert [item.text.split()[0] for item in items] == [
            *("begin", "one", "two", "slept", "first", "failed")
        ]
        assert counter.runs == dict.fromkeys((1, 2, 3, 4, 5, 6, -1), 1)
        assert cell.status().restarts == lives(cell) - 1 >= 5 // every
        assert session.stored.keys() == ()
    assert notices == ["begun"]


def test_a_resume_in_flight_is_answered_by_the_new_worker_once(
    session: tidemark.Session, doors: Doors
) -> None:
    cell = session.create_pausable_cell("text('a')\nb = await tools.knock(door='x')\ntext('b', b)")
    pending(cell)
    doors.open("x")
    queued(cell, 1)
    pid = pid_of(cell)
    os.kill(pid, signal.SIGSTOP)
    until(lambda: stopped(pid))
    with ThreadPoolExecutor() as pool:
        first = pool.submit(cell.resume, 1)
        in_state(cell, "continuing")
        second = pool.submit(cell.resume, 1)
        os.kill(pid, signal.SIGKILL)
        answers = [first.result(SECONDS), second.result(SECONDS)]
    assert {type(answer) for answer in answers} == {Resumed, AlreadyRunning}
    assert len(consumed(cell)) == 1
    assert shown(completed(cell)) == "b x"
    assert lives(cell) == 2


def test_a_cell_that_nobody_moves_needs_no_worker(session: tidemark.Session, doors: Doors) -> None:
    cell = session.create_pausable_cell("x = await tools.knock(door='x')\nexit(x)")
    pending(cell)
    kill(cell)
    doors.open("x")
    queued(cell, 1)
    assert cell.status().pid is None
    assert cell.status().state == "paused"
    assert lives(cell) == 1
    assert run_through(cell).value == "x"
    assert lives(cell) == 2


def test_a_continuing_cell_is_woken_by_an_input(session: tidemark.Session, doors: Doors) -> None:
    cell = session.create_cell(
        "text('a')\nx = await tools.knock(door='x')\ntext('b')\n"
        "y = await tools.knock(door='y')\ntext('c')\nexit([x, y])"
    )
    in_state(cell, "idle")
    kill(cell)
    assert cell.status().pid is None
    doors.open("x")
    until(lambda: any(e.what == "cell restored" for e in cell.history()))
    in_state(cell, "idle")
    kill(cell)
    doors.open("y")
    end = completed(cell)
    assert end.value == ["x", "y"]
    whole = [item for event in cell.watch() for item in texts(event.output)]
    assert whole == ["a", "b", "c"]
    assert lives(cell) == 3


def test_a_timer_wakes_a_cell_without_a_worker(session: tidemark.Session) -> None:
    cell = session.create_cell("text('a')\nawait asyncio.sleep(0.3)\nexit('rung')")
    in_state(cell, "idle")
    kill(cell)
    until(lambda: cell.status().state == "completed", what="the end")
    assert completed(cell).value == "rung"
    assert lives(cell) == 2


def test_a_worker_killed_between_frontiers_goes_on(session: tidemark.Session) -> None:
    source = """
for n in range(200):
    print(n)
    await asyncio.sleep(0.005)
exit("through")
"""
    cell = session.create_cell(source)
    got: list[str] = []
    kills = 0
    event: Any = None
    while not isinstance(event, Completed):
        event = cell.observe(0.15)
        got += "".join(texts(event.output)).split()
        if kills < 4 and not isinstance(event, Completed):
            kill(cell)
            kills += 1
    assert event.value == "through", event
    assert got == [str(n) for n in range(200)]
    assert kills == 4


def test_what_was_said_and_not_journaled_may_change_and_nobody_saw_it(
    open_session: Callable[..., tidemark.Session], place: Path
) -> None:
    session = open_session(isolation="process", replay=True)  # where it sees the test's files
    mark = place / "mark"
    cell = session.create_cell(
        f"import os\ntext('a')\nawait asyncio.sleep(0.01)\n"
        f"if not os.path.exists({str(mark)!r}):\n"
        f"    open({str(mark)!r}, 'w').close()\n    os._exit(9)\n"
        f"exit('second life')"
    )
    end = completed(cell)
    assert (end.reason, end.value) == ("ended", "second life")
    assert next(e.detail for e in cell.history() if e.what == "worker lost").count("status 9")


def test_a_divergence_ends_nothing_and_names_the_line(
    open_session: Callable[..., tidemark.Session],
) -> None:
    session = open_session(isolation="process", replay=True)  # at others its number is always 1
    cell = session.create_pausable_cell(
        "import os\n\ntext('I am', os.getpid())\nawait asyncio.sleep(0)\n"
        "await tools.knock(door='never')"
    )
    frontier = pending(cell)
    kill(cell)
    for _ in range(2):
        with pytest.raises(tidemark.ReplayDivergedError) as caught:
            cell.resume(1, timeout=SECONDS)
        assert caught.value.line == 3
        assert "I am" in caught.value.expected
        assert "I am" in caught.value.actual
        assert caught.value.expected != caught.value.actual
        assert cell.wait_to_pending(timeout=SECONDS) == frontier
        assert cell.status().state == "paused"
        assert cell.status().pid is None
    assert lives(cell) == 3
    assert consumed(cell) == []
    assert isinstance(cell.terminate(), tidemark.Terminated)


def test_a_divergence_of_a_continuing_cell_is_told_to_who_observes(
    open_session: Callable[..., tidemark.Session],
) -> None:
    session = open_session(isolation="process", replay=True)
    cell = session.create_cell("import os\nawait tools.knock(door=str(os.getpid()))")
    in_state(cell, "idle")
    kill(cell)
    with pytest.raises(tidemark.ReplayDivergedError) as caught:
        cell.observe(SECONDS)
    assert (caught.value.line, cell.status().state) == (2, "idle")
    assert "tool-1" in caught.value.expected
    assert cell.status().reason != ""


@pytest.mark.parametrize("how", ["os._exit(0)", "__import__('ctypes').string_at(0)"])
def test_poison_is_parked_with_its_evidence(
    session: tidemark.Session, doors: Doors, how: str
) -> None:
    doors.open("open")
    cell = session.create_pausable_cell(
        f"import os\ntext('a')\nx = await tools.knock(door='open')\n{how}"
    )
    pending(cell)
    queued(cell, 1)
    # A worker may be gone before its confirmation has left it.
    with suppress(tidemark.WorkerLostError):
        assert isinstance(cell.resume(1, timeout=SECONDS), Resumed)
    end = completed(cell)
    assert end.reason == "poison"
    assert end.error is not None
    assert end.error.count("the worker") == 3, end.error
    assert lives(cell) == 3
    assert cell.status().pid is None


def test_own_work_is_said_beforehand_and_not_run_again(session: tidemark.Session) -> None:
    cell = session.create_pausable_cell(
        "await asyncio.to_thread(len, 'x')\ntext('after')\nawait tools.knock(door='x')"
    )
    pending(cell)
    status = cell.status()
    assert (status.replayable, status.restarts) == (False, 0)
    kill(cell)
    assert in_state(cell, "completed").reason == "lost"


def test_replay_is_off_at_process_asked_for_by_name(
    open_session: Callable[..., tidemark.Session],
) -> None:
    named = open_session(isolation="process")
    asked = open_session(isolation="process", replay=True)
    for session, state in ((named, "completed"), (asked, "paused")):
        cell = session.create_pausable_cell("await tools.knock(door='x')")
        pending(cell)
        kill(cell)
        in_state(cell, state)
        assert cell.status().replayable is (session is asked)


def test_an_idle_cell_gives_up_its_worker_on_command(
    session: tidemark.Session, doors: Doors
) -> None:
    cell = session.create_pausable_cell("x = await tools.knock(door='x')\nexit(x)")
    frontier = pending(cell)
    pid = pid_of(cell)
    assert cell.hibernate() is None
    until(lambda: not alive(pid), what="the worker's end")
    assert cell.hibernate() is None  # a repeat changes nothing
    assert cell.wait_to_pending() == frontier
    assert cell.status().pid is None
    doors.open("x")
    queued(cell, 1)
    assert run_through(cell).value == "x"
    assert [e.detail for e in cell.history() if e.what == "worker lost"] == ["it was put to sleep"]


def test_a_busy_cell_keeps_its_worker(session: tidemark.Session) -> None:
    busy = session.create_cell("await asyncio.sleep(0.001)\nwhile True: pass")
    in_state(busy, "running")
    until(lambda: any(e.what == "timer due" for e in busy.history()))
    assert "running" in (busy.hibernate() or "")
    own = session.create_cell("await asyncio.to_thread(__import__('time').sleep, 30)")
    in_state(own, "idle")
    assert "thread" in (own.hibernate() or "")
    ended = session.create_cell("exit(1)")
    completed(ended)
    assert ended.hibernate() is None


def test_many_sleeping_cells_wake_and_end(session: tidemark.Session, doors: Doors) -> None:
    cells: list[PausableCell] = [
        session.create_pausable_cell(f"x = await tools.knock(door='d{n}')\nexit([x, {n}])")
        for n in range(12)
    ]
    for cell in cells:
        pending(cell)
        kill(cell)
    for n, cell in enumerate(cells):
        doors.open(f"d{n}")
        queued(cell, 1)
    with ThreadPoolExecutor(12) as pool:
        ends = list(pool.map(run_through, cells))
    assert [end.value for end in ends] == [[f"d{n}", n] for n in range(12)]


def test_a_past_larger_than_the_window_of_the_worker(session: tidemark.Session) -> None:
    cell = session.create_pausable_cell(
        "for n in range(12):\n    text(str(n) * 300_000)\n    await asyncio.sleep(0)\n"
        "    for m in range(120):\n        print(n, m)\n    await asyncio.sleep(0.001)"
    )
    event: Any = cell.wait_to_pending(timeout=SECONDS)
    while isinstance(event, Pending):
        if event.generation in (2, 5, 11):
            kill(cell)
        assert isinstance(cell.resume(event.generation, timeout=SECONDS), Resumed)
        event = cell.wait_to_pending(timeout=SECONDS)
    assert event.reason == "ended"
    assert lives(cell) == 4


def test_a_past_of_many_inputs(session: tidemark.Session) -> None:
    cell = session.create_cell(
        "for n in range(1500):\n    await asyncio.sleep(0.0001)\n    if n % 10 == 0: print(n)\n"
        "text('half')\nawait tools.knock(door='x')\nexit('through')"
    )
    until(lambda: cell.status().waiting_on, seconds=40, what="the call")
    kill(cell)
    assert "half" in shown(cell.observe(0))
    assert cell.status().waiting_on == ("tool-1: knock",)
    cell.observe(0.05)  # an observer wakes it
    until(lambda: cell.status().state == "idle" and cell.status().pid is not None, seconds=40)
    assert cell.status().restarts == 1
