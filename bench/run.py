"""Measure Tidemark beside a hand-written minimum of the same work: `python bench/run.py`.

See README.md beside this file for what is measured and what the figures can bear.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from types import FrameType
from typing import NoReturn

import report
from cases import Case, Contender, all_cases

ROUNDS = 20
MEMORY_FILESYSTEMS = {"tmpfs", "ramfs"}  # a sync costs nothing there, which is not durability
Turn = tuple[Case, str, Contender]


def main() -> int:
    """Run what was asked for, and print one table."""
    asked = arguments()
    signal.signal(signal.SIGTERM, end)  # so that what was started is ended
    cases = [case for case in all_cases(asked.durability) if asked.k in case.name]
    if not cases:
        print(f"no case has {asked.k!r} in its name", file=sys.stderr)
        return 2
    tempfile.tempdir = scratch()
    ready = [case for case in cases if not case.missing]
    try:
        asyncio.run(measure(ready, asked))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    figures = {case.name: report.case_figures(case) for case in ready}
    facts = report.machine() | {"durability": asked.durability, "seed": asked.seed}
    if figures:
        print(report.table(figures))
    for case in cases:
        if case.missing:
            print(f"{case.name}: skipped, {case.missing}")
    print("  ".join(f"{name} {value}" for name, value in facts.items()))
    if asked.json is not None:
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        asked.json.write_text(json.dumps({"machine": facts, "cases": figures}, indent=2) + "\n")
    return 0


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Tidemark beside a minimum of the same work.")
    parser.add_argument("-k", metavar="NAME", default="", help="only cases with this in the name")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"default {ROUNDS}")
    parser.add_argument("--count", type=int, help="pieces of work in a block, for all cases")
    parser.add_argument("--seconds", type=float, default=150.0, help="begin no round after that")
    parser.add_argument("--durability", choices=["power", "crash"], default="power")
    parser.add_argument("--json", metavar="OUT", type=Path, help="write the figures there, too")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    return parser.parse_args()


async def measure(cases: list[Case], asked: argparse.Namespace) -> None:
    """Open every contender, then give each its blocks, in an order drawn anew each round."""
    order = random.Random(asked.seed)
    deadline = time.monotonic() + asked.seconds
    async with AsyncExitStack() as stack:
        turns: list[Turn] = []
        for case in cases:
            for side, make in (("tidemark", case.runtime), ("minimum", case.minimum)):
                contender = make()
                stack.push_async_callback(contender.close)
                await contender.open()
                case.blocks[side] = []
                turns.append((case, side, contender))
        for done in range(asked.rounds):
            if done and time.monotonic() > deadline:
                print(f"stopped after {done} of {asked.rounds} rounds", file=sys.stderr)
                return
            order.shuffle(turns)
            for case, side, contender in turns:
                case.blocks[side].append(await contender.block(asked.count or case.count))


def scratch() -> str:
    """A directory for journals that is on a disk."""
    places = [tempfile.gettempdir(), "/var/tmp", str(Path.cwd())]
    on_disk = [place for place in places if report.filesystem(place) not in MEMORY_FILESYSTEMS]
    return (on_disk or places)[0]


def end(number: int, frame: FrameType | None) -> NoReturn:
    """A signal becomes an ordinary end."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
