"""Workers that are there before their cells: real ones."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import tidemark
from tidemark.protocol.ids import Incarnation
from tidemark.protocol.worker_messages import Adopt, Finished, Hello

from fakes.running_supervisor import RunningSupervisor
from fakes.supervisor_end import ZygoteEnd
from fakes.waiting import until


@pytest.fixture
def zygote() -> Iterator[ZygoteEnd]:
    with tempfile.TemporaryDirectory(prefix="tm") as directory:
        end = ZygoteEnd(Path(directory))
        yield end
        end.close()


CELL = "c000000000000aa-00000001"
# All that tells one worker from another, and that a cell can see without being flagged.
SIGHT = """
import asyncio, gc, json, linecache, os, random, signal, sys, tempfile, threading, uuid
actions = {number: str(signal.getsignal(number)) for number in signal.valid_signals()}
try:
    signal.raise_signal(signal.SIGINT)
    interrupted = False
except KeyboardInterrupt:
    interrupted = True
async def nothing(): pass
task = asyncio.create_task(nothing())
await task
with open("a file", "w") as file:
    number = file.fileno()
text(json.dumps({
    "where": os.getcwd(), "here": os.listdir("."), "home": os.environ.get("HOME"),
    "variables": sorted(os.environ), "temporary": tempfile.gettempdir(), "number": number,
    "chance": random.random(), "identity": str(uuid.uuid4()), "random": os.urandom(8).hex(),
    "hash": hash("x"), "set": list({"tide", "ebb", "flood", "moon"}), "task": task.get_name(),
    "threads": threading.active_count(), "frozen": gc.get_freeze_count() > 0,
    "modules": sorted(sys.modules), "main": __name__, "recursion": sys.getrecursionlimit(),
    "thresholds": gc.get_threshold(), "switch": sys.getswitchinterval(),
    "signals": actions, "interrupted": interrupted, "sources": sorted(linecache.cache),
    "collections": [each["collections"] for each in gc.get_stats()], "collected": gc.collect() >= 0,
}))
"""


def _sight(end: Any) -> dict[str, Any]:
    end.start(SIGHT, seed=b"7" * 32, began_ns=1_700_000_000_000_000_000)
    (text,), finished = end.texts(Finished)
    assert finished.error is None, finished.error
    return dict(json.loads(text))


def test_a_cell_cannot_tell_a_spare_worker_from_one_that_was_made_for_it(zygote: ZygoteEnd) -> None:
    made = zygote.fork()
    before = _sight(made)
    spare = zygote.spare()
    # The same cell: so it is the same directory, also while that of the life before is there.
    after = _sight(spare.becomes(made.cell, Incarnation(1, 77)))
    assert after == before


def test_a_spare_worker_is_its_cell_s_from_then_on(zygote: ZygoteEnd) -> None:
    spare = zygote.spare().becomes(CELL, Incarnation(1, 9))
    spare.start("await tools.ask(n=1)")
    spare.item()
    spare.send(Adopt(zygote.epoch, 0, 0))
    hello = spare.receive(Hello)
    assert (hello.cell, hello.incarnation, hello.started) == (CELL, Incarnation(1, 9), True)


def test_workers_without_a_cell_share_the_session_of_their_zygote(zygote: ZygoteEnd) -> None:
    # And with it one share of the processors, where sessions have shares; see `begin_session`.
    spare, other = zygote.spare(), zygote.spare()
    pid = zygote.pids[spare.token]
    assert os.getsid(pid) == os.getsid(zygote.pids[other.token]) != pid
    spare.becomes(CELL, Incarnation(1, 9)).start("text('begun')\nawait tools.ask(n=1)")
    spare.item()
    assert os.getsid(pid) == pid
    assert os.getsid(zygote.pids[other.token]) not in zygote.pids.values()


async def _run(endpoint: str, count: int) -> list[int]:
    """So many cells, one after the other; the processes that they were in."""
    source = "import os\ntext(os.getpid())\n"
    async with tidemark.AsyncSession(endpoint=endpoint, isolation="process") as session:
        seen = []
        for _ in range(count):
            cell = await session.create_cell(source)
            event = await cell.observe(20)
            assert isinstance(event, tidemark.Completed), event
            seen.append(int(event.output[0].text))
        return seen


def _workers(supervisor: RunningSupervisor) -> set[int]:
    zygotes = [
        child
        for child in psutil.Process(supervisor.pid).children()
        if any("zygote-process" in word for word in child.cmdline())
    ]
    return {worker.pid for each in zygotes for worker in each.children()}


def test_the_pool_is_filled_and_no_worker_is_used_twice(tmp_path: Path) -> None:
    supervisor = RunningSupervisor(tmp_path / "state", "--spares", "2")
    try:
        used: set[int] = set()
        for _ in range(3):
            seen = asyncio.run(_run(supervisor.endpoint, 2))
            assert len(set(seen)) == 2
            assert used.isdisjoint(seen)
            used.update(seen)
            until(lambda: len(_workers(supervisor) - used) == 2, seconds=10, what="two spares")
    finally:
        supervisor.close()


def test_spare_workers_are_dropped_when_the_supervisor_is_replaced(tmp_path: Path) -> None:
    state = tmp_path / "state"
    first = RunningSupervisor(state, "--spares", "2")
    try:
        asyncio.run(_run(first.endpoint, 1))
        until(lambda: len(_workers(first)) == 2, seconds=10, what="two spares")
        spares = _workers(first)
        first.process.kill()
        first.process.wait()
        second = RunningSupervisor(state, "--spares", "0")
        try:
            gone = "the spares of the first to be gone"
            until(lambda: not any(map(psutil.pid_exists, spares)), seconds=10, what=gone)
            assert asyncio.run(_run(second.endpoint, 1))
        finally:
            second.close()
    finally:
        first.close()


def test_an_idle_cell_gives_up_its_worker_and_is_woken(tmp_path: Path) -> None:
    state = tmp_path / "state"
    supervisor = RunningSupervisor(state, "--spares", "1", "--hibernate-seconds", "0.2")
    try:
        asyncio.run(_sleep_and_wake(supervisor.endpoint))
    finally:
        supervisor.close()


async def _sleep_and_wake(endpoint: str) -> None:
    async def ask(n: int) -> int:
        return n + 1

    session = tidemark.AsyncSession(
        endpoint=endpoint, isolation="process", replay=True, tools=[ask]
    )
    async with session:
        cell = await session.create_pausable_cell("text(await tools.ask(n=1))\nexit(7)")
        before = await cell.wait_to_pending()
        assert isinstance(before, tidemark.Pending)
        async with asyncio.timeout(20):
            while (await cell.status()).pid is not None:
                await asyncio.sleep(0.02)
        assert await cell.wait_to_pending() == before
        await cell.resume(before.generation)
        event = await cell.wait_to_pending()
        assert isinstance(event, tidemark.Completed), event
        assert (event.output[0].text, event.value) == ("2", 7)
