"""What a frontier lists, what moves a cell, and what one resume takes."""

from __future__ import annotations

import random
import time

import pytest
import tidemark
from tidemark import Pending, Resumed

from fakes.cells import calls, completed, in_state, pending, queued, run_through, shown
from fakes.doors import Doors
from fakes.waiting import until

TWELVE = """
names = [f"d{n}" for n in range(1, 13)]
heard = []
async def one(name):
    heard.append(await tools.knock(door=name))
await asyncio.gather(*(one(name) for name in names))
exit(heard)
"""


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("stepping", ["drain", "one"])
def test_twelve_calls_that_finish_in_any_order(
    session: tidemark.Session, doors: Doors, seed: int, stepping: str
) -> None:
    cell = session.create_pausable_cell(TWELVE, stepping=stepping)
    order = list(range(1, 13))
    random.Random(seed).shuffle(order)
    outstanding = list(range(1, 13))
    event = pending(cell)
    assert calls(event) == [f"tool-{n}" for n in outstanding]
    assert all(call.new for call in event.tool_calls)
    assert [call.arguments for call in event.tool_calls] == [{"door": f"d{n}"} for n in outstanding]
    for number in order[:-1]:
        doors.open(f"d{number}")
        outstanding.remove(number)
        following = cell.step(event.generation)
        assert isinstance(following, Pending)
        assert following.generation == event.generation + 1
        assert calls(following) == [f"tool-{n}" for n in outstanding]
        assert not any(call.new for call in following.tool_calls)
        assert cell.status().waiting_on == tuple(f"tool-{n}: knock" for n in outstanding)
        event = following
    doors.open(f"d{order[-1]}")
    end = cell.step(event.generation)
    assert isinstance(end, tidemark.Completed)
    assert end.value == [f"d{n}" for n in order]


def test_new_calls_are_marked_among_old_ones(session: tidemark.Session, doors: Doors) -> None:
    cell = session.create_pausable_cell("""
async def chain(first, second):
    await tools.knock(door=first)
    await tools.knock(door=second)
async with asyncio.TaskGroup() as group:
    group.create_task(chain("a", "b"))
    group.create_task(chain("c", "d"))
""")
    event = pending(cell)
    assert [(call.id, call.new) for call in event.tool_calls] == [
        ("tool-1", True),
        ("tool-2", True),
    ]
    doors.open("a")
    following = cell.step(1)
    assert isinstance(following, Pending)
    assert [(call.id, call.arguments["door"], call.new) for call in following.tool_calls] == [
        ("tool-2", "c", False),
        ("tool-3", "b", True),
    ]
    doors.open("b", "c", "d")
    run_through(cell)


def test_two_results_that_wait_make_one_step(session: tidemark.Session, doors: Doors) -> None:
    cell = session.create_pausable_cell(TWELVE)
    pending(cell)
    doors.open("d1", "d2")
    queued(cell, 2)
    event = cell.step(1)
    assert isinstance(event, Pending)
    assert calls(event) == [f"tool-{n}" for n in range(3, 13)]
    assert event.generation == 2


def test_one_result_makes_a_frontier_that_lists_the_other_call(
    session: tidemark.Session, doors: Doors
) -> None:
    cell = session.create_pausable_cell("""
text(await asyncio.gather(tools.knock(door="a"), tools.knock(door="b")))
""")
    assert calls(pending(cell)) == ["tool-1", "tool-2"]
    doors.open("b")
    event = cell.step(1)
    assert isinstance(event, Pending)
    assert calls(event) == ["tool-1"]
    doors.open("a")
    assert shown(cell.step(2)) == '["a", "b"]'  # type: ignore[arg-type]


def test_stepping_by_one_takes_one_input_however_many_wait(
    session: tidemark.Session, doors: Doors
) -> None:
    cell = session.create_pausable_cell(TWELVE, stepping="one")
    pending(cell)
    doors.open(*[f"d{n}" for n in range(1, 13)])
    queued(cell, 12)
    event = pending(cell)
    left = 12
    while isinstance(event, Pending):
        assert len(event.tool_calls) == left
        left -= 1
        event = cell.step(event.generation)  # type: ignore[assignment]
    assert left == 0
    assert isinstance(event, tidemark.Completed)


def test_a_paused_cell_does_not_move_while_its_inputs_wait(
    session: tidemark.Session, doors: Doors
) -> None:
    cell = session.create_pausable_cell("""
text("one ")
await tools.knock(door="a")
text("two ")
await tools.knock(door="b")
""")
    first = pending(cell)
    doors.open("a")
    queued(cell, 1)
    for _ in range(3):
        assert pending(cell) == first
    status = cell.status()
    assert (status.state, status.generation, status.consumed_generation) == ("paused", 1, 0)
    event = cell.step(1)
    assert shown(event) == "two "  # type: ignore[arg-type]


def test_a_resume_with_nothing_queued_waits_for_the_first_input(
    session: tidemark.Session, doors: Doors
) -> None:
    cell = session.create_pausable_cell("""
await asyncio.gather(tools.knock(door="a"), tools.knock(door="b"))
""")
    pending(cell)
    assert cell.resume(1) == Resumed(1)
    with pytest.raises(tidemark.WaitTimeoutError):
        cell.wait_to_pending(timeout=0.2)
    status = in_state(cell, "idle", "running")
    assert status.waiting_on == ("tool-1: knock", "tool-2: knock")
    assert not status.stuck
    doors.open("b")
    event = pending(cell)
    assert (event.generation, calls(event)) == (2, ["tool-1"])


def test_timers_are_inputs(session: tidemark.Session) -> None:
    before = time.time()
    cell = session.create_pausable_cell("""
await asyncio.sleep(0.2)
text("slept")
""")
    event = pending(cell)
    assert event.tool_calls == ()
    assert event.next_timer is not None
    assert before + 0.1 < event.next_timer < time.time() + 0.3
    assert cell.status().next_timer == event.next_timer
    queued(cell, 1)  # the timer is due, and waits in the journal as any input
    assert pending(cell) == event
    assert cell.resume(1) == Resumed(1)
    assert shown(completed(cell)) == "slept"
    assert time.time() > event.next_timer


def test_what_is_scheduled_after_a_pause_counts_from_its_end(session: tidemark.Session) -> None:
    cell = session.create_pausable_cell("""
await asyncio.sleep(0.01)
begun = asyncio.get_running_loop().time()
await asyncio.sleep(0.2)
exit(asyncio.get_running_loop().time() - begun)
""")
    first = pending(cell)
    assert first.next_timer is not None
    until(lambda: time.time() > (first.next_timer or 0) + 0.5)
    second = cell.step(1)
    assert isinstance(second, Pending)
    assert second.next_timer is not None
    assert second.next_timer > time.time() - 0.2
    assert run_through(cell).value >= 0.2


def test_a_timeout_ends_a_call_and_the_frontier_lists_it_no_longer(
    session: tidemark.Session, doors: Doors
) -> None:
    cell = session.create_pausable_cell("""
try:
    async with asyncio.timeout(0.05):
        await tools.knock(door="never")
except TimeoutError:
    text("too late")
await tools.knock(door="b")
""")
    event = pending(cell)
    assert calls(event) == ["tool-1"]
    assert event.next_timer is not None
    following = cell.step(1)
    assert isinstance(following, Pending)
    assert shown(following) == "too late"
    assert calls(following) == ["tool-2"]
    doors.open("b", "never")
    run_through(cell)


def test_asyncio_as_it_is_known(session: tidemark.Session, doors: Doors) -> None:
    doors.open("a", "b")
    cell = session.create_cell("""
log = []
queue = asyncio.Queue()
async def producer():
    for n in range(3):
        await asyncio.sleep(0.001)
        await queue.put(n)
task = asyncio.create_task(producer(), name="producer")
for _ in range(3):
    log.append(await queue.get())
await task
done, waiting = await asyncio.wait([asyncio.create_task(asyncio.sleep(0.001, "slept"))])
log += [task.result() for task in done]
lock, event = asyncio.Lock(), asyncio.Event()
async with lock:
    asyncio.get_running_loop().call_later(0.001, event.set)
    await event.wait()
try:
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(100))
        raise KeyError("out")
except* KeyError as error:
    log.append(repr(error.exceptions))
results = await asyncio.gather(tools.knock(door="a"), asyncio.sleep(0, "b"), return_exceptions=True)
log += results
exit(log)
""")
    end = completed(cell)
    assert end.error is None
    assert end.value == [0, 1, 2, "slept", "(KeyError('out'),)", "a", "b"]


def test_a_call_may_be_made_a_task(session: tidemark.Session, doors: Doors) -> None:
    doors.open("a", "b")
    cell = session.create_cell("""
one = asyncio.create_task(tools.knock(door="a"), name="one")
async with asyncio.TaskGroup() as group:
    two = group.create_task(tools.knock(door="b"))
never = asyncio.create_task(tools.knock(door="never"))
never.cancel()
try:
    await never
except asyncio.CancelledError:
    exit([await one, two.result(), one.get_name()])
""")
    assert completed(cell).value == ["a", "b", "one"]


def test_a_cell_that_never_waits_never_pauses(session: tidemark.Session) -> None:
    cell = session.create_pausable_cell("await asyncio.sleep(0)\ntext(1 + 1)")
    end = completed(cell)
    assert shown(end) == "2"
    assert cell.frontier() is None
    assert cell.status().generation == 0


def test_a_cell_that_nothing_can_wake_is_stuck(session: tidemark.Session) -> None:
    cell = session.create_pausable_cell("await asyncio.Event().wait()")
    event = pending(cell)
    assert (event.tool_calls, event.next_timer, event.own_work) == ((), None, ())
    assert cell.status().stuck
    assert cell.resume(1) == Resumed(1)
    status = until(lambda: (found := cell.status()).stuck and found)
    assert status
    assert status.waiting_on == ()
    with pytest.raises(tidemark.WaitTimeoutError):
        cell.wait_to_pending(timeout=0.2)
    other = session.create_cell("await asyncio.Event().wait()")
    until(lambda: other.status().stuck)
    assert isinstance(other.terminate(), tidemark.Terminated)
