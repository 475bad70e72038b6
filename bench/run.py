"""Measure Tidemark beside a hand-written minimum and its peers: `python bench/run.py`.

See README.md beside this file for what is measured and what the figures can bear.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import machine
import plots
import report
import zmq
from cases import MANY, Case, all_cases
from contender import Contender, NotHereError
from peer_side import PLACES, Peers
from tidemark import TidemarkError

SECONDS = 660.0  # of a full run: with the installation it has to be less than 15 minutes


def main() -> int:
    """Run what was asked for, and print one table."""
    asked = arguments()
    signal.signal(signal.SIGTERM, end)  # so that what was started is ended
    tempfile.tempdir = machine.scratch()
    place = os.environ.get(PLACES)
    peers = Peers(Path(place) if place else None)
    known = all_cases(asked.durability, peers, asked.many)
    cases = [case for case in known if case.name == asked.k]
    cases = cases or [case for case in known if asked.k in case.name]
    if not cases:
        names = ", ".join(case.name for case in known)
        print(f"no case has {asked.k!r} in its name; there are {names}", file=sys.stderr)
        return 2
    facts = machine.machine() | {"durability": asked.durability, "seed": asked.seed}
    facts |= {"rounds": asked.rounds or "full", "many": asked.many, "peers": peers.versions()}
    began, status = time.monotonic(), 0
    try:
        asyncio.run(measure(cases, asked, began + asked.seconds))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except (RuntimeError, OSError, zmq.ZMQError, TidemarkError) as error:
        print(f"stopped, with what there is: {type(error).__name__}: {error}", file=sys.stderr)
        status = 1
    figures = {
        case.name: report.case_figures(case) for case in cases if case.blocks or case.missing
    }
    facts["seconds"] = round(time.monotonic() - began)
    print(report.table(figures))
    print("  ".join(f"{name} {value}" for name, value in facts.items() if name != "peers"))
    print("  ".join(f"{name} {value}" for name, value in facts["peers"].items()))
    if asked.json is not None:
        write(asked.json, {"machine": facts, "cases": figures})
    return status


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Tidemark beside a minimum of the same work.")
    parser.add_argument(
        "-k",
        metavar="NAME",
        default="",
        help="only the case of this name, or all with this in their names",
    )
    parser.add_argument("--rounds", type=int, help="of each case; default: its own, 2 to 20")
    parser.add_argument("--count", type=int, help="pieces of work in a block, at most")
    parser.add_argument(
        "--seconds",
        type=float,
        default=SECONDS,
        help="begin no further round then (%(default)g)",
    )
    parser.add_argument("--many", type=int, default=MANY, help="paused cells (%(default)s)")
    parser.add_argument("--only", nargs="*", help="only these sides: tidemark, minimum, monty, ...")
    parser.add_argument("--durability", choices=["power", "crash"], default="power")
    parser.add_argument("--json", metavar="OUT", type=Path, help="write the figures there, too")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    return parser.parse_args()


async def measure(cases: list[Case], asked: argparse.Namespace, deadline: float) -> None:
    """One case after the other: open its sides, then give each its blocks, shuffled each round."""
    for at, case in enumerate(cases):
        left = deadline - time.monotonic()
        # What a case does not use of its share is there for the next ones. Each has one round.
        share = time.monotonic() + max(0.0, left) / (len(cases) - at)
        await measure_one(case, asked, share)


async def measure_one(case: Case, asked: argparse.Namespace, deadline: float) -> None:
    """All rounds of a case; a side that cannot be had is left out, with the reason."""
    print(f"{case.name}: {case.what}", file=sys.stderr)
    async with AsyncExitStack() as stack:
        sides: dict[str, Contender] = {}
        for side, make in case.sides.items():
            if asked.only and side.split()[0] not in asked.only:
                continue
            sides[side] = contender = make()
            stack.push_async_callback(contender.close)
            await attempt(case, sides, side, contender.open())
        rounds = asked.rounds or case.rounds
        for done in range(rounds):
            if done and time.monotonic() > deadline:
                print(f"{case.name}: stopped after {done} of {rounds} rounds", file=sys.stderr)
                break
            for side in report.shuffled(list(sides), asked.seed, done):
                began = time.monotonic()
                block = sides[side].block(case.count_of(side, asked.count))
                await attempt(case, sides, side, block)
                if side not in sides:  # what was waited for it is nobody else's loss
                    deadline += time.monotonic() - began
        for side, contender in sides.items():
            if level := getattr(contender, "level", ""):
                case.levels[side] = level


async def attempt(case: Case, sides: dict[str, Contender], side: str, going: Any) -> None:
    """Open a side, or take a block of it. A peer that cannot go on leaves the case."""
    try:
        block = await going
    except (NotHereError, PermissionError) as error:
        print(f"{case.name}: {side}: {error}", file=sys.stderr)
        case.missing[side] = str(error)
        case.blocks.pop(side, None)
        del sides[side]
        return
    blocks = case.blocks.setdefault(side, [])
    if block is not None:
        blocks.append(block)


def write(path: Path, figures: dict[str, Any]) -> None:
    """The figures as JSON, and the plots beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=1) + "\n")
    if said := plots.of_run(figures, path):
        print(said, file=sys.stderr)


def end(number: int, frame: FrameType | None) -> NoReturn:
    """A signal becomes an ordinary end."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
