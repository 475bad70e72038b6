"""Two hundred cells that end every worker they are given, and a good one among them."""

from __future__ import annotations

import asyncio
import statistics
import time
from pathlib import Path

import pytest
import tidemark
from tidemark import AsyncPausableCell, AsyncSession, Completed, Pending, Terminated

from fakes.running_supervisor import RunningSupervisor

POISON = "import os\nos._exit(0)"
CELLS = 200
SLOWER_MAX = 3.0
SLACK_SECONDS = 0.02  # of the machine, which others use too
SECONDS = 60.0


def echo(value: int) -> int:
    """What came."""
    return value


class Good:
    """A cell that goes from frontier to frontier, and how long each takes."""

    def __init__(self, cell: AsyncPausableCell) -> None:
        self.cell = cell
        self.at = 0
        self.seconds: list[float] = []

    async def begin(self) -> None:
        self.at = self._generation(await self.cell.wait_to_pending(timeout=SECONDS))

    async def cycle(self) -> None:
        began = time.perf_counter()
        await self.cell.resume(self.at, timeout=SECONDS)
        here = self._generation(await self.cell.wait_to_pending(timeout=SECONDS))
        self.seconds.append(time.perf_counter() - began)
        assert here == self.at + 1
        self.at = here

    def _generation(self, event: Pending | Completed | Terminated) -> int:
        assert isinstance(event, Pending), event
        return event.generation

    def middle(self) -> float:
        """The median of the cycles since this was asked last."""
        found, self.seconds = statistics.median(self.seconds), []
        return found


async def _poison(session: AsyncSession) -> str:
    cell = await session.create_cell(POISON)
    event = await cell.observe(SECONDS)
    assert isinstance(event, Completed), event
    assert (await cell.status()).pid is None
    return event.reason


async def _among_poison(endpoint: str) -> tuple[float, float]:
    """What a cycle takes beside one cell that computes, and beside two hundred poison cells."""
    async with tidemark.AsyncSession(endpoint=endpoint, tools=[echo]) as session:
        source = "while True:\n    await tools.echo(value=1)"
        good = Good(await session.create_pausable_cell(source))
        await good.begin()
        # Who gets the processors is the system's to decide, so that they are wanted is usual.
        other = await session.create_cell("while True: pass")
        for _ in range(60):
            await good.cycle()
        usual = good.middle()
        await other.terminate()
        poison = [asyncio.ensure_future(_poison(session)) for _ in range(CELLS)]
        while not all(task.done() for task in poison):
            await good.cycle()
        assert {await task for task in poison} == {"poison"}
        return usual, good.middle()


@pytest.mark.timeout(120)
def test_a_good_cell_goes_on_among_two_hundred(tmp_path: Path) -> None:
    made = RunningSupervisor(tmp_path, "--durability=crash")
    try:
        usual, among = asyncio.run(_among_poison(made.endpoint))
    finally:
        made.close()
    said = f"{among * 1e3:.1f} ms, usually {usual * 1e3:.1f}"
    assert among <= SLOWER_MAX * usual + SLACK_SECONDS, said
