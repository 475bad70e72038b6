"""What it costs that cells can be told again: `python bench/reproducible.py`.

Each operation is timed in a process as Python makes it, and in one with a cell's clock, randomness
and tasks in place, in turn, and the best of each is shown. README.md says what figures can bear.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

ROUNDS = 5
SEED = bytes(range(32))


class Stopwatch:
    """Keeps Python's own clock, which is replaced wherever modules have it as a name."""

    def __init__(self) -> None:
        self.now_ns = time.perf_counter_ns


WATCH = Stopwatch()


def main() -> int:
    """Print the table, or with `--side` the figures of one process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", choices=["plain", "cell"])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    asked = parser.parse_args()
    if asked.side is not None:
        print(json.dumps(start_of_a_cell() if asked.side == "cell" else operations()))
        return 0
    best: dict[str, dict[str, float]] = {"plain": {}, "cell": {}}
    for _ in range(asked.rounds):
        for side, figures in best.items():
            for name, nanoseconds in one_process(side).items():
                figures[name] = min(nanoseconds, figures.get(name, nanoseconds))
    print(f"{'':44}{'python':>10}{'cell':>10}   us")
    for name, nanoseconds in best["cell"].items():
        plain = best["plain"].get(name)
        shown = "" if plain is None else f"{plain / 1000:.2f}"
        print(f"{name:44}{shown:>10}{nanoseconds / 1000:>10.2f}")
    return 0


def one_process(side: str) -> dict[str, float]:
    """The figures of a new process, in ns."""
    command = [sys.executable, __file__, "--side", side]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def start_of_a_cell() -> dict[str, float]:
    """Install as a zygote does, begin as a worker does, then the operations."""
    from tidemark.worker import hash_of_none

    figures: dict[str, float] = {}
    began = WATCH.now_ns()
    hash_of_none.make_constant()
    figures["zygote: the hash of None"] = WATCH.now_ns() - began
    from tidemark.worker import reproducible

    began = WATCH.now_ns()
    installed = reproducible.install()
    figures["zygote: replace the functions"] = WATCH.now_ns() - began
    from tidemark.worker import real
    from tidemark.worker.clock import CellClock

    gc.collect()
    gc.freeze()
    began = WATCH.now_ns()
    clock = CellClock(real.time_ns(), real.monotonic_ns(), real.time_ns())
    installed.begin(SEED, clock, lambda why: None)
    figures["worker: begin"] = WATCH.now_ns() - began
    clock.on_crowded = clock.drain
    figures["worker: hand over an input"] = timed(lambda: clock.hand_over(0, is_due))
    figures["worker: drain the record"] = timed(clock.drain)
    gc.disable()
    figures["worker: collect an empty heap"] = timed(gc.collect)
    kept = [[] for _ in range(100_000)]
    figures["worker: collect, 100,000 lists live"] = timed(gc.collect, 10)
    del kept
    return figures | operations()


def is_due() -> bool:
    """As in a cell that has made no garbage."""
    return gc.get_count()[0] > 1_000_000


def operations() -> dict[str, float]:
    """What cells do, in ns for each."""
    import datetime
    import os
    import random
    import secrets
    import uuid

    figures = {
        "time.time()": timed(time.time),
        "time.monotonic()": timed(time.monotonic),
        "time.process_time()": timed(time.process_time),
        "time.strftime('%H')": timed(lambda: time.strftime("%H")),
        "datetime.now()": timed(datetime.datetime.now),
        "os.urandom(16)": timed(lambda: os.urandom(16)),
        "random.random()": timed(random.random),
        "random.Random()": timed(random.Random, 2_000),
        "secrets.token_hex()": timed(secrets.token_hex),
        "uuid.uuid4()": timed(uuid.uuid4),
        "uuid.uuid1()": timed(uuid.uuid1),
        "hash(None)": timed(lambda: hash(None)),
    }
    return figures | dict(tasks())


def tasks() -> Iterator[tuple[str, float]]:
    """What asyncio does, on a loop of its own."""
    import asyncio
    import selectors

    cell_loop: Any = sys.modules.get("tidemark.worker.numbered")
    selector = selectors.EpollSelector()
    loop = (cell_loop.NumberingLoop if cell_loop else asyncio.SelectorEventLoop)(selector)
    asyncio.set_event_loop(loop)

    async def nothing() -> None:
        return

    async def create() -> float:
        began = WATCH.now_ns()
        for _ in range(20_000):
            await loop.create_task(nothing())
        return (WATCH.now_ns() - began) / 20_000

    async def await_future() -> float:
        began = WATCH.now_ns()
        for _ in range(20_000):
            future = loop.create_future()
            loop.call_soon(future.set_result, None)
            await future
        return (WATCH.now_ns() - began) / 20_000

    async def first_of_many() -> float:
        began = WATCH.now_ns()
        for _ in range(200):
            for each in asyncio.as_completed([nothing() for _ in range(10)]):
                await each
        return (WATCH.now_ns() - began) / 2_000

    yield "create a task and await it", loop.run_until_complete(create())
    yield "await a future", loop.run_until_complete(await_future())
    yield "as_completed of ten, for each", loop.run_until_complete(first_of_many())
    futures = [loop.create_future() for _ in range(1_000)]
    yield "set of futures, for each", timed(lambda: set(futures), 500) / 1_000
    loop.close()


def timed(operation: Callable[[], Any], count: int = 20_000) -> float:
    """ns for each."""
    began = WATCH.now_ns()
    for _ in range(count):
        operation()
    return (WATCH.now_ns() - began) / count


if __name__ == "__main__":
    sys.exit(main())
