"""DBOS with its SQLite store: a workflow that says what it wants, and receives it.

Its listener polls; it is asked to every millisecond. For the return after a kill the process that
runs the workflow is killed, and a new one recovers it from its store.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic, perf_counter, sleep
from typing import Any

import sqlalchemy
from dbos import DBOS, DBOSConfig, SetWorkflowID
from serving import INPUTS, Opened, none, nothing, repeated, serve

POLL_S = 0.001
WAIT_S = 60.0


@DBOS.workflow()
def asking() -> None:
    """Tool calls for ever: each is an event, and waits for a message."""
    n = 0
    while True:
        DBOS.set_event(f"call-{n}", n)
        n = DBOS.recv("result", timeout_seconds=WAIT_S)


def launch(directory: str) -> None:
    """Launch on the store in this directory; unfinished workflows are recovered."""
    config: DBOSConfig = {
        "name": "bench",
        "system_database_url": f"sqlite:///{directory}/dbos.sqlite",
        "notification_listener_polling_interval_sec": POLL_S,
        "log_level": "ERROR",
        "application_version": "1",
        "run_migrations": True,
    }
    DBOS(config=config)
    DBOS.launch()


def step(workflow: str, n: int) -> None:
    """Give the result of call n - 1, and wait for call n."""
    DBOS.send(workflow, n, "result")
    if DBOS.get_event(workflow, f"call-{n}", timeout_seconds=WAIT_S) != n:
        raise RuntimeError(f"the workflow did not come to call {n}")


def cycles() -> Opened:
    commits = 0

    def wrote(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if statement.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE")):
            connection.info["wrote"] = True

    def committed(connection: Any) -> None:
        nonlocal commits
        commits += bool(connection.info.pop("wrote", False))

    sqlalchemy.event.listen(sqlalchemy.Engine, "after_cursor_execute", wrote)
    sqlalchemy.event.listen(sqlalchemy.Engine, "commit", committed)
    launch(os.getcwd())
    with SetWorkflowID("one"):
        DBOS.start_workflow(asking)
    at = [0]

    def once() -> float:
        at[0] += 1
        began = perf_counter()
        step("one", at[0])
        return perf_counter() - began

    return repeated(once), DBOS.destroy, lambda: commits


def returned() -> float:
    """A process with the workflow is killed, another takes it one call further."""
    directory = Path(f"life-{perf_counter()}").resolve()
    directory.mkdir()
    first = subprocess.Popen([sys.executable, __file__, "first", str(directory)])
    until((directory / "ready").exists)
    os.kill(first.pid, signal.SIGKILL)
    began = perf_counter()
    first.wait()
    second = subprocess.Popen([sys.executable, __file__, "second", str(directory)])
    until((directory / "resumed").exists)
    seconds = perf_counter() - began
    second.kill()
    second.wait()
    return seconds


def live(role: str, directory: str) -> None:
    """Be one of the two processes."""
    launch(directory)
    if role == "first":
        with SetWorkflowID("one"):
            DBOS.start_workflow(asking)
        for n in range(1, INPUTS + 1):
            step("one", n)
        Path(directory, "ready").touch()
    else:
        step("one", INPUTS + 1)
        Path(directory, "resumed").touch()
    sleep(WAIT_S)


def until(condition: Callable[[], bool]) -> None:
    """Wait closely."""
    deadline = monotonic() + WAIT_S
    while not condition():
        if monotonic() > deadline:
            raise RuntimeError("the other process did not come so far")
        sleep(0.0005)


def opening(asked: dict[str, Any]) -> Opened:
    """What is asked for."""
    if asked["work"] == "cycle":
        return cycles()
    return repeated(returned), nothing, none


if __name__ == "__main__":
    if len(sys.argv) > 1:
        live(*sys.argv[1:])
    else:
        serve(opening)
