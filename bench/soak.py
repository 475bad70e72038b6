"""Load for as long as one likes: `python bench/soak.py --minutes 60 [--json OUT]`.

Short cells, long cells of many tool calls, terminations; workers and supervisors are killed all the
while. Every effect of a tool is written down, and what the cells say is compared with that ledger:
no effect twice, none missing. Memory, descriptors, processes, the journal's size and latency are
sampled over time; with matplotlib they are a plot beside the JSON. Exit status 1 when something was
wrong. README.md beside this file says more.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import machine
import plots
import psutil
import soak_samples
import tidemark

PR_SET_CHILD_SUBREAPER = 36
LATE_SECONDS_MAX = 120.0
AGAIN_SECONDS = 0.2
BY_INTERRUPT = 130
SHORT_CALLS = 2
LONG_CALLS_MAX = 200
TERMINATED = 0.1  # of the long cells, somewhere on their way
# Each effect's number counts for itself: a missing or a repeated one changes the sum.
SOURCE = """
total = 0
for n in range(count):
    total += await tools.effect(cell=me, n=n)
    print(n)
exit(total)
"""


@dataclass(slots=True)
class World:
    """The ledger of effects, and what was done so far."""

    effects: Counter[tuple[str, int]] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    cycles: list[float] = field(default_factory=list)  # since the last sample
    creates: list[float] = field(default_factory=list)
    struck: dict[str, int] = field(default_factory=dict)  # each frontier's worker is killed once
    is_over: bool = False

    async def effect(self, cell: str, n: int) -> int:
        """Happens, and gives its number."""
        self.effects[cell, n] += 1
        return n

    def check(self, cell: str, count: int, event: Any, output: list[str]) -> None:
        """Compare an ended cell with the ledger."""
        mine = [self.effects.pop((cell, n), 0) for n in range(count)]
        said = [int(line) for line in "".join(output).split()]
        if any(times > 1 for times in mine):
            self.wrong.append(f"{cell}: an effect happened twice: {mine}")
        if said != list(range(len(said))):
            self.wrong.append(f"{cell}: its output came twice or is missing: {said}")
        if isinstance(event, tidemark.Terminated):
            self.done["terminated"] += 1
            return
        self.done[f"completed, {event.reason}"] += 1
        if event.reason != "ended":
            self.wrong.append(f"{cell}: {event.reason}: {event.error or ''}"[-400:])
        elif mine != [1] * count or event.value != sum(range(count)) or len(said) != count:
            self.wrong.append(f"{cell}: {mine} effects, value {event.value}, {len(said)} lines")


class Load:
    """Drivers of cells, and those who kill, on one session."""

    def __init__(self, asked: argparse.Namespace, state: Path) -> None:
        self.asked = asked
        self.state = state
        self.world = World()
        self.chance = random.Random(asked.seed)
        self.going: dict[str, tidemark.AsyncPausableCell] = {}
        self.made = 0
        self.session = tidemark.AsyncSession(
            "soak", state=state, tools=[self.world.effect], durability=asked.durability
        )

    async def run(self) -> list[dict[str, Any]]:
        """Until the time is over and every cell has ended; the samples."""
        async with self.session:
            drivers = [self.drive_short() for _ in range(self.asked.short)]
            drivers += [self.drive_long() for _ in range(self.asked.long)]
            samples: list[dict[str, Any]] = []
            others = [
                asyncio.ensure_future(other)
                for other in (self.kill_workers(), self.kill_supervisors(), self.sample(samples))
            ]
            try:
                async with asyncio.TaskGroup() as group:
                    for driver in drivers:
                        group.create_task(driver)
                    await asyncio.sleep(self.asked.minutes * 60)
                    self.world.is_over = True
            finally:
                self.world.is_over = True
                await asyncio.gather(*others)
            await self.session.close()
        return samples

    # -- cells ------------------------------------------------------------------------------------

    def new_inputs(self, count: int) -> tuple[str, dict[str, Any]]:
        """A name of its own, and what its code is given."""
        self.made += 1
        me = f"cell-{self.made}"
        return me, {"me": me, "count": count}

    async def drive_short(self) -> None:
        """One short continuing cell after the other."""
        while not self.world.is_over:
            me, inputs = self.new_inputs(SHORT_CALLS)
            began, output = time.perf_counter(), []
            cell = await self.session.create_cell(SOURCE, inputs=inputs)
            event: Any = None
            while not isinstance(event, tidemark.Completed | tidemark.Terminated):
                event = await cell.observe(LATE_SECONDS_MAX)
                output += texts(event)
            self.world.creates.append(time.perf_counter() - began)
            self.world.check(me, SHORT_CALLS, event, output)

    async def drive_long(self) -> None:
        """One pausable cell after the other, from frontier to frontier; some are terminated."""
        while not self.world.is_over:
            count = self.chance.randint(5, LONG_CALLS_MAX)
            ends_at = self.chance.randint(1, count) if self.chance.random() < TERMINATED else None
            me, inputs = self.new_inputs(count)
            cell = await self.session.create_pausable_cell(SOURCE, inputs=inputs)
            self.going[me] = cell
            event, output = await cell.wait_to_pending(timeout=LATE_SECONDS_MAX), []
            while isinstance(event, tidemark.Pending):
                output += texts(event)
                if event.generation == ends_at or self.world.is_over:
                    break
                began = time.perf_counter()
                await cell.resume(event.generation, timeout=LATE_SECONDS_MAX)
                event = await cell.wait_to_pending(timeout=LATE_SECONDS_MAX)
                self.world.cycles.append(time.perf_counter() - began)
            if isinstance(event, tidemark.Pending):
                event = await cell.terminate()
            output += texts(event)
            del self.going[me]
            self.world.struck.pop(me, None)
            self.world.check(me, count, event, output)

    # -- who kills --------------------------------------------------------------------------------

    async def kill_workers(self) -> None:
        """A long cell's worker, now and then; never twice at one frontier, which is poison."""
        while await self.later(self.asked.kill_worker_every):
            going = list(self.going.items())
            if not going:
                continue
            me, cell = self.chance.choice(going)
            status = await cell.status()
            if status.pid is None or self.world.struck.get(me) == status.generation:
                continue
            self.world.struck[me] = status.generation or 0
            if stop(status.pid):
                self.world.done["workers killed"] += 1

    async def kill_supervisors(self) -> None:
        """The supervisor, more seldom. Its host starts the next one."""
        while await self.later(self.asked.kill_supervisor_every):
            pid = soak_samples.supervisor_pid(self.state)
            if pid is not None and stop(pid):
                self.world.done["supervisors killed"] += 1

    async def later(self, seconds: float) -> bool:
        """After some time around that; False when the load is over, or nothing is to be killed."""
        if seconds <= 0:
            return False
        until = time.monotonic() + self.chance.uniform(0.5, 1.5) * seconds
        while time.monotonic() < until and not self.world.is_over:
            await asyncio.sleep(min(0.2, seconds))
        return not self.world.is_over

    # -- what is seen -----------------------------------------------------------------------------

    async def sample(self, samples: list[dict[str, Any]]) -> None:
        """Add to the samples until the load is over."""
        began = time.monotonic()
        while not self.world.is_over:
            await asyncio.sleep(self.asked.sample_every)
            world = self.world
            taken = soak_samples.taken(self.state)
            taken["minutes"] = (time.monotonic() - began) / 60
            taken["cycle_ms"] = soak_samples.median_ms(world.cycles)
            taken["cycle_p99_ms"] = soak_samples.percentile_ms(world.cycles, 99)
            taken["short_cell_ms"] = soak_samples.median_ms(world.creates)
            taken["cycles_per_s"] = len(world.cycles) / self.asked.sample_every
            world.cycles, world.creates = [], []
            samples.append(taken)
            print(json.dumps(taken), flush=True)


def texts(event: Any) -> list[str]:
    """An event's output."""
    return [item.text for item in event.output]


def stop(pid: int) -> bool:
    """SIGKILL; whether it was still there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="A mix of work and kills, against a ledger.")
    parser.add_argument("--minutes", type=float, default=60.0, help="default %(default)g")
    parser.add_argument("--short", type=int, default=2, help="short cells at once (%(default)s)")
    parser.add_argument("--long", type=int, default=8, help="long cells at once (%(default)s)")
    parser.add_argument("--kill-worker-every", type=float, default=2.0, metavar="SECONDS")
    parser.add_argument("--kill-supervisor-every", type=float, default=30.0, metavar="SECONDS")
    parser.add_argument("--sample-every", type=float, default=5.0, metavar="SECONDS")
    parser.add_argument("--durability", choices=["power", "crash"], default="power")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--json", type=Path, metavar="OUT", help="write figures there, and a plot")
    return parser.parse_args()


def end_all(state: Path) -> list[str]:
    """End the supervisor and what it would leave to a successor; what does not end, in words.

    One that is only just starting says later who it is.
    """
    deadline = time.monotonic() + LATE_SECONDS_MAX
    while (left := soak_samples.descendants()) and time.monotonic() < deadline:
        pid = soak_samples.supervisor_pid(state)  # a killed one's number may be another's by now
        supervisor = [each for each in left if each.pid == pid]
        for each in supervisor + soak_samples.zygotes():  # these would wait for a successor
            with suppress(psutil.NoSuchProcess):
                each.terminate()
        time.sleep(AGAIN_SECONDS)
    return [" ".join(each.cmdline()) for each in left]


def main() -> int:
    """Run it, and say how it was."""
    asked = arguments()
    if asked.minutes <= 0:
        print("--minutes has to be above 0", file=sys.stderr)
        return 2
    # A killed supervisor's zygote becomes our child: so all processes can be counted.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    facts = machine.machine() | {"seed": asked.seed, "durability": asked.durability}
    with tempfile.TemporaryDirectory(prefix="tmb-soak-", dir=machine.scratch()) as place:
        load = Load(asked, Path(place) / "state")
        try:
            samples = asyncio.run(load.run())
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return BY_INTERRUPT
        finally:
            left = end_all(load.state)
    world = load.world
    world.wrong += [f"a process is left: {each}" for each in left]
    summary = {"done": dict(world.done), "wrong": world.wrong}
    print(json.dumps(summary), flush=True)
    if asked.json is not None:
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        whole = {"machine": facts, **summary, "samples": samples}
        asked.json.write_text(json.dumps(whole, indent=1) + "\n")
        if samples and not plots.panels(*soak_samples.panels(asked.json, samples, world.done)):
            print(plots.NO_PLOTS, file=sys.stderr)
    return 1 if world.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
