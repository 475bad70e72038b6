"""For which limit the kernel has ended a worker."""

from __future__ import annotations

import signal
from typing import Final

from .exits import EXIT_NO_MEMORY
from .isolation.quarters import Berth

SECOND_NS: Final = 1_000_000_000


def cause(status: int, cpu_ns: int, berth: Berth) -> tuple[str, int]:
    """The field of Limits that was exceeded and how much was used; empty and 0: none.

    `status` is an exit status, or minus a signal's number. Not for workers that we have killed.
    """
    limits = berth.limits
    if limits.cpu_seconds is not None and (
        status == -signal.SIGXCPU
        or (status == -signal.SIGKILL and cpu_ns >= limits.cpu_seconds * SECOND_NS)
    ):
        return "cpu_seconds", -(-cpu_ns // SECOND_NS)
    if limits.file_bytes is not None and status == -signal.SIGXFSZ:
        return "file_bytes", limits.file_bytes
    if limits.memory_bytes is not None and status == EXIT_NO_MEMORY:
        return "memory_bytes", limits.memory_bytes
    if berth.cage is not None and status == -signal.SIGKILL and berth.cage.kills():
        return "memory_bytes", berth.cage.peak_bytes()
    return "", 0
