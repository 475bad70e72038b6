"""How calls end that nobody waits for, and that nobody is held up by them."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import tidemark

from fakes.cells import completed, pending, run_through, shown
from fakes.doors import Doors
from fakes.running_supervisor import RunningSupervisor
from fakes.waiting import until

HELD_UP_SECONDS_MAX = 1.5  # 100 ms are allowed; the rest is a machine with other work


class Patient:
    """`wait` is an async tool that never ends by itself, and keeps what happened to it."""

    def __init__(self) -> None:
        self.begun = 0
        self.cancelled = 0
        self.stubborn_until = threading.Event()

    async def wait(self) -> None:
        """Wait for ever."""
        self.begun += 1
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def ignore(self) -> str:
        """Wait, whatever is said."""
        self.begun += 1
        while not self.stubborn_until.is_set():
            try:
                await asyncio.sleep(0.02)
            except asyncio.CancelledError:
                self.cancelled += 1
        return "late"

    def block(self) -> str:
        """Block a thread."""
        self.begun += 1
        self.stubborn_until.wait(30)
        return "late"


def test_calls_not_awaited_are_cancelled_at_completion(open_session: Any) -> None:
    patient = Patient()

    def begun(count: int) -> int:
        until(lambda: patient.begun >= count)
        return patient.begun

    session = open_session(tools=[patient.wait, begun])
    cell = session.create_cell("""
calls = [tools.wait() for _ in range(3)]
await tools.begun(count=3)
text("done")
""")
    started = time.monotonic()
    end = completed(cell)
    assert (shown(end), end.reason) == ("done", "ended")
    assert time.monotonic() - started < HELD_UP_SECONDS_MAX
    assert patient.cancelled == 3  # before the completion was delivered
    assert patient.begun == 3


def test_a_cell_without_open_calls_is_not_held_up(open_session: Any) -> None:
    session = open_session()
    completed(session.create_cell(""))
    started = time.monotonic()
    for _ in range(10):
        completed(session.create_cell(""))
    assert time.monotonic() - started < 10 * 0.1


def test_a_cancelled_task_cancels_its_call(open_session: Any) -> None:
    patient = Patient()
    session = open_session(tools=[patient.wait])
    cell = session.create_pausable_cell("""
task = asyncio.create_task(tools.wait())
await asyncio.sleep(0.02)
task.cancel()
try:
    await task
except asyncio.CancelledError:
    text("cancelled")
await asyncio.sleep(0.02)
""")
    event = pending(cell)
    assert [call.id for call in event.tool_calls] == ["tool-1"]
    until(lambda: patient.begun)
    following = cell.step(1)
    assert isinstance(following, tidemark.Pending)
    assert following.tool_calls == ()
    until(lambda: patient.cancelled == 1)  # while the cell goes on
    assert run_through(cell).reason == "ended"


def test_tools_that_do_not_cooperate_hold_nobody_up(open_session: Any) -> None:
    for name in ("ignore", "block"):
        patient = Patient()
        session = open_session(tools=[patient.ignore, patient.block])
        try:
            cell = session.create_cell(f"call = tools.{name}()\nawait asyncio.sleep(0.05)")
            until(lambda p=patient: p.begun)
            started = time.monotonic()
            assert completed(cell).reason == "ended"
            other = session.create_cell(f"await tools.{name}()")
            until(lambda p=patient: p.begun == 2)
            assert isinstance(other.terminate(), tidemark.Terminated)
            assert time.monotonic() - started < 2 * HELD_UP_SECONDS_MAX
            assert completed(session.create_cell("exit(1)")).value == 1
        finally:
            patient.stubborn_until.set()


def test_terminate_cancels_what_runs_then_answers(open_session: Any) -> None:
    patient = Patient()
    session = open_session(tools=[patient.wait])
    cell = session.create_cell("await asyncio.gather(*(tools.wait() for _ in range(5)))")
    until(lambda: patient.begun == 5)
    started = time.monotonic()
    assert isinstance(cell.terminate(), tidemark.Terminated)
    assert time.monotonic() - started < HELD_UP_SECONDS_MAX
    assert patient.cancelled == 5


def test_closing_a_session_with_a_blocked_tool_ends(supervisor: RunningSupervisor) -> None:
    patient = Patient()
    session = tidemark.Session(endpoint=supervisor.endpoint, tools=[patient.block, patient.ignore])
    cell = session.create_cell("await asyncio.gather(tools.block(), tools.ignore())")
    until(lambda: patient.begun == 2)
    started = time.monotonic()
    closing = threading.Thread(target=session.close)
    closing.start()
    until(lambda: patient.cancelled)
    patient.stubborn_until.set()
    closing.join(10)
    assert not closing.is_alive()
    assert time.monotonic() - started < 2 * HELD_UP_SECONDS_MAX
    with tidemark.connect(supervisor.endpoint) as client:
        assert client.cell(cell.id).status().state == "terminated"


def test_a_result_after_the_end_changes_nothing(session: tidemark.Session, doors: Doors) -> None:
    cell = session.create_cell("call = tools.knock(door='late')\nawait tools.knock(door='open')")
    doors.until_knocked("late")
    doors.open("open")
    end = completed(cell)
    before = cell.history()
    doors.open("late")
    assert completed(session.create_cell("exit(1)")).value == 1
    assert cell.terminate() == end
    later = {entry.what for entry in cell.history()[len(before) :]}
    assert later <= {"calls cancelled", "event acknowledged"}


def test_notifications_come_in_order_beside_the_output(open_session: Any) -> None:
    heard: list[tidemark.Notification] = []
    session = open_session(tools=[], on_notify=heard.append)
    cell = session.create_pausable_cell("""
for n in range(150):
    notify(f"n{n}")
text("out")
await asyncio.sleep(0.001)
notify("last")
""")
    assert shown(pending(cell)) == "out"
    until(lambda: len(heard) == 150)
    assert [note.text for note in heard] == [f"n{n}" for n in range(150)]
    assert [note.number for note in heard] == list(range(1, 151))
    assert {note.cell_id for note in heard} == {cell.id}
    run_through(cell)
    until(lambda: len(heard) == 151)
    assert heard[-1] == tidemark.Notification(cell.id, 151, "last")


def test_a_burst_of_notifications_comes_whole_and_leaves_room_for_calls(
    open_session: Any, doors: Doors
) -> None:
    heard: list[int] = []
    session = open_session(tools=[doors.knock], on_notify=lambda note: heard.append(note.number))
    cell = session.create_cell("""
for n in range(3000):
    notify(n)
exit(await tools.knock(door="after"))
""")
    doors.open("after")
    assert completed(cell).value == "after"
    until(lambda: len(heard) >= 3000)
    assert heard == list(range(1, 3001))


def test_notifications_wait_for_a_holder(open_session: Any) -> None:
    session = open_session("waiting notes", tools=[])
    heard: list[str] = []
    cell = session.create_cell("await asyncio.sleep(0.05)\nfor n in range(20): notify(n)")
    session.detach()
    again = open_session("waiting notes", tools=[], on_notify=lambda note: heard.append(note.text))
    completed(again.cell(cell.id))
    until(lambda: len(heard) >= 20)
    assert heard == [str(n) for n in range(20)]


def test_a_callback_that_fails_or_is_async_keeps_the_order(open_session: Any) -> None:
    heard: list[int] = []

    async def listen(note: tidemark.Notification) -> None:
        await asyncio.sleep(0)
        heard.append(note.number)
        if note.number % 2:
            raise ValueError("a listener's own trouble")

    session = open_session(tools=[], on_notify=listen)
    completed(session.create_cell("for n in range(10): notify('x')"))
    until(lambda: len(heard) == 10)
    assert heard == list(range(1, 11))


def test_code_of_a_host_that_exits_does_not_end_its_session(open_session: Any) -> None:
    told: list[int] = []

    def interrupt() -> None:
        raise KeyboardInterrupt

    async def interrupt_here() -> None:
        raise KeyboardInterrupt

    async def leave_in_a_task() -> str:
        async def leave() -> None:
            raise SystemExit(3)

        await asyncio.wait([asyncio.ensure_future(leave())])
        return "left"

    def on_notify(notification: tidemark.Notification) -> None:
        told.append(notification.number)
        raise SystemExit(1)

    tools = [interrupt, interrupt_here, leave_in_a_task]
    session = open_session(tools=tools, on_notify=on_notify)
    cell = session.create_cell("""
notify("a")
for tool in (tools.interrupt, tools.interrupt_here):
    try: await tool()
    except ToolError as error: text(error)
text(await tools.leave_in_a_task())
notify("b")
""")
    end = completed(cell)
    assert end.reason == "ended"
    texts = [item.text for item in end.output if isinstance(item, tidemark.Text)]
    assert texts == ["KeyboardInterrupt", "KeyboardInterrupt", "left"]
    until(lambda: told == [1, 2], what="both notifications")
