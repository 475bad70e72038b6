"""What keeps a supervisor busy beside a cell that is measured; also as a host of its own.

`python bench/neighbour.py NAME ENDPOINT` does it there until its standard input is closed, and says
`busy` when it has begun.
"""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import tidemark
from contender import HELLO

BURST = 200
LATE_SECONDS_MAX = 120.0
LISTENED_SECONDS = 0.05  # what is put out is taken as often
ENDS_SECONDS_MAX = 30.0
PRINTER = """
import time
began, printed = time.monotonic(), 0
while printed < 60_000_000:
    print("x" * 9_999)
    printed += 10_000
    ahead = printed / 10_000_000 - (time.monotonic() - began)
    if ahead > 0.002:
        time.sleep(ahead)
"""
WRITER = "for _ in range(15):\n    text('x' * 4_000_000)\n"


class Busy:
    """Somebody else, who is busy until told to stop."""

    def __init__(self, session: tidemark.AsyncSession) -> None:
        self._session = session

    async def nothing(self) -> None:
        """Until cancelled."""
        await asyncio.Event().wait()

    async def printer(self) -> None:
        """One after the other; each ends before its limit of output."""
        while True:
            await self._run(PRINTER, LISTENED_SECONDS)

    async def fill_log(self, journal: Path) -> None:
        """Leave 60 MB in the journal's log, which nobody could take away."""
        reader = sqlite3.connect(f"file:{journal}?mode=ro", uri=True, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM records").fetchall()
        try:
            await self._run(WRITER)
        finally:
            reader.close()

    async def creates(self) -> None:
        """Bursts without a pause."""
        while True:
            await asyncio.gather(*(self._run(HELLO) for _ in range(BURST)))

    async def _run(self, source: str, listened_seconds: float = LATE_SECONDS_MAX) -> None:
        cell = await self._session.create_cell(source)
        try:
            event: Any = None
            while not isinstance(event, tidemark.Completed):
                event = await cell.observe(listened_seconds)
            if event.error is not None:
                raise RuntimeError(f"a busy cell failed: {event.error[-300:]}")
        except asyncio.CancelledError:
            await cell.terminate()
            raise

    @property
    def kinds(self) -> dict[str, Callable[[], Coroutine[Any, Any, None]]]:
        """What it can be busy with."""
        return {"nothing": self.nothing, "printer": self.printer, "creates": self.creates}


@asynccontextmanager
async def busy_here(session: tidemark.AsyncSession, name: str) -> AsyncIterator[None]:
    """Somebody is busy in this session, and is stopped at the end; raises what they raised."""
    task = asyncio.ensure_future(Busy(session).kinds[name]())
    try:
        yield
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.wait([task])


@asynccontextmanager
async def busy_elsewhere(endpoint: str, name: str) -> AsyncIterator[None]:
    """The same by another host, a process of its own, at the same supervisor."""
    command = [sys.executable, __file__, name, endpoint]
    pipe = subprocess.PIPE
    other = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    assert other.stdin is not None
    assert other.stdout is not None
    try:
        if await other.stdout.readline() != b"busy\n":
            raise RuntimeError("the other host did not begin")
        yield
        other.stdin.close()
        async with asyncio.timeout(ENDS_SECONDS_MAX):
            if status := await other.wait():
                raise RuntimeError(f"the other host has ended with status {status}")
    finally:
        if other.returncode is None:
            other.kill()
            await other.wait()


async def serve(name: str, endpoint: str) -> None:
    """Be that other host, until nobody wants it any more or what it does has failed."""
    async with tidemark.AsyncSession(endpoint=endpoint) as session:
        task = asyncio.ensure_future(Busy(session).kinds[name]())
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), task.cancel)  # it is closed
        print("busy", flush=True)
        with suppress(asyncio.CancelledError):
            await task
        await session.close()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
