"""Pools of processes (the standard library's, loky's, Pebble's), and a plain fork.

None of them isolates or keeps anything: a task is a function, and a worker has many of them.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from time import perf_counter
from typing import Any

from serving import HELLO, Opened, none, nothing, repeated, serve

WAIT_S = 60.0


def run(source: str) -> None:
    """What a worker does with a source."""
    exec(compile(source, "cell", "exec"), {"print": lambda *values: None})


def wait() -> None:
    """A task that goes on for long."""
    time.sleep(WAIT_S)


def executor_created() -> Opened:
    pool = ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork"))
    pool.submit(run, HELLO).result()

    def once() -> float:
        began = perf_counter()
        pool.submit(run, HELLO).result()
        return perf_counter() - began

    return repeated(once), pool.shutdown, none


def forked() -> float:
    """One process for one source."""
    began = perf_counter()
    process = multiprocessing.get_context("fork").Process(target=run, args=(HELLO,))
    process.start()
    process.join()
    return perf_counter() - began


def executor_told() -> float:
    """A worker of ProcessPoolExecutor's is killed: its future fails."""
    pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork"))
    pid = pool.submit(os.getpid).result()
    return failed(pid, pool.submit(wait), pool.shutdown)


def pebble_told() -> float:
    """A worker of Pebble's is killed: its future fails."""
    from pebble import ProcessPool

    pool = ProcessPool(1)
    pid = pool.schedule(os.getpid).result()

    def close() -> None:
        pool.stop()
        pool.join()

    return failed(pid, pool.schedule(wait), close)


def failed(pid: int, future: Future[None], close: Callable[[], None]) -> float:
    """Seconds from SIGKILL to the future's failure."""
    time.sleep(0.02)  # the task is in the worker
    began = perf_counter()
    os.kill(pid, signal.SIGKILL)
    error = future.exception(WAIT_S)
    seconds = perf_counter() - began
    close()
    if error is None:
        raise RuntimeError("the task ended well")
    return seconds


def loky_returned() -> float:
    """A worker of loky's is killed: the next task's result, from a new pool."""
    from loky import get_reusable_executor

    pool = get_reusable_executor(max_workers=1)
    pid = pool.submit(os.getpid).result()
    began = perf_counter()
    os.kill(pid, signal.SIGKILL)
    while perf_counter() - began < WAIT_S:
        try:
            if get_reusable_executor(max_workers=1).submit(os.getpid).result() != pid:
                return perf_counter() - began
        except RuntimeError:
            continue  # the pool is broken, and has noticed; the next call makes a new one
    raise RuntimeError("loky made no new worker")


def opening(asked: dict[str, Any]) -> Opened:
    """What is asked for."""
    works: dict[tuple[str, str], Callable[[], float]] = {
        ("fork", "create"): forked,
        ("executor", "told"): executor_told,
        ("pebble", "told"): pebble_told,
        ("loky", "return"): loky_returned,
    }
    if (asked["peer"], asked["work"]) == ("executor", "create"):
        return executor_created()
    return repeated(works[asked["peer"], asked["work"]]), nothing, none


if __name__ == "__main__":
    serve(opening)
