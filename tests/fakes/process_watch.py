"""What processes live, told by a mark that all of one test have in their command line or place."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import psutil

from fakes.waiting import until


def alive(pid: int) -> bool:
    """Whether this process lives; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def stopped(pid: int) -> bool:
    """Whether this process is stopped by a signal."""
    return psutil.Process(pid).status() == psutil.STATUS_STOPPED


def is_hit(pid: int) -> bool:
    """Whether what was sent to this process has had its effect: it takes a turn on a processor."""
    if not alive(pid) or stopped(pid):
        return True
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    pending = [line.split()[1] for line in lines if line.startswith(("SigPnd:", "ShdPnd:"))]
    return not any(int(signals, 16) for signals in pending)


def marked(mark: str) -> dict[int, str]:
    """Living processes but this one that have the mark in command line or working directory.

    A worker has the command line of its zygote, which names the state directory, and works in it;
    also what was reparented is found so.
    """
    found = {}
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied, OSError):  # not ours to read
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            shown = " ".join(process.cmdline())
            if mark in shown or mark in process.cwd():
                found[process.pid] = shown
    return found


def zygote_of(mark: str) -> int:
    """The one zygote among the marked processes: the parent of all the others like it."""
    names = {pid: line for pid, line in marked(mark).items() if "tidemark.worker" in line}
    (zygote,) = [pid for pid in names if psutil.Process(pid).ppid() not in names]
    return zygote


def until_none(mark: str, *, seconds: float) -> None:
    """Wait until no process has the mark."""
    until(lambda: not marked(mark), seconds=seconds, what=f"nothing left of {mark}")


def open_sockets(mark: str) -> list[str]:
    """Unix sockets bound below a path with this mark."""
    lines = Path("/proc/net/unix").read_text().splitlines()[1:]
    return sorted({line.split()[-1] for line in lines if mark in line})
