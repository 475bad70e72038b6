"""How cost grows: `python bench/growth.py [--part PART] [--json OUT]`, and a plot of each part.

- paused: a tool cycle of one cell, against how many others are paused
- generations: a tool cycle of one cell, against how many it has had
- recovery: SIGKILL of a worker to `Resumed`, against the inputs that are replayed
- start: what a supervisor's start does before it serves, against live and finished cells

README.md beside this file says what figures can bear.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import machine
import plots
import recovery
from contender import CYCLE
from runtime_side import RuntimeHost

WINDOW = 100  # cycles that make one point
CHUNK = 100
KILLS = 5
Points = dict[str, Any]


def main() -> int:
    """Measure what was asked for; one JSON object per point on standard output."""
    asked = arguments()
    tempfile.tempdir = machine.scratch()
    parts = {"paused": paused, "generations": generations, "recovery": killed}
    figures: dict[str, list[Points]] = {}
    facts = machine.machine()
    for name, part in parts.items():
        if asked.part in {name, None}:
            figures[name] = asyncio.run(shown(name, part(asked), asked.seconds))
    if asked.part in {"start", None}:
        figures["start"] = list(start(asked))
    if asked.json is not None:
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        asked.json.write_text(json.dumps({"machine": facts, "parts": figures}, indent=1) + "\n")
        if not all(draw(name, points, asked.json) for name, points in figures.items()):
            print(plots.NO_PLOTS, file=sys.stderr)
    return 0


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=["paused", "generations", "recovery", "start"])
    parser.add_argument("--paused", type=int, nargs="*", default=[1, 10, 100, 1_000, 9_999])
    parser.add_argument(
        "--awake", type=int, default=500, help="paused cells beyond that hibernate (%(default)s)"
    )
    parser.add_argument("--generations", type=int, default=90_000)
    parser.add_argument("--inputs", type=int, nargs="*", default=[1, 10, 100, 1_000, 10_000])
    parser.add_argument("--live", type=int, nargs="*", default=[1, 10, 100, 1_000, 10_000])
    parser.add_argument("--finished", type=int, nargs="*", default=[1, 10, 100, 1_000, 10_000])
    parser.add_argument(
        "--seconds", type=float, default=900.0, help="of each part: no point after (%(default)g)"
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the points there, too")
    return parser.parse_args()


async def shown(name: str, points: Any, seconds: float) -> list[Points]:
    """The points of one part, each printed when it is there, until the time is over."""
    found: list[Points] = []
    deadline = time.monotonic() + seconds
    try:
        async for point in points:
            found.append(point)
            print(json.dumps({"part": name} | point), flush=True)
            if time.monotonic() > deadline:
                print(f"{name}: stopped at {point}, the time is over", file=sys.stderr)
                break
    finally:
        await points.aclose()
    return found


async def paused(asked: argparse.Namespace) -> Any:
    """One cell goes on, and ever more others are paused."""
    host = RuntimeHost("power")
    try:
        await host.open()
        await host.pause_many(CYCLE, 1)
        awake = there = 0
        for wanted in sorted(asked.paused):
            while there < wanted:
                some = min(CHUNK, wanted - there)
                await host.pause_many(CYCLE, some)
                if awake + some > asked.awake:
                    await host.hibernate_last(some)
                else:
                    awake += some
                there += some
            await host.cycle(WINDOW // 10, 1)
            took = sorted(await host.cycle(WINDOW, 1))
            yield {"x": there, "awake": awake, **spread(took), "level": host.level}
    finally:
        await host.close()


async def generations(asked: argparse.Namespace) -> Any:
    """One cell goes on and on."""
    host = RuntimeHost("power")
    try:
        await host.open()
        await host.pause_many(CYCLE, 1)
        done, mark = 0, 1
        while done < asked.generations:
            took = sorted(await host.cycle(min(WINDOW, asked.generations - done), 1))
            done += len(took)
            if done >= mark or done >= asked.generations:
                mark = done * 5 // 4
                yield {"x": done, **spread(took), "level": host.level}
    finally:
        await host.close()


async def killed(asked: argparse.Namespace) -> Any:
    """A worker is killed after ever more inputs."""
    host = RuntimeHost("power")
    try:
        await host.open()
        for inputs in sorted(asked.inputs):
            await host.replace_cell(inputs)
            took = sorted([await host.kill_and_resume() for _ in range(KILLS)])
            yield {"x": inputs, **spread(took), "level": host.level}
    finally:
        await host.close()


def start(asked: argparse.Namespace) -> Iterator[Points]:
    """A supervisor's start, with journals that were made for it; no workers."""
    for kind, counts, cells in (
        ("live", asked.live, recovery.paused_cells),
        ("finished", asked.finished, recovery.finished_cells),
    ):
        for count in sorted(counts):
            found = recovery.best_of_three(cells(count), recovery.start)
            point = {"x": count, "kind": kind, "p50_ms": found["seconds"] * 1_000, **found}
            print(json.dumps({"part": "start"} | point), flush=True)
            yield point


def spread(took: list[float]) -> Points:
    """Median and 90th percentile, in ms, of a sorted list."""
    at = min(len(took) - 1, int(len(took) * 0.9))
    return {"n": len(took), "p50_ms": median(took) * 1_000, "p90_ms": took[at] * 1_000}


def draw(name: str, points: list[Points], path: Path) -> bool:
    """A plot of one part, beside the JSON; whether there is something to draw with."""
    titles = {
        "paused": ("a tool cycle among paused cells", "other cells, paused"),
        "generations": ("a tool cycle of one cell", "its generations so far"),
        "recovery": ("worker killed, to Resumed", "inputs that are replayed"),
        "start": ("what a start does before it serves", "cells in the journal"),
    }
    kinds = sorted({point.get("kind", "median") for point in points})
    each = {
        kind: [point for point in points if point.get("kind", "median") == kind] for kind in kinds
    }
    drawn: list[plots.Line] = [
        (kind, [point["x"] for point in some], [point["p50_ms"] for point in some])
        for kind, some in each.items()
    ]
    title, across = titles[name]
    target = path.with_suffix(f".{name}.png")
    return plots.lines(target, title, across, "ms", drawn)


if __name__ == "__main__":
    sys.exit(main())
