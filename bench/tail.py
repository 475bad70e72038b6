"""A cycle's tail while others are busy: `python bench/tail.py [--rounds N] [--json OUT]`.

One pausable cell goes from frontier to frontier, `durability="power"`, at the default level, while

- nothing: nobody else does anything;
- printer: another cell prints 10 MB/s, and is listened to;
- creates: 200 cells are created and run to their ends, over and over;
- other-printer, other-creates: the same by another host, a process of its own;
- checkpoint: 60 MB are moved from the journal's log into its database. They have come there before,
  while somebody who read the journal kept it from being emptied.

The minimum takes its turn in each round, alone. README.md says what figures can bear.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import machine
import minimum_side as by_hand
from contender import CYCLE
from neighbour import Busy, busy_elsewhere, busy_here
from runtime_side import RuntimeHost

CYCLES = 120  # of each side in one round: more than enough commits for a checkpoint to begin
OTHER = "other-"
CONDITIONS = ("nothing", "printer", "other-printer", "creates", "other-creates", "checkpoint")
SETTLED_SECONDS = 0.5  # between two conditions: what was ended leaves processes behind it


async def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """Cycles of each condition and of the minimum, in an order drawn anew each round."""
    host, minimum = RuntimeHost("power"), by_hand.Cycles("power", 1)
    took: dict[str, list[float]] = {name: [] for name in (*asked.beside, "minimum")}
    try:
        await host.open()
        await minimum.open()
        await host.pause_many(CYCLE, 1)
        for number in range(asked.rounds):
            names = list(took)
            random.Random(asked.seed + number).shuffle(names)
            for name in names:
                if name == "minimum":
                    took[name] += (await minimum.block(CYCLES)).pieces
                else:
                    if name == "checkpoint":
                        await Busy(host.session).fill_log(host.journal)
                    took[name] += await beside(neighbour(name, host), host)
            print(f"round {number + 1} of {asked.rounds}", file=sys.stderr, flush=True)
        return {"level": host.level, **figures(took)}
    finally:
        await minimum.close()
        await host.close()


async def beside(neighbour: AbstractAsyncContextManager[None], host: RuntimeHost) -> list[float]:
    """Cycles while this goes on, from a moment after its beginning."""
    await asyncio.sleep(SETTLED_SECONDS)
    async with neighbour:
        await host.cycle(CYCLES // 4, 1)
        return await host.cycle(CYCLES, 1)


def neighbour(name: str, host: RuntimeHost) -> AbstractAsyncContextManager[None]:
    """Who is busy under this condition: in the host that is measured, or in one of its own."""
    if name.startswith(OTHER):
        return busy_elsewhere(host.endpoint, name.removeprefix(OTHER))
    return busy_here(host.session, "nothing" if name == "checkpoint" else name)


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
