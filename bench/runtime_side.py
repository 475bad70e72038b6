"""Tidemark's side of every case, through its public API and nothing else."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from time import perf_counter

import psutil
import tidemark

LATE_SECONDS_MAX = 30.0


async def search(n: int) -> int:
    """The next number."""
    return n + 1


class RuntimeHost:
    """One session with a private supervisor of its own, which ends with this process."""

    def __init__(self, durability: str) -> None:
        self._session = tidemark.AsyncSession(
            tools=[search], durability=durability, isolation="process"
        )
        self._journal: sqlite3.Connection | None = None
        self._cells: list[tidemark.AsyncPausableCell] = []
        self._at: list[int] = []

    async def open(self) -> None:
        """Start it; returns when it answers."""
        before = {child.pid for child in psutil.Process().children()}
        await self._session.open()
        for child in psutil.Process().children():
            command = child.cmdline()
            if child.pid not in before and "--state" in command:
                place = Path(command[command.index("--state") + 1]) / "journal.db"
                self._journal = sqlite3.connect(f"file:{place}?mode=ro", uri=True)

    async def close(self) -> None:
        """End it; nothing of it is left."""
        if self._journal is not None:
            self._journal.close()
        await self._session.close()

    def commits(self) -> int:
        """How many commits it has made: the records of one commit have one time."""
        assert self._journal is not None
        query = "SELECT count(DISTINCT at_ns) FROM records"
        ((commits,),) = self._journal.execute(query).fetchall()
        return int(commits)

    async def run_to_completion(self, source: str) -> float:
        """Seconds from the request to create a cell to its completion."""
        started = perf_counter()
        cell = await self._session.create_cell(source)
        event = await cell.observe(LATE_SECONDS_MAX)
        seconds = perf_counter() - started
        if not isinstance(event, tidemark.Completed) or event.error is not None:
            raise RuntimeError(f"the cell did not complete: {event!r:.300}")
        return seconds

    async def pause_many(self, source: str, count: int) -> None:
        """Create cells and wait for their first frontiers."""
        for _ in range(count):
            self._cells.append(await self._session.create_pausable_cell(source))
        events = await asyncio.gather(*(cell.wait_to_pending() for cell in self._cells))
        self._at = [_generation(event) for event in events]

    async def cycle(self, count: int) -> list[float]:
        """Take every cell through so many tool cycles; seconds of each cycle."""
        each = await asyncio.gather(
            *(self._cycle_one(number, count) for number in range(len(self._cells)))
        )
        return [seconds for one in each for seconds in one]

    async def _cycle_one(self, number: int, count: int) -> list[float]:
        cell, seconds = self._cells[number], []
        for _ in range(count):
            began = perf_counter()
            await cell.resume(self._at[number])
            self._at[number] = _generation(await cell.wait_to_pending())
            seconds.append(perf_counter() - began)
        return seconds


def _generation(event: tidemark.Pending | tidemark.Completed | tidemark.Terminated) -> int:
    if not isinstance(event, tidemark.Pending):
        raise RuntimeError(f"the cell did not pause: {event!r:.300}")
    return event.generation
