"""How long until a killed process is no longer missed: `python bench/kills.py`.

From SIGKILL of a worker to `Resumed` of its frontier, by the number of inputs that have to be told
again; and from SIGKILL of the supervisor to the first answer of its successor, by the number of
cells that live. The host starts the successor itself, so the second includes the start of Python.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import tidemark

INPUTS = (10, 100, 1_000)
CELLS = (1, 100, 1_000)
WAIT_S = 60.0

STEPS = """
for n in range({inputs}):
    await tools.count(n=n)
for n in range(1_000):
    await tools.count(n=n)
"""


def count(n: int) -> int:
    """Give the number back."""
    return n


def until(condition: Any, what: str) -> None:
    """Wait for a condition, closely."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"bench/kills.py: not within {WAIT_S:g} s: {what}")
        time.sleep(0.0005)


def worker_killed(inputs: int, rounds: int) -> list[float]:
    """Milliseconds from SIGKILL of a worker to `Resumed`, for each round."""
    found = []
    with tidemark.Session(tools=[count]) as session:
        cell = session.create_pausable_cell(STEPS.format(inputs=inputs))
        event = cell.wait_to_pending()
        while isinstance(event, tidemark.Pending) and event.generation <= inputs:
            cell.resume(event.generation)
            event = cell.wait_to_pending()
        for _ in range(rounds):
            assert isinstance(event, tidemark.Pending)
            until(lambda: cell.status().pid is not None, "a worker")
            pid = cell.status().pid
            assert pid is not None
            began = time.perf_counter()
            os.kill(pid, signal.SIGKILL)
            cell.resume(event.generation, timeout=WAIT_S)
            found.append((time.perf_counter() - began) * 1_000)
            event = cell.wait_to_pending()
        cell.terminate()
    return found


def supervisor_killed(cells: int, rounds: int) -> list[float]:
    """Milliseconds from SIGKILL of the supervisor to the first answer, for each round."""
    found = []
    with tempfile.TemporaryDirectory(prefix="tmb-") as place:
        state = Path(place) / "state"
        with tidemark.Session("bench", state=state, durability="crash", tools=[count]) as session:
            waiting = "await asyncio.Event().wait()"
            handles = [session.create_pausable_cell(waiting) for _ in range(cells)]
            for handle in handles:
                handle.wait_to_pending(timeout=WAIT_S)
            for _ in range(rounds):
                pid = json.loads((state / "supervisor.json").read_text())["pid"]
                began = time.perf_counter()
                os.kill(pid, signal.SIGKILL)
                handles[-1].status()
                found.append((time.perf_counter() - began) * 1_000)
                until(lambda: handles[0].status().state == "paused", "adoption")
            session.close()
        end_all(state)
    return found


def end_all(state: Path) -> None:
    """End the supervisor and the zygote of this directory, which would wait for somebody."""
    ours = [
        each
        for each in psutil.process_iter(["cmdline"])
        if any(str(state) in word for word in each.info["cmdline"] or [])
    ]
    for each in ours:
        with suppress(psutil.NoSuchProcess):  # the one before has taken it along
            each.terminate()
    _, left = psutil.wait_procs(ours, timeout=WAIT_S)
    if left:
        raise SystemExit(f"bench/kills.py: {left} did not end; end them by hand")


def figures(found: list[float]) -> dict[str, float]:
    return {
        "n": len(found),
        "p50_ms": round(statistics.median(found), 2),
        "max_ms": round(max(found), 2),
    }


def main() -> int:
    """Measure, and print one line per case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20, help="kills per case (default 20)")
    parser.add_argument("--inputs", type=int, nargs="*", default=INPUTS)
    parser.add_argument("--cells", type=int, nargs="*", default=CELLS)
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    options = parser.parse_args()
    cases: dict[str, dict[str, float]] = {}
    for inputs in options.inputs:
        name = f"worker killed, {inputs} inputs"
        cases[name] = figures(worker_killed(inputs, options.rounds))
        print(f"{name}: {cases[name]}", flush=True)
    for cells in options.cells:
        name = f"supervisor killed, {cells} cells"
        cases[name] = figures(supervisor_killed(cells, max(1, options.rounds // 4)))
        print(f"{name}: {cases[name]}", flush=True)
    if options.json:
        options.json.write_text(json.dumps({"cases": cases}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
