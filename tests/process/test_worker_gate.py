"""Frontiers, timers and own work, decided by a real worker's event loop."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from tidemark.protocol.packed import CellKind, Reason
from tidemark.protocol.worker_messages import (
    Called,
    Confirmed,
    Emitted,
    Finished,
    Flagged,
    Hello,
    Paused,
    Waited,
)

from fakes.supervisor_end import (
    CellEnd,
    ZygoteEnd,
    failure,
    only_with_sockets,
    only_without_walls,
    result,
    timer,
)
from fakes.waiting import until


@pytest.fixture(scope="module")
def zygote() -> Iterator[ZygoteEnd]:
    with tempfile.TemporaryDirectory(prefix="tm") as directory:
        end = ZygoteEnd(Path(directory))
        yield end
        end.close()


@pytest.fixture
def cell(zygote: ZygoteEnd) -> CellEnd:
    return zygote.fork()


@pytest.mark.parametrize("seed", range(5))
def test_twelve_parallel_calls_in_any_order(cell: CellEnd, seed: int) -> None:
    source = """
async def one(number):
    got = await tools.search(number=number)
    print(number, got)
await asyncio.gather(*(one(n) for n in range(1, 13)))
"""
    order = list(range(1, 13))
    random.Random(seed).shuffle(order)
    cell.start(source, CellKind.PAUSABLE)
    before, paused = cell.until(Paused)
    assert [item.number for item in before if isinstance(item, Called)] == list(range(1, 13))
    assert paused == Paused(1, 0, None, ())
    for number, call in enumerate(order, 1):
        cell.continue_(paused.generation, number, result(number, call, f"r{call}"))
        if number == 12:
            break
        before, paused = cell.until(Paused)
        assert isinstance(before[0], Confirmed)
        assert [item.content for item in before if isinstance(item, Emitted)] == [
            f"{call} r{call}\n"
        ]
        assert (paused.generation, paused.taken) == (number + 1, number)
    assert cell.finish()[1].taken == 12


def test_a_step_takes_all_that_was_queued(cell: CellEnd) -> None:
    cell.start("print(await asyncio.gather(*(tools.search() for _ in 'abc')))", CellKind.PAUSABLE)
    cell.until(Paused)
    cell.continue_(1, 2, result(1, 3, "c"), result(2, 1, "a"))
    _, paused = cell.until(Paused)
    assert (paused.generation, paused.taken) == (2, 2)
    cell.continue_(2, 3, result(3, 2, "b"))
    assert cell.finish()[0] == ['["a", "b", "c"]\n']


def test_a_resume_without_inputs_waits_for_the_first(cell: CellEnd) -> None:
    cell.start("await tools.search(); await tools.search()", CellKind.PAUSABLE)
    cell.until(Paused)
    cell.continue_(1, 1)
    before, waited = cell.until(Waited)
    assert len(before) == 1
    assert waited == Waited(0, None, ())
    cell.deliver(result(1, 1))
    assert cell.until(Paused)[1] == Paused(2, 1, None, ())


def test_inputs_that_come_while_paused_wait(cell: CellEnd) -> None:
    cell.start("print(await tools.search())\nprint(await tools.search())", CellKind.PAUSABLE)
    cell.until(Paused)
    cell.deliver(result(1, 1, "early"))
    assert cell.adopt(2, cell.have).inputs == 1
    cell.zygote.epoch = 2
    assert not cell.items
    cell.continue_(1, 1)
    assert cell.texts(Paused)[0] == ["early\n"]
    cell.zygote.epoch = 1


def test_a_repeated_continue_moves_nothing(cell: CellEnd) -> None:
    cell.start("await tools.search(); await tools.search()", CellKind.PAUSABLE)
    cell.until(Paused)
    cell.continue_(1, 1, result(1, 1))
    cell.until(Paused)
    cell.continue_(1, 1, result(1, 1))
    assert isinstance(cell.item(), Confirmed)
    cell.continue_(2, 2, result(2, 2))
    assert isinstance(cell.item(), Confirmed)
    assert isinstance(cell.item(), Finished)
    cell.bye()


def test_timers_are_inputs(cell: CellEnd) -> None:
    source = """
async def late(): await asyncio.sleep(20); print("late")
async def soon(): await asyncio.sleep(10); print("soon")
before = asyncio.get_running_loop().time()
await asyncio.gather(late(), soon())
print(asyncio.get_running_loop().time() - before >= 20)
"""
    cell.start(source, CellKind.PAUSABLE)
    now = time.time_ns()
    _, paused = cell.until(Paused)
    assert paused.next_timer_ns is not None
    assert 9e9 < paused.next_timer_ns - now < 11e9
    cell.continue_(1, 1, timer(1, paused.next_timer_ns))
    output, paused = cell.texts(Paused)
    assert output == ["soon\n"]
    assert paused.next_timer_ns is not None
    cell.continue_(2, 2, timer(2, paused.next_timer_ns))
    assert cell.finish()[0] == ["late\n", "true\n"]


def test_a_timer_in_the_past_still_needs_its_input(cell: CellEnd) -> None:
    cell.start("await asyncio.sleep(1e-9)\nprint('x')", CellKind.PAUSABLE)
    _, paused = cell.until(Paused)
    assert paused.next_timer_ns is not None
    assert paused.next_timer_ns <= time.time_ns() + 1_000
    cell.continue_(1, 1, timer(1, paused.next_timer_ns))
    assert cell.finish()[0] == ["x\n"]


def test_a_timer_input_for_a_cancelled_timer_moves_nothing(cell: CellEnd) -> None:
    source = """
try:
    async with asyncio.timeout(5):
        await tools.search()
except TimeoutError:
    print("timeout")
await tools.search()
"""
    cell.start(source)
    _, waited = cell.until(Waited)
    assert waited.next_timer_ns is not None
    cell.deliver(result(1, 1), timer(2, waited.next_timer_ns))
    cell.until(Waited)
    assert cell.have
    cell.deliver(result(3, 2))
    assert cell.finish() == ([], Finished(Reason.ENDED, None, None, 3))


def test_timeout_cancels_a_call(cell: CellEnd) -> None:
    source = """
try:
    async with asyncio.timeout(5):
        await tools.search()
except TimeoutError:
    print("timeout")
"""
    cell.start(source)
    _, waited = cell.until(Waited)
    assert waited.next_timer_ns is not None
    cell.deliver(timer(1, waited.next_timer_ns))
    before, _ = cell.until(Finished)
    assert [type(item).__name__ for item in before] == ["Abandoned", "Emitted"]
    cell.bye()


def test_a_task_group_cancels_the_others(cell: CellEnd) -> None:
    source = """
try:
    async with asyncio.TaskGroup() as group:
        for n in range(3):
            group.create_task(call(n))
except* ToolError as group:
    print([str(e) for e in group.exceptions])
"""
    source = "async def call(n): return await tools.search(n=n)\n" + source
    cell.start(source, CellKind.PAUSABLE)
    cell.until(Paused)
    cell.continue_(1, 1, failure(1, 2, "broken"))
    before, finished = cell.until(Finished)
    kinds = [type(item).__name__ for item in before]
    assert kinds == ["Confirmed", "Abandoned", "Abandoned", "Emitted"]
    assert finished.reason is Reason.ENDED
    cell.bye()


def test_the_rest_is_said_again_to_a_new_supervisor(cell: CellEnd) -> None:
    cell.start("await tools.search()\nprint('x')\nawait tools.search()")
    cell.until(Waited)
    cell.deliver(result(1, 1))
    cell.until(Waited)
    assert cell.have == 2
    cell.have = 1
    cell.items.clear()
    cell.zygote.epoch = 7
    hello = cell.adopt(7, 1)
    assert (hello.epoch, hello.started, hello.said, hello.inputs) == (7, True, 2, 1)
    before, _ = cell.until(Waited)
    assert [type(item).__name__ for item in before] == ["Emitted", "Called"]
    cell.zygote.epoch = 1
    cell.deliver(result(2, 2))  # of the past: dropped
    cell.zygote.epoch = 7
    cell.deliver(result(2, 2))
    cell.finish()
    cell.zygote.epoch = 1


@only_with_sockets
def test_a_supervisor_that_comes_back_is_greeted(zygote: ZygoteEnd, cell: CellEnd) -> None:
    cell.start("await tools.search()\nprint('x')\nawait tools.search()\nprint('y')")
    cell.until(Waited)
    zygote.router.close()
    zygote.router = zygote.bind()

    def is_adopted() -> bool:
        try:
            zygote.epoch = 9
            cell.adopt(9, cell.have)
        except zmq.ZMQError:  # not connected yet
            return False
        return True

    until(is_adopted)
    cell.deliver(result(1, 1))
    assert cell.texts(Waited)[0] == ["x\n"]
    cell.deliver(result(2, 2))
    assert cell.finish()[0] == ["y\n"]
    zygote.epoch = 1


def test_own_work_of_a_paused_cell_waits(cell: CellEnd) -> None:
    source = """
import threading
def work():
    return "done"
print(await asyncio.to_thread(work))
"""
    cell.start(source, CellKind.PAUSABLE)
    before, paused = cell.until(Paused)
    assert before == [Flagged("a function in another thread", 5)]
    assert paused.own_work == ("thread: work (line 5)",)
    cell.continue_(1, 1)
    assert cell.finish()[0] == ["done\n"]


def test_own_work_makes_a_frontier_of_its_own(cell: CellEnd) -> None:
    source = """
print(await asyncio.to_thread(lambda: 1))
print(await asyncio.to_thread(lambda: 2))
print(await tools.search())
"""
    cell.start(source, CellKind.PAUSABLE)
    outputs = []
    for generation in (1, 2, 3):
        output, paused = cell.texts(Paused)
        outputs.append(output)
        assert (paused.generation, paused.taken) == (generation, 0)
        assert len(paused.own_work) == (1 if generation < 3 else 0)
        cell.continue_(generation, 1)
    assert outputs == [[], ["1\n"], ["2\n"]]
    cell.deliver(result(1, 1, 3))
    assert cell.finish()[0] == ["3\n"]


def test_a_thread_may_call_back_when_the_gate_is_open(cell: CellEnd) -> None:
    source = """
import threading
loop = asyncio.get_running_loop()
future = loop.create_future()
threading.Thread(target=lambda: loop.call_soon_threadsafe(future.set_result, "called")).start()
print(await future)
"""
    cell.start(source, CellKind.PAUSABLE)
    cell.until(Paused)
    cell.continue_(1, 1)
    output, finished = cell.finish()
    assert output == ["called\n"]
    assert finished.reason is Reason.ENDED


@only_without_walls
def test_sockets_and_subprocesses_of_a_continuing_cell(cell: CellEnd) -> None:
    source = """
async def serve(reader, writer):
    writer.write((await reader.readline()).upper())
    writer.close()
server = await asyncio.start_server(serve, "127.0.0.1", 0)
reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
writer.write(b"shout\\n")
print((await reader.read()).decode(), end="")
process = await asyncio.create_subprocess_exec(
    "sh", "-c", "sleep 0.1; echo child", stdout=asyncio.subprocess.PIPE)
out, _ = await process.communicate()
print(out.decode(), process.returncode)
server.close()
"""
    cell.start(source)
    before, finished = cell.until(Finished)
    cell.bye()
    assert finished.error is None
    assert sum(isinstance(item, Flagged) for item in before) == 1
    waits = [item for item in before if isinstance(item, Waited)]
    assert any("file descriptor" in line for wait in waits for line in wait.own_work)
    output = [item.content for item in before if isinstance(item, Emitted)]
    assert output == ["SHOUT\n", "child\n 0\n"]


def test_a_signal_wakes_the_loop(cell: CellEnd) -> None:
    source = """
import os, signal, threading
event = asyncio.Event()
asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, event.set)
threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
await event.wait()
print("signal")
"""
    cell.start(source)
    assert cell.finish()[0] == ["signal\n"]


def test_hello_is_said_once_per_connection(cell: CellEnd) -> None:
    cell.start("print('x')")
    cell.finish()
    assert not [message for message in cell.messages if isinstance(message, Hello)]
