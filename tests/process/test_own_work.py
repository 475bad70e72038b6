"""Threads, sockets and files of a cell's own: seen, queued while it is paused, and flagged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import tidemark
from tidemark import Pending

from fakes.cells import completed, in_state, pending, shown
from fakes.doors import Doors
from fakes.waiting import until

THREAD = """
import threading
gate = threading.Event()
task = asyncio.create_task(asyncio.to_thread(gate.wait))
await asyncio.sleep(0.01)
gate.set()
exit(await task)
"""

SOCKET = """
import socket
near, far = socket.socketpair()
near.setblocking(False)
far.setblocking(False)
loop = asyncio.get_running_loop()
reading = asyncio.create_task(loop.sock_recv(near, 100))
await asyncio.sleep(0.01)
await loop.sock_sendall(far, b"through")
exit((await reading).decode())
"""

READER = """
import os
reading, writing = os.pipe()
arrived = asyncio.get_running_loop().create_future()
asyncio.get_running_loop().add_reader(reading, lambda: arrived.done() or arrived.set_result(1))
await asyncio.sleep(0.01)
os.write(writing, b"x")
await arrived
asyncio.get_running_loop().remove_reader(reading)
exit(os.read(reading, 10).decode())
"""


@pytest.mark.parametrize(
    ("source", "named", "value"),
    [(THREAD, "thread", True), (SOCKET, "descriptor", "through"), (READER, "descriptor", "x")],
    ids=["thread", "socket", "reader"],
)
def test_own_work_is_shown_and_flagged(
    session: tidemark.Session, source: str, named: str, value: object
) -> None:
    cell = session.create_pausable_cell(source)
    event = pending(cell)
    assert event.own_work
    assert named in event.own_work[0]
    frontier = cell.frontier()
    assert frontier is not None
    assert frontier.own_work == event.own_work
    status = cell.status()
    assert not status.replayable
    assert not status.stuck
    assert status.reason  # why it cannot be replayed
    following: object = event
    while isinstance(following, Pending):
        following = cell.step(following.generation)
    assert isinstance(following, tidemark.Completed)
    assert (following.error, following.value) == (None, value)


@pytest.mark.parametrize("source", [THREAD, SOCKET, READER], ids=["thread", "socket", "reader"])
def test_own_work_moves_a_continuing_cell(session: tidemark.Session, source: str) -> None:
    end = completed(session.create_cell(source))
    assert end.error is None


def test_own_work_waits_while_the_cell_is_paused(
    open_session: Callable[..., tidemark.Session], doors: Doors
) -> None:
    session = open_session(isolation="process")  # where the test sees its files
    cell = session.create_pausable_cell("""
import os, threading
ready = os.path.abspath("ready")
def work():
    open(ready, "w").close()
    return "worked"
task = asyncio.create_task(asyncio.to_thread(work))
task.add_done_callback(lambda done: text("seen "))
await asyncio.sleep(0)
text(ready)
await tools.knock(door="a")
text("door ")
await task
""")
    event = pending(cell)
    ready = shown(event)
    until(Path(ready).exists)  # threads are not stopped by a pause
    assert pending(cell) == event  # but what they brought is not handed over
    assert event.own_work != ()
    assert not cell.status().stuck
    following = cell.step(1)
    doors.open("a")
    output = shown(following) if isinstance(following, Pending) else ""
    while isinstance(following, Pending):
        following = cell.step(following.generation)
        output += shown(following)  # type: ignore[arg-type]
    assert sorted(output.split()) == ["door", "seen"]


def test_a_thread_that_never_ends_is_no_reason_to_call_a_cell_stuck(
    session: tidemark.Session,
) -> None:
    cell = session.create_pausable_cell("""
import threading
threading.Thread(target=threading.Event().wait, name="waiter", daemon=True).start()
await asyncio.Event().wait()
""")
    event = pending(cell)
    assert any("waiter" in line for line in event.own_work)
    assert not cell.status().stuck
    assert isinstance(cell.terminate(), tidemark.Terminated)


def test_a_cell_without_own_work_is_replayable(session: tidemark.Session) -> None:
    cell = session.create_pausable_cell("await tools.knock(door='a')")
    assert pending(cell).own_work == ()
    status = cell.status()
    assert status.replayable
    assert status.reason is None


def test_output_of_a_thread_is_kept(session: tidemark.Session) -> None:
    cell = session.create_cell("""
import threading
thread = threading.Thread(target=lambda: print("from a thread"))
thread.start()
thread.join()
""")
    assert shown(completed(cell)) == "from a thread\n"
    assert not in_state(cell, "completed").replayable
