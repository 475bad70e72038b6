"""What each level of isolation costs: `python bench/levels.py`.

Cost of a cell from `create_cell` to `Completed`, at each level that this machine gives, beside
level `process`; memory of an idle cell; and time from SIGKILL of a worker to its end, and to the
moment when nothing of it is left. With numpy, if it is installed: imported by the cell, and
imported before by the zygote. Rounds are interleaved in an order drawn anew. README.md says what
figures can bear.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import select
import signal
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import tidemark

LEVELS: Final = ("process", "restricted", "sealed")
EMPTY: Final = "exit(1)"
WITH_NUMPY: Final = "import numpy\nexit(int(numpy.arange(2).sum()))"
IDLE: Final = "{first}\nawait asyncio.Event().wait()"
WAIT_S: Final = 60.0
WARM_UP: Final = 3


@dataclass
class Contender:
    """One level, with one source, on a supervisor of its own.

    Attributes:
        create_ms, end_ms, gone_ms: one figure for each round.
        idle_bytes: proportional set size of each idle cell; empty where it may not be read.
    """

    level: str
    packages: str
    source: str
    session: tidemark.Session
    create_ms: list[float] = field(default_factory=list)
    end_ms: list[float] = field(default_factory=list)
    gone_ms: list[float] = field(default_factory=list)
    idle_bytes: list[int] = field(default_factory=list)

    def create(self) -> float:
        """Milliseconds from create to completed, of one cell."""
        began = time.perf_counter()
        event = self.session.create_cell(self.source).observe(WAIT_S)
        took = (time.perf_counter() - began) * 1_000
        if not isinstance(event, tidemark.Completed) or event.value != 1:
            raise SystemExit(f"bench/levels.py: {self.level}: {event}")
        return took

    def idle(self) -> int:
        """Make a cell that waits; its worker's process."""
        first = self.source.replace("exit(", "(")
        cell = self.session.create_pausable_cell(IDLE.format(first=first))
        cell.wait_to_pending(timeout=WAIT_S)
        pid = cell.status().pid
        assert pid is not None
        return pid

    def kill(self) -> None:
        """SIGKILL one idle worker; how long until it has ended, and is reaped."""
        pid = self.idle()
        pidfd = os.pidfd_open(pid)
        try:
            began = time.perf_counter()
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            select.select([pidfd], [], [], WAIT_S)
            ended = time.perf_counter()
            while os.path.exists(f"/proc/{pid}"):
                if time.perf_counter() - ended > WAIT_S:
                    raise SystemExit(f"bench/levels.py: {pid} is not reaped")
                os.sched_yield()
            gone = time.perf_counter()
        finally:
            os.close(pidfd)
        self.end_ms.append((ended - began) * 1_000)
        self.gone_ms.append((gone - began) * 1_000)


def proportional_bytes(pid: int) -> int | None:
    """The process's share of the memory that it uses; None: the system does not let us see."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # of a process that cannot be dumped only root may read it
        return None
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def contenders(stack: ExitStack) -> Iterator[Contender]:
    """Those that this machine can give."""
    for level in LEVELS:
        wishes = [("none", EMPTY, [])]
        if importlib.util.find_spec("numpy") is not None:
            wishes += [("numpy", WITH_NUMPY, []), ("numpy preloaded", WITH_NUMPY, ["numpy"])]
        for packages, source, preload in wishes:
            session = tidemark.Session(isolation=level, replay=False, preload=preload)
            try:
                session.open()
            except tidemark.IsolationUnavailableError as error:
                print(f"left out: {error}", file=sys.stderr)
                break
            stack.callback(session.close)
            yield Contender(level, packages, source, session)


def measure(found: list[Contender], rounds: int, kills: int, cells: int) -> None:
    """All rounds; each contender once in each, in an order drawn anew."""
    for number in range(rounds + WARM_UP):
        for one in random.sample(found, len(found)):
            took = one.create()
            if number >= WARM_UP:
                one.create_ms.append(took)
    for _ in range(kills):
        for one in random.sample(found, len(found)):
            one.kill()
    for one in found:
        idle = [one.idle() for _ in range(cells)]  # all of them: what they share is divided
        sizes = [proportional_bytes(pid) for pid in idle]
        one.idle_bytes = [size for size in sizes if size is not None]


def figures(one: Contender, beside: Contender) -> dict[str, object]:
    """One line of the table; `beside` is the same work at level `process`."""
    create = statistics.median(one.create_ms)
    extra = create - statistics.median(beside.create_ms)
    idle = statistics.median(one.idle_bytes) if one.idle_bytes else None
    return {
        "level": one.level,
        "packages": one.packages,
        "create_ms_p50": round(create, 2),
        "create_ms_p90": round(statistics.quantiles(one.create_ms, n=10)[-1], 2),
        "over_process_ms": round(extra, 2),
        "idle_pss_mib": None if idle is None else round(idle / 1024**2, 2),
        "kill_to_end_ms_p50": round(statistics.median(one.end_ms), 2),
        "kill_to_reaped_ms_p50": round(statistics.median(one.gone_ms), 2),
        "n": len(one.create_ms),
    }


def main() -> int:
    """Measure, and print a line of JSON for each level and what its cells import."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=60, help="cells per case (default 60)")
    parser.add_argument("--kills", type=int, default=20, help="per case (default 20)")
    parser.add_argument("--cells", type=int, default=8, help="idle at once (default 8)")
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    options = parser.parse_args()
    with ExitStack() as stack:
        found = list(contenders(stack))
        measure(found, max(2, options.rounds), options.kills, options.cells)
        lines = []
        for one in found:
            beside = next(o for o in found if o.packages == one.packages)
            lines.append(figures(one, beside))
            print(json.dumps(lines[-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps({"cases": lines}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
