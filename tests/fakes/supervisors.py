"""The supervisors of a directory, whoever started them."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

from fakes.process_watch import alive, marked, until_none
from fakes.waiting import until


def supervisors(mark: Path) -> list[int]:
    """Every supervisor process whose directory is this one, or below it."""
    return [pid for pid, line in marked(str(mark)).items() if "tidemark.supervisor" in line]


def the_supervisor(mark: Path) -> int:
    """The one supervisor, as soon as there is one."""
    (pid,) = until(lambda: supervisors(mark), what=f"a supervisor of {mark}")
    return pid


def killed(mark: Path, how: signal.Signals = signal.SIGKILL) -> int:
    """Send the supervisor a signal; who it was, once it has ended."""
    pid = the_supervisor(mark)
    os.kill(pid, how)
    until(lambda: not alive(pid), what=f"the end of {pid}")
    return pid


def successor(mark: Path, *former: int) -> int:
    """The supervisor that has come after these, by itself."""

    def come() -> list[int]:
        found = supervisors(mark)
        return found if found and not set(found) & set(former) else []

    return until(come, seconds=15, what=f"a successor of {former}")[-1]


def end_all(state: Path) -> None:
    """End what a test has left on this directory, as its owner would."""
    for pid in supervisors(state):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    until(lambda: not supervisors(state), seconds=10)
    for pid in marked(str(state)):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    until_none(str(state), seconds=5)
