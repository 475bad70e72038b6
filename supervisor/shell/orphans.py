"""What a killed zygote leaves: processes that its cells had started and detached.

The kernel kills workers with their zygote, but not what workers have started. Those processes fall
to the nearest ancestor that is a subreaper, which is this supervisor.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

PR_SET_CHILD_SUBREAPER: Final = 36
ROUNDS_MAX: Final = 100
ROUND_SECONDS: Final = 0.01


def become_subreaper() -> None:
    """From now on, descendants that lose their parent become our children.

    Raises:
        OSError: the kernel refused.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def kill_children(spared: set[int]) -> None:
    """SIGKILL and reap our children but these, and what falls to us when they die; at most 1 s."""
    for _ in range(ROUNDS_MAX):
        children = _children() - spared
        if not children:
            return
        for pid in children:
            # Our own unreaped children: their pids cannot have been given to others.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        time.sleep(ROUND_SECONDS)


def _children() -> set[int]:
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # a thread that has just ended
            found.update(int(pid) for pid in (task / "children").read_text().split())
    return found
