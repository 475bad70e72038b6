"""Very many paused cells: `python bench/crowd.py [--cells 10000] [--json OUT]`.

They are created and observed at their first frontiers; those that nobody moves give up their
workers by themselves; then all are resumed, in random order, and run to their ends, each of which
has to have the value that is its own. Reports times, memory (PSS of the supervisor and all below
it) and the journal's size on the way. README.md beside this file says what figures can bear.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import machine
import psutil
import tidemark
from memory import tree_bytes
from runtime_side import search

# Each cell's numbers are its own: a value that belongs to another would be noticed.
SOURCE = "first = await tools.search(n=number)\nexit(await tools.search(n=first))\n"
LATE_SECONDS_MAX = 120.0
PR_SET_PDEATHSIG = 1
PROGRESS = 500


class Crowd:
    """The cells of one session, at a supervisor of our own."""

    def __init__(self, asked: argparse.Namespace, state: Path) -> None:
        self.asked, self.state = asked, state
        self.cells: list[tidemark.AsyncPausableCell] = []
        self.figures: dict[str, Any] = {"cells": asked.cells, "at_once": asked.at_once}
        options = ["--state", str(state), "--hibernate-seconds", str(asked.hibernate_seconds)]
        options += [] if asked.spares is None else ["--spares", str(asked.spares)]
        command = [sys.executable, "-m", "tidemark.supervisor", *options]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, preexec_fn=_end_with_parent
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the supervisor did not start; what it said stands above")
        self.endpoint = json.loads(line)["endpoint"]
        self.supervisor = psutil.Process(self.process.pid)

    def close(self) -> None:
        """End the supervisor; its journal goes with the directory."""
        self.process.terminate()
        self.process.wait(LATE_SECONDS_MAX)

    async def run(self) -> None:
        """All of it."""
        async with tidemark.AsyncSession(
            "crowd", endpoint=self.endpoint, tools=[search]
        ) as session:
            self.figures["level"] = str(session.isolation)
            await self.stage("created and observed", self.create(session))
            await self.stage("all hibernated", self.rest())
            await self.stage("resumed and completed", self.finish())
            await session.close()

    async def stage(self, name: str, work: Any) -> None:
        """Do it, and say what it took."""
        began = time.perf_counter()
        found = await work
        seconds = time.perf_counter() - began
        figures = {
            "seconds": round(seconds, 2),
            "ms_each": round(seconds / self.asked.cells * 1e3, 3),
            **found,
            **self.sizes(),
        }
        self.figures[name] = figures
        print(json.dumps({"stage": name, **figures}), flush=True)

    def sizes(self) -> dict[str, Any]:
        """Memory and the journal's size now."""
        files = self.state.glob("journal.db*")
        return {
            "memory_mb": round(tree_bytes(self.supervisor) / 1e6, 1),
            "supervisor_mb": round(self.supervisor.memory_info().rss / 1e6, 1),
            "processes": 1 + len(self.supervisor.children(recursive=True)),
            "journal_mb": round(sum(file.stat().st_size for file in files) / 1e6, 1),
        }

    async def create(self, session: tidemark.AsyncSession) -> dict[str, Any]:
        """Create all, some at a time, each until it is seen at its frontier."""
        most: dict[str, Any] = {"memory_mb": 0}

        async def one(number: int) -> None:
            nonlocal most
            cell = await session.create_pausable_cell(SOURCE, inputs={"number": number * 10})
            self.cells.append(cell)
            event = await cell.wait_to_pending(timeout=LATE_SECONDS_MAX)
            if not isinstance(event, tidemark.Pending) or event.generation != 1:
                raise RuntimeError(f"{cell.id} is not at its first frontier: {event!r:.300}")
            if len(self.cells) % PROGRESS == 0:
                now = self.sizes()
                print(json.dumps({"there": len(self.cells), **now}), file=sys.stderr, flush=True)
                most = max(most, now, key=lambda each: each["memory_mb"])

        await self.at_once(one, range(self.asked.cells))
        return {"most_on_the_way": most}

    async def rest(self) -> dict[str, Any]:
        """Until no cell has a worker."""
        deadline = time.monotonic() + LATE_SECONDS_MAX + 2 * self.asked.hibernate_seconds
        for cell in self.cells:
            while (await cell.status()).pid is not None:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{cell.id} still has a worker: {await cell.status()}")
                await asyncio.sleep(0.05)
        return {}

    async def finish(self) -> dict[str, Any]:
        """Resume all in random order, each to its end and its own value."""
        order = list(enumerate(self.cells))
        random.Random(self.asked.seed).shuffle(order)
        took: list[float] = []

        async def one(numbered: tuple[int, tidemark.AsyncPausableCell]) -> None:
            _, cell = numbered
            began = time.perf_counter()
            frontier = await cell.frontier()
            await cell.resume(frontier.generation, timeout=LATE_SECONDS_MAX)
            event = await cell.wait_to_pending(timeout=LATE_SECONDS_MAX)
            while isinstance(event, tidemark.Pending):
                await cell.resume(event.generation)
                event = await cell.wait_to_pending(timeout=LATE_SECONDS_MAX)
            took.append(time.perf_counter() - began)
            call = frontier.tool_calls[0]
            if not isinstance(event, tidemark.Completed) or event.value != call.arguments["n"] + 2:
                raise RuntimeError(f"{cell.id} has not come to its own end: {event!r:.300}")
            if len(took) % PROGRESS == 0:
                print(json.dumps({"done": len(took), **self.sizes()}), file=sys.stderr, flush=True)

        await self.at_once(one, order)
        took.sort()
        each = {"p50_ms": took[len(took) // 2] * 1e3, "p99_ms": took[int(len(took) * 0.99)] * 1e3}
        return {name: round(value, 1) for name, value in each.items()}

    async def at_once(self, work: Any, items: Any) -> None:
        """Do it with every item, so many at a time."""
        waiting = iter(items)

        async def some() -> None:
            for item in waiting:
                await work(item)

        async with asyncio.TaskGroup() as group:
            for _ in range(self.asked.at_once):
                group.create_task(some())


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def main() -> int:
    """Run it; what was measured goes to standard output, progress to standard error."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--at-once", type=int, default=16, help="cells that are moved at a time")
    parser.add_argument("--hibernate-seconds", type=float, default=2.0)
    parser.add_argument("--spares", type=int, help="workers kept ready (default: as usual)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures there, too")
    asked = parser.parse_args()
    tempfile.tempdir = machine.scratch()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is ended
    facts = machine.machine()
    with tempfile.TemporaryDirectory(prefix="tmcrowd") as place:
        crowd = Crowd(asked, Path(place))
        try:
            asyncio.run(crowd.run())
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130
        finally:
            crowd.close()
    if asked.json is not None:
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"machine": facts, "figures": crowd.figures}, indent=1)
        asked.json.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
