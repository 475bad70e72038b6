"""Ray on this machine alone: an actor for each source."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from time import perf_counter
from typing import Any

import ray
from serving import HELLO, Opened, none, pss_bytes, repeated, serve


@ray.remote(num_cpus=0)
class Cell:
    """One process."""

    def run(self, source: str) -> int:
        exec(compile(source, "cell", "exec"), {"print": lambda *values: None})
        return os.getpid()

    def wait(self) -> None:
        import threading

        threading.Event().wait()


def created() -> float:
    """An actor is made, runs a source, and is ended."""
    began = perf_counter()
    cell = Cell.remote()
    ray.get(cell.run.remote(HELLO))
    seconds = perf_counter() - began
    ray.kill(cell)
    return seconds


def burst(count: int) -> list[float]:
    """So many at once."""
    began = perf_counter()
    cells = [Cell.remote() for _ in range(count)]
    ray.get([cell.run.remote(HELLO) for cell in cells])
    seconds = perf_counter() - began
    for cell in cells:
        ray.kill(cell)
    return [seconds] * count


def told() -> float:
    """An actor's process is killed: the call under way fails."""
    cell = Cell.remote()
    pid = ray.get(cell.run.remote(HELLO))
    waiting = cell.wait.remote()
    began = perf_counter()
    os.kill(pid, signal.SIGKILL)
    try:
        ray.get(waiting)
    except ray.exceptions.RayActorError:
        return perf_counter() - began
    raise RuntimeError("the call ended well")


def memory(cells: int) -> float:
    """PSS of an actor that has nothing to do."""
    made = [Cell.remote() for _ in range(cells)]
    pids = ray.get([cell.run.remote(HELLO) for cell in made])
    found = sum(pss_bytes(pid) for pid in pids) / cells
    for cell in made:
        ray.kill(cell)
    return found


def opening(asked: dict[str, Any]) -> Opened:
    """What is asked for."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    works: dict[str, Callable[[int], list[float]]] = {
        "create": repeated(created),
        "burst": burst,
        "told": repeated(told),
        "memory": repeated(lambda: memory(asked["cells"])),
    }
    return works[asked["work"]], ray.shutdown, none


if __name__ == "__main__":
    serve(opening)
