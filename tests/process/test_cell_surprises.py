"""What a cell's code may expect of Python, where a loop and a module of ours stand behind it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tidemark.protocol import values
from tidemark.protocol.packed import CellKind, Reason
from tidemark.protocol.worker_messages import (
    Called,
    Confirmed,
    Emitted,
    Fetch,
    Fetched,
    Finished,
    Paused,
    YieldAsked,
)

from fakes.supervisor_end import CellEnd, ZygoteEnd, only_without_walls, result


@pytest.fixture(scope="module")
def zygote() -> Iterator[ZygoteEnd]:
    with tempfile.TemporaryDirectory(prefix="tm") as directory:
        end = ZygoteEnd(Path(directory))
        yield end
        end.close()


@pytest.fixture
def cell(zygote: ZygoteEnd) -> CellEnd:
    return zygote.fork()


def run(cell: CellEnd, source: str) -> tuple[list[str], Finished]:
    cell.start(source)
    return cell.finish()


def test_a_cell_that_stops_its_own_loop_has_not_ended_well(cell: CellEnd) -> None:
    source = "asyncio.get_running_loop().stop()\nawait asyncio.sleep(0)\nprint('never')"
    output, finished = run(cell, source)
    assert output == []
    assert finished.reason is Reason.RAISED
    assert finished.error == "RuntimeError: Event loop stopped before Future completed.\n"


def test_a_coroutine_that_nobody_awaits_is_warned_of(cell: CellEnd) -> None:
    output, finished = run(cell, "asyncio.sleep(1)\nprint('__builtins__' in globals())")
    assert finished.reason is Reason.ENDED
    shown = "".join(output)
    assert "coroutine 'sleep' was never awaited" in shown
    assert "KeyError" not in shown
    assert shown.endswith("true\n")


@pytest.mark.parametrize("call", ["text(Bad())", "print(Bad())", "notify(Bad())"])
def test_an_error_of_str_comes_with_nothing_of_ours(cell: CellEnd, call: str) -> None:
    source = f"class Bad:\n    def __str__(self):\n        raise ValueError('no')\n{call}"
    _, finished = run(cell, source)
    assert finished.error is not None
    assert finished.error.startswith('Traceback (most recent call last):\n  File "cell.py", line 4')
    assert "tidemark" not in finished.error


def test_print_can_be_redirected(cell: CellEnd) -> None:
    source = """
import contextlib, io
caught = io.StringIO()
with contextlib.redirect_stdout(caught):
    print("inside", [True])
print("caught", caught.getvalue(), end="")
"""
    output, _ = run(cell, source)
    assert "".join(output) == "caught inside [True]\n"


@only_without_walls
def test_a_pause_can_be_left_while_what_a_signal_calls_takes_its_time(
    cell: CellEnd, tmp_path: Path
) -> None:
    source = """
import os, signal, threading
def on_signal(*_):
    text("begun")
    yield_control()
    os.read(door, 1)  # until the test says so
door = os.open(place, os.O_RDONLY)
signal.signal(signal.SIGUSR1, on_signal)
threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
text(await tools.search())
"""
    os.mkfifo(tmp_path / "door")
    writer = os.open(tmp_path / "door", os.O_RDWR)
    cell.start(source, CellKind.PAUSABLE, inputs={"place": str(tmp_path / "door")})
    cell.until(Paused)
    texts, _ = cell.texts(YieldAsked)
    assert texts == ["begun"]
    cell.continue_(1, 1, result(1, 1, "tide"))
    cell.until(Confirmed)
    os.write(writer, b"x")
    texts, _ = cell.texts(Finished)
    assert texts == ["tide"]
    os.close(writer)


def test_what_a_signal_calls_may_ask_and_say_much_while_the_cell_waits(cell: CellEnd) -> None:
    """The thread that listens is then the one that waits for the answer."""
    source = """
import os, signal, threading
def on_signal(*_):
    value = load("key")
    for _ in range(30): text("x" * 100_000)  # more than a worker says without being heard
    text(value)
signal.signal(signal.SIGUSR1, on_signal)
threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
await tools.search()
"""
    cell.start(source)
    cell.until(Called)
    question = cell.receive(Fetch)
    cell.send(Fetched(cell.zygote.epoch, question.number, values.encode("tide"), None))
    said = []
    while not said or said[-1] != "tide":
        said += [item.content for item in [cell.item()] if isinstance(item, Emitted)]
        cell.acknowledge()
    assert [len(text) for text in said] == [100_000] * 30 + [4]


@pytest.mark.parametrize(("last", "status"), [("raise ValueError", 1), ("exit(5)", 0), ("pass", 0)])
@only_without_walls
def test_a_forked_copy_ends_with_the_status_of_its_code(
    cell: CellEnd, last: str, status: int
) -> None:
    source = f"""
import os
child = os.fork()
if child:
    exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
{last}
"""
    cell.start(source)
    _, finished = cell.finish()
    assert finished.value is not None
    assert values.decode(finished.value) == status


@only_without_walls
def test_a_copy_that_a_signal_has_made_of_a_waiting_cell_does_not_keep_it_from_waking(
    cell: CellEnd,
) -> None:
    source = """
import os, signal, threading, time
def on_signal(*_):
    if os.fork() == 0:
        time.sleep(0.1)  # then it goes on, where the cell waits
        return
    text("forked")
    time.sleep(0.3)
signal.signal(signal.SIGUSR1, on_signal)
threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
text(await tools.search())
"""
    cell.start(source)
    cell.until(Called)
    cell.until(Emitted)
    cell.deliver(result(1, 1, "tide"))
    texts, _ = cell.texts(Finished)
    assert texts == ["tide"]


@only_without_walls
def test_the_main_thread_has_the_number_of_its_process(cell: CellEnd) -> None:
    source = """
import os, threading
print(threading.main_thread().native_id == threading.get_native_id() == os.getpid())
"""
    assert run(cell, source)[0] == ["true\n"]
