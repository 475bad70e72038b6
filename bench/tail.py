"""A cycle's tail while others are busy: `python bench/tail.py [--rounds N] [--json OUT]`.

One pausable cell goes from frontier to frontier, `durability="power"`, at the default level, while

- nothing: nobody else does anything;
- printer: another cell prints 10 MB/s, and is listened to;
- creates: 200 cells are created and run to their ends, over and over;
- checkpoint: 60 MB are moved from the journal's log into its database. They have come there before,
  while somebody who read the journal kept it from being emptied.

The minimum takes its turn in each round, alone. README.md says what figures can bear.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import machine
import minimum_side as by_hand
import tidemark
from contender import CYCLE, HELLO
from runtime_side import RuntimeHost

CYCLES = 120  # of each side in one round: more than enough commits for a checkpoint to begin
BURST = 200
LATE_SECONDS_MAX = 120.0
LISTENED_SECONDS = 0.05  # what is put out is taken as often
SETTLED_SECONDS = 0.5  # between two conditions: what was ended leaves processes behind it
PRINTER = """
import asyncio, time
began, printed = time.monotonic(), 0
while printed < 60_000_000:
    print("x" * 9_999)
    printed += 10_000
    ahead = printed / 10_000_000 - (time.monotonic() - began)
    if ahead > 0.002:
        await asyncio.sleep(ahead)
"""
WRITER = "for _ in range(15):\n    text('x' * 4_000_000)\n"


class Busy:
    """Somebody else, who is busy until told to stop."""

    def __init__(self, session: tidemark.AsyncSession) -> None:
        self._session = session
        self.done = 0

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
            self.done += 1
        except asyncio.CancelledError:
            await cell.terminate()
            raise


async def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """Cycles of each condition and of the minimum, in an order drawn anew each round."""
    host, minimum = RuntimeHost("power"), by_hand.Cycles("power", 1)
    took: dict[str, list[float]] = {name: [] for name in (*asked.beside, "minimum")}
    try:
        await host.open()
        await minimum.open()
        await host.pause_many(CYCLE, 1)
        busy = Busy(host.session)
        for number in range(asked.rounds):
            names = list(took)
            random.Random(asked.seed + number).shuffle(names)
            for name in names:
                if name == "minimum":
                    took[name] += (await minimum.block(CYCLES)).pieces
                else:
                    if name == "checkpoint":
                        await busy.fill_log(host.journal)
                    took[name] += await beside(CONDITIONS[name](busy), host)
            print(f"round {number + 1} of {asked.rounds}", file=sys.stderr, flush=True)
        return {"level": host.level, **figures(took)}
    finally:
        await minimum.close()
        await host.close()


async def beside(work: Coroutine[Any, Any, None], host: RuntimeHost) -> list[float]:
    """Cycles while this goes on, from a moment after its beginning."""
    await asyncio.sleep(SETTLED_SECONDS)
    task = asyncio.ensure_future(work)
    try:
        await host.cycle(CYCLES // 4, 1)
        found = await host.cycle(CYCLES, 1)
        if task.done():
            task.result()  # it failed
        return found
    finally:
        task.cancel()
        await asyncio.wait([task])


CONDITIONS: dict[str, Callable[[Busy], Coroutine[Any, Any, None]]] = {
    "nothing": Busy.nothing,
    "printer": Busy.printer,
    "creates": Busy.creates,
    "checkpoint": Busy.nothing,  # see `fill_log`
}


def figures(took: dict[str, list[float]]) -> dict[str, Any]:
    """Percentiles in ms, and the p99 as a multiple of the minimum's."""
    found: dict[str, Any] = {}
    for name, seconds in took.items():
        seconds.sort()
        at = {share: seconds[int(len(seconds) * share)] * 1e3 for share in (0.5, 0.9, 0.99)}
        found[name] = {"n": len(seconds), "p50": at[0.5], "p90": at[0.9], "p99": at[0.99]}
    for each in found.values():
        each["x_p99"] = each["p99"] / found["minimum"]["p99"]
    return found


def main() -> int:
    """Measure, and print one line for each condition."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--beside", nargs="*", choices=CONDITIONS, default=list(CONDITIONS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures there, too")
    asked = parser.parse_args()
    tempfile.tempdir = machine.scratch()
    facts = machine.machine()
    try:
        found = asyncio.run(measure(asked))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    for name, each in found.items():
        if name != "level":
            shown = "  ".join(f"{key} {value:8.2f}" for key, value in each.items())
            print(f"{name:12} {shown}")
    if asked.json is not None:
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"machine": facts, "figures": found}, indent=1)
        asked.json.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
