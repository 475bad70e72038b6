"""Tidemark's side of every case, through its public API and nothing else."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
from pathlib import Path
from time import perf_counter
from typing import Any

import psutil
import tidemark
from contender import CYCLE, HELLO, INPUTS, WAITING, WARM_CYCLES, Block
from memory import tree_bytes

LATE_SECONDS_MAX = 60.0
SETTLE_SECONDS = 0.25  # spares are made when nobody has asked for anything for a while
SETTLED_BYTES = 200_000
SETTLES_MAX = 60


async def search(n: int) -> int:
    """The next number."""
    return n + 1


class RuntimeHost:
    """One session with a private supervisor of its own, which ends with this process.

    Options are those of a session; without `isolation` it has the default of this machine.
    """

    def __init__(self, durability: str, **options: Any) -> None:
        self.session = tidemark.AsyncSession(tools=[search], durability=durability, **options)
        self.journal = Path()
        self.endpoint = ""
        self._journal: sqlite3.Connection | None = None
        self._cells: list[tidemark.AsyncPausableCell] = []
        self._at: list[int] = []
        self.supervisor: psutil.Process | None = None

    @property
    def level(self) -> str:
        """The isolation level that it has."""
        return str(self.session.isolation)

    async def open(self) -> None:
        """Start it; returns when it answers."""
        before = {child.pid for child in psutil.Process().children()}
        await self.session.open()
        for child in psutil.Process().children():
            command = child.cmdline()
            if child.pid not in before and "--state" in command:
                self.journal = Path(command[command.index("--state") + 1]) / "journal.db"
                self._journal = sqlite3.connect(f"file:{self.journal}?mode=ro", uri=True)
                self.supervisor = child
        told = json.loads((self.journal.parent / "supervisor.json").read_text())
        self.endpoint = str(told["endpoint"])

    async def close(self) -> None:
        """End it; nothing of it is left."""
        if self._journal is not None:
            self._journal.close()
        await self.session.close()

    def commits(self) -> int:
        """How many commits it has made: the records of one commit have one time."""
        assert self._journal is not None
        query = "SELECT count(DISTINCT at_ns) FROM records"
        ((commits,),) = self._journal.execute(query).fetchall()
        return int(commits)

    async def run_to_completion(self, source: str) -> float:
        """Seconds from the request to create a cell to its completion."""
        started = perf_counter()
        cell = await self.session.create_cell(source)
        event = await cell.observe(LATE_SECONDS_MAX)
        seconds = perf_counter() - started
        if not isinstance(event, tidemark.Completed) or event.error is not None:
            raise RuntimeError(f"the cell did not complete: {event!r:.300}")
        return seconds

    async def pause_many(self, source: str, count: int) -> None:
        """Create cells and wait for their first frontiers."""
        for _ in range(count):
            self._cells.append(await self.session.create_pausable_cell(source))
        events = await asyncio.gather(
            *(cell.wait_to_pending() for cell in self._cells[len(self._at) :])
        )
        self._at += [_generation(event) for event in events]

    async def cycle(
        self, count: int, cells: int | None = None, *, steps: bool = False
    ) -> list[float]:
        """Take the first so many cells (None: all) through tool cycles; seconds of each cycle.

        `steps`: in one request each.
        """
        going = range(len(self._cells) if cells is None else cells)
        one = self._step_one if steps else self._cycle_one
        each = await asyncio.gather(*(one(number, count) for number in going))
        return [seconds for one in each for seconds in one]

    async def _cycle_one(self, number: int, count: int) -> list[float]:
        cell, seconds = self._cells[number], []
        for _ in range(count):
            began = perf_counter()
            await cell.resume(self._at[number])
            self._at[number] = _generation(await cell.wait_to_pending())
            seconds.append(perf_counter() - began)
        return seconds

    async def _step_one(self, number: int, count: int) -> list[float]:
        cell, seconds = self._cells[number], []
        for _ in range(count):
            began = perf_counter()
            self._at[number] = _generation(await cell.step(self._at[number]))
            seconds.append(perf_counter() - began)
        return seconds

    async def lose(self) -> float:
        """Seconds from SIGKILL of a new cell's worker to the event that says it is lost."""
        cell = await self.session.create_cell(WAITING)
        waiting = asyncio.ensure_future(cell.observe(LATE_SECONDS_MAX))
        pid = await _worker(cell)
        began = perf_counter()
        os.kill(pid, signal.SIGKILL)
        event = await waiting
        seconds = perf_counter() - began
        if not isinstance(event, tidemark.Completed) or event.reason != "lost":
            raise RuntimeError(f"the cell was not lost: {event!r:.300}")
        return seconds

    async def kill_and_resume(self) -> float:
        """Seconds from SIGKILL of the first cell's worker to `Resumed`; then on to its frontier."""
        cell = self._cells[0]
        pid = await _worker(cell)
        began = perf_counter()
        os.kill(pid, signal.SIGKILL)
        await cell.resume(self._at[0], timeout=LATE_SECONDS_MAX)
        seconds = perf_counter() - began
        self._at[0] = _generation(await cell.wait_to_pending())
        return seconds

    async def hibernate_last(self, count: int) -> None:
        """The cells created last give up their workers."""
        for cell in self._cells[-count:]:
            if why := await cell.hibernate():
                raise RuntimeError(f"{cell.id} did not hibernate: {why}")

    async def replace_cell(self, inputs: int) -> None:
        """End the cell, and take a new one through so many inputs."""
        for cell in self._cells:
            await cell.terminate()
        self._cells, self._at = [], []
        await self.pause_many(CYCLE, 1)
        await self.cycle(inputs)


def _generation(event: tidemark.Pending | tidemark.Completed | tidemark.Terminated) -> int:
    if not isinstance(event, tidemark.Pending):
        raise RuntimeError(f"the cell did not pause: {event!r:.300}")
    return int(event.generation)


async def _worker(cell: tidemark.AsyncCell | tidemark.AsyncPausableCell) -> int:
    """The worker's process, once the cell's code is in it."""
    deadline = perf_counter() + LATE_SECONDS_MAX
    while perf_counter() < deadline:
        status = await cell.status()
        if status.pid is not None and status.state != "starting":
            return int(status.pid)
        await asyncio.sleep(0.002)
    raise RuntimeError("the cell has got no worker")


# -- contenders -----------------------------------------------------------------------------------


class _Side:
    """What Tidemark's contenders share: a life."""

    def __init__(self, durability: str, **options: Any) -> None:
        self._host = RuntimeHost(durability, **options)

    @property
    def level(self) -> str:
        """The isolation level that it has."""
        return self._host.level

    async def open(self) -> None:
        await self._host.open()

    async def close(self) -> None:
        await self._host.close()


class Creates(_Side):
    """Cells created one after the other."""

    async def block(self, count: int) -> Block:
        await self._host.run_to_completion(HELLO)
        commits, began = self._host.commits(), perf_counter()
        seconds = [await self._host.run_to_completion(HELLO) for _ in range(count)]
        wall = perf_counter() - began
        return Block(seconds, wall, self._host.commits() - commits)


class Bursts(_Side):
    """Cells created at once."""

    async def block(self, count: int) -> Block:
        await self._host.run_to_completion(HELLO)
        commits, began = self._host.commits(), perf_counter()
        going = (self._host.run_to_completion(HELLO) for _ in range(count))
        seconds = await asyncio.gather(*going)
        wall = perf_counter() - began
        return Block(list(seconds), wall, self._host.commits() - commits)


class Cycles(_Side):
    """Pausable cells that go from frontier to frontier, perhaps among others that do not."""

    def __init__(self, durability: str, cells: int, among: int = 0, *, steps: bool = False) -> None:
        super().__init__(durability)
        self._cells = cells
        self._among = among
        self._steps = steps

    async def open(self) -> None:
        await super().open()
        await self._host.pause_many(CYCLE, self._cells)
        await self._host.pause_many(CYCLE, self._among)

    async def block(self, count: int) -> Block:
        await self._host.cycle(WARM_CYCLES, self._cells, steps=self._steps)
        commits, began = self._host.commits(), perf_counter()
        seconds = await self._host.cycle(count, self._cells, steps=self._steps)
        wall = perf_counter() - began
        return Block(seconds, wall, self._host.commits() - commits)


class Losses(_Side):
    """Workers killed, of cells that nobody runs again."""

    def __init__(self, durability: str) -> None:
        super().__init__(durability, replay=False)

    async def block(self, count: int) -> Block:
        began = perf_counter()
        return Block([await self._host.lose() for _ in range(count)], perf_counter() - began)


class Returns(_Side):
    """Workers killed, of a cell that is run again."""

    async def block(self, count: int) -> Block:
        began, seconds = perf_counter(), []
        for _ in range(count):
            await self._host.replace_cell(INPUTS)
            seconds.append(await self._host.kill_and_resume())
        return Block(seconds, perf_counter() - began)


class Memory(_Side):
    """What paused cells add to the memory of all processes."""

    def __init__(self, durability: str, cells: int) -> None:
        super().__init__(durability)
        self._cells = cells

    async def block(self, count: int) -> Block:
        assert self._host.supervisor is not None
        began, found = perf_counter(), []
        for _ in range(count):
            before = await settled_bytes(self._host.supervisor)
            await self._host.pause_many(CYCLE, self._cells)
            after = await settled_bytes(self._host.supervisor)
            found.append((after - before) / self._cells)
        return Block(found, perf_counter() - began)


async def settled_bytes(supervisor: psutil.Process) -> int:
    """The memory of all its processes when as many spare workers are there as there will be."""
    last = 0
    for _ in range(SETTLES_MAX):
        now = tree_bytes(supervisor)
        if abs(now - last) < SETTLED_BYTES:
            break
        last = now
        await asyncio.sleep(SETTLE_SECONDS)
    return now


class Pauses:
    """Many cells created and paused, with a supervisor that has none."""

    level = ""

    def __init__(self, durability: str, cells: int) -> None:
        self._durability = durability
        self._cells = cells

    async def open(self) -> None:
        """Each piece has a life of its own."""

    async def block(self, count: int) -> Block:
        began = perf_counter()
        return Block([await self._once() for _ in range(count)], perf_counter() - began)

    async def close(self) -> None:
        """Each piece was closed."""

    async def _once(self) -> float:
        host = RuntimeHost(self._durability)
        try:
            await host.open()
            self.level = host.level
            began = perf_counter()
            await host.pause_many(CYCLE, self._cells)
            return perf_counter() - began
        finally:
            await host.close()
