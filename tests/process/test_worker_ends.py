"""How a cell can end: from odd places, by errors of every kind, in the middle of anything."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tidemark.protocol import codec, values
from tidemark.protocol.limits import Limits
from tidemark.protocol.packed import CellKind, Reason
from tidemark.protocol.worker_messages import Finished, Paused, Waited
from tidemark.worker.exits import EXIT_PROTOCOL

from fakes.supervisor_end import CellEnd, ZygoteEnd, only_without_walls


@pytest.fixture(scope="module")
def zygote() -> Iterator[ZygoteEnd]:
    with tempfile.TemporaryDirectory(prefix="tm") as directory:
        end = ZygoteEnd(Path(directory))
        yield end
        end.close()


@pytest.fixture
def cell(zygote: ZygoteEnd) -> CellEnd:
    return zygote.fork()


PLACES = {
    "finally": """
        try: 1 / 0
        finally: exit("x")""",
    "except": """
        try: exit("x")
        except BaseException: print("caught")
        finally: print("finally")""",
    "task": """
        async def task(): exit("x")
        asyncio.create_task(task())
        await asyncio.sleep(1000)""",
    "thread-while-busy": """
        import threading
        threading.Thread(target=lambda: exit("x")).start()
        while True: pass""",
    "to-thread": """
        await asyncio.to_thread(exit, "x")""",
    "finalizer": """
        class Last:
            def __del__(self): exit("x")
        last = Last(); del last
        print("never")""",
    "finalizer-in-a-cycle": """
        import gc
        class Last:
            def __del__(self): exit("x")
        last = Last(); last.self = last; del last
        while True: gc.collect()""",
    "signal-handler": """
        import os, signal
        signal.signal(signal.SIGUSR1, lambda *_: exit("x"))
        os.kill(os.getpid(), signal.SIGUSR1)
        while True: pass""",
    "signal-handler-while-waiting": """
        import os, signal, threading
        signal.signal(signal.SIGUSR1, lambda *_: exit("x"))
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        await tools.search()""",
    "str-inside-text": """
        class Shown:
            def __str__(self): exit("x")
        text(Shown())""",
    "callback-of-c": """
        import ctypes
        ctypes.CFUNCTYPE(None)(lambda: exit("x"))()
        print("never")""",
    "sort-key": """
        sorted([1, 2], key=lambda _: exit("x"))""",
    "recursion-limit": """
        def deeper():
            try: deeper()
            except RecursionError: exit("x")
        deeper()""",
    "deep": """
        import sys
        sys.setrecursionlimit(50_000)
        def deeper(n): exit("x") if n == 0 else deeper(n - 1)
        deeper(20_000)""",
    "eight-threads": """
        import threading
        for _ in range(8): threading.Thread(target=exit, args=("x",)).start()
        await asyncio.sleep(1000)""",
    "while-threads-print": """
        import threading
        def speak():
            while True: print("!")
        for _ in range(4): threading.Thread(target=speak, daemon=True).start()
        exit("x")""",
    "callback-of-the-loop": """
        asyncio.get_running_loop().call_soon(exit, "x")
        await asyncio.sleep(1000)""",
    "async-generator": """
        async def generate():
            try: yield 1
            finally: exit("x")
        async for _ in generate(): break
        await asyncio.sleep(1000)""",
}


def dedent(source: str) -> str:
    return "\n".join(line[8:] for line in source.splitlines())


@pytest.mark.parametrize("place", PLACES)
def test_exit_ends_the_cell_from_anywhere(cell: CellEnd, place: str) -> None:
    cell.start(dedent(PLACES[place]))
    while not isinstance(item := cell.item(), Finished):
        cell.acknowledge()
    assert item.reason is Reason.ENDED, item.error
    assert item.value is not None
    assert values.decode(item.value) == "x"
    assert not cell.items
    cell.bye()


@only_without_walls
def test_exit_in_a_forked_child_is_the_childs_own(cell: CellEnd) -> None:
    source = """
import os
pid = os.fork()
if pid == 0:
    print("lost")
    exit("child")
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
pid = os.fork()
if pid == 0:
    await tools.search()
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    cell.start(source)
    # The second raises: it has no supervisor that could run a tool.
    assert cell.finish()[0] == ["0\n", "1\n"]


def test_everything_said_before_the_end_is_kept(cell: CellEnd) -> None:
    cell.start("for n in range(20_000): print(n)\nexit()")
    count = 0
    while not isinstance(cell.item(), Finished):
        count += 1
        if count % 500 == 0:
            cell.acknowledge()
    assert count == 20_000
    cell.bye()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            "def f():\n    return 1 / 0\n\nasync def g():\n    f()\n\nawait g()\n",
            [
                '  File "cell.py", line 7, in <module>',
                "    await g()",
                '  File "cell.py", line 5, in g',
                "    f()",
                '  File "cell.py", line 2, in f',
                "    return 1 / 0",
                "           ~~^~~",
                "ZeroDivisionError: division by zero",
            ],
        ),
        (
            "import json\njson.loads('{')",
            [
                '  File "cell.py", line 2, in <module>',
                "    json.loads('{')",
                "json.decoder.JSONDecodeError: Expecting property name enclosed in double quotes",
            ],
        ),
        (
            "import linecache\nlinecache.clearcache()\nraise KeyError('k')",
            ['  File "cell.py", line 3, in <module>', "    raise KeyError('k')", "KeyError: 'k'"],
        ),
        (
            "async def f():\n    raise OSError('x')\nawait asyncio.gather(f(), f())",
            ["    await asyncio.gather(f(), f())", "    raise OSError('x')", "OSError: x"],
        ),
        (
            "async def f():\n    raise OSError('x')\n"
            "async with asyncio.TaskGroup() as g:\n    g.create_task(f())",
            ["OSError: x"],
        ),
        ("raise KeyboardInterrupt", ["KeyboardInterrupt"]),
        ("asyncio.current_task().cancel(); await asyncio.sleep(0)", ["CancelledError"]),
        ("import sys\nsys.exit('message')", ["SystemExit: message"]),
        ("def f(): f()\nf()", ["RecursionError: maximum recursion depth exceeded"]),
    ],
)
def test_a_traceback_has_the_cells_frames_only(
    cell: CellEnd, source: str, expected: list[str]
) -> None:
    cell.start(source)
    _, finished = cell.finish()
    assert finished.reason is Reason.RAISED
    assert finished.error is not None
    rest = iter(finished.error.splitlines())
    for line in expected:
        assert any(line in each for each in rest), f"{line!r} in\n{finished.error}"
    assert "tidemark" not in finished.error
    assert "worker/" not in finished.error


def test_a_hostile_exception_ends_the_cell_like_another(cell: CellEnd) -> None:
    source = """
class Hostile(Exception):
    def __getattribute__(self, name): raise SystemExit(name)
    def __str__(self): raise KeyboardInterrupt
raise Hostile
"""
    cell.start(source)
    _, finished = cell.finish()
    assert finished.reason is Reason.RAISED
    assert "Hostile" in (finished.error or "")


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("x = = 1", "SyntaxError: invalid syntax"),
        ("return 5\n", "SyntaxError: 'return' outside function"),
        ("a\0b", "null bytes"),
        ("(" * 300, "SyntaxError: too many nested parentheses"),
        ("  x", "IndentationError: unexpected indent"),
    ],
)
def test_source_that_does_not_compile_is_refused(cell: CellEnd, source: str, word: str) -> None:
    cell.start(source)
    _, finished = cell.finish()
    assert finished.reason is Reason.REFUSED
    assert finished.error is not None
    assert word in finished.error
    assert "tidemark" not in finished.error


@pytest.mark.parametrize(("call", "value"), [("sys.exit()", None), ("sys.exit(3)", 3)])
def test_sys_exit_is_an_exit(cell: CellEnd, call: str, value: object) -> None:
    cell.start(f"import sys\n{call}")
    _, finished = cell.finish()
    assert finished.reason is Reason.ENDED
    assert (finished.value and values.decode(finished.value)) == value


@pytest.mark.parametrize(
    ("raised", "reason"),
    [("SystemExit(4)", Reason.ENDED), ("KeyboardInterrupt", Reason.RAISED)],
)
def test_what_stops_the_loop_from_a_task_ends_the_cell(
    cell: CellEnd, raised: str, reason: Reason
) -> None:
    cell.start(
        f"async def f(): raise {raised}\n"
        "asyncio.create_task(f())\n"
        "try: await asyncio.sleep(1000)\n"
        "finally: print('cleaned')"
    )
    output, finished = cell.finish()
    assert finished.reason is reason
    assert output == ["cleaned\n"]


def test_the_end_of_the_main_code_cancels_tasks_and_closes_generators(cell: CellEnd) -> None:
    source = """
async def endless():
    try: await tools.search()
    finally: print("cancelled")
async def stubborn():
    while True:
        try: await asyncio.sleep(1000)
        except asyncio.CancelledError: print("no")
async def failing():
    try: await asyncio.sleep(1000)
    finally: raise ValueError("in the clean-up")
async def generate():
    try: yield 1
    finally: print("closed")
tasks = [asyncio.create_task(f()) for f in (endless, stubborn, failing)]
generator = generate()
await anext(generator)
await asyncio.sleep(0)
"""
    cell.start(source, CellKind.PAUSABLE)
    output, finished = cell.finish()
    assert finished.reason is Reason.ENDED
    assert output[:2] == ["cancelled\n", "no\n"], output
    assert output[-1] == "closed\n"
    assert "ValueError: in the clean-up" in "".join(output)


def test_lost_exceptions_of_tasks_do_not_end_the_cell(cell: CellEnd) -> None:
    source = """
async def f(): raise ValueError("lost")
task = asyncio.create_task(f())
await asyncio.sleep(0); await asyncio.sleep(0)
del task
import gc; gc.collect()
print("on")
"""
    cell.start(source)
    output, finished = cell.finish()
    assert finished.reason is Reason.ENDED
    assert "ValueError: lost" in "".join(output)
    assert output[-1] == "on\n"


def test_memory_beyond_the_limit(zygote: ZygoteEnd) -> None:
    cell = zygote.fork(Limits(memory_bytes=100 * 1024**2))
    cell.start("x = []\nwhile True: x.append(bytes(10_000_000))")
    _, finished = cell.finish()
    assert finished.reason is Reason.LIMIT
    assert finished.error is not None
    assert finished.error.startswith("LimitExceededError: memory_bytes: at most 104,857,600 are")


def test_processor_time_beyond_the_limit_is_a_signal(zygote: ZygoteEnd) -> None:
    cell = zygote.fork(Limits(cpu_seconds=1))
    cell.start("while True: pass")
    end = zygote.end_of(cell.token)
    assert (end.status, end.killed) in [(-signal.SIGXCPU, False), (-signal.SIGKILL, False)]
    assert end.cpu_ns > 500_000_000


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param([b"TM\x01\x07", b"\xc1"], id="not-a-body"),
        pytest.param([b"XX\x01\x07", b"\x90"], id="not-a-header"),
        pytest.param([b"TM\x01\x07"], id="one-frame"),
        pytest.param([b"TM\x02\x07", b"\x90"], id="another-version"),
        pytest.param([b"TM\x01\x63", b"\x90"], id="unknown-code"),
    ],
)
def test_a_supervisor_that_cannot_be_believed_ends_the_worker(
    cell: CellEnd, frames: list[bytes]
) -> None:
    cell.start("await tools.search()")
    cell.until(Waited)
    cell.zygote.router.send_multipart([cell.token, *frames])
    assert cell.zygote.end_of(cell.token).status == EXIT_PROTOCOL


def test_an_impossible_order_ends_the_worker(cell: CellEnd) -> None:
    cell.start("await tools.search()", CellKind.PAUSABLE)
    cell.until(Paused)
    cell.continue_(5, 1)
    assert cell.zygote.end_of(cell.token).status == EXIT_PROTOCOL
    assert codec.PROTOCOL_VERSION == 1
