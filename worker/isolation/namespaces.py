"""Views of the system that a process can have for itself."""

from __future__ import annotations

import os
from typing import Final

from .. import kernel

MOUNTS: Final = 0x0002_0000
NAMES_OF_HOST: Final = 0x0400_0000
SHARED_MEMORY: Final = 0x0800_0000
USERS: Final = 0x1000_0000
PROCESSES: Final = 0x2000_0000
NETWORK: Final = 0x4000_0000


def open_proc() -> int:
    """A descriptor of the process table that is here now; it stays true whatever is mounted later.

    Raises:
        OSError: there is none.
    """
    return os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def leave_users(other_namespaces: int, proc: int) -> None:
    """Enter new namespaces, of users too, in which this process keeps the numbers that it has.

    It has every privilege there, and none outside.

    Raises:
        OSError: the kernel refused.
    """
    uid, gid = os.geteuid(), os.getegid()
    kernel.unshare(USERS | other_namespaces)
    _write(proc, "self/setgroups", "deny")
    _write(proc, "self/uid_map", f"{uid} {uid} 1")
    _write(proc, "self/gid_map", f"{gid} {gid} 1")


def _write(proc: int, name: str, text: str) -> None:
    descriptor = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=proc)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def number_outside(proc: int, pidfd: int) -> int:
    """A process's number where `proc` was opened, by a pidfd of this process's own.

    Raises:
        OSError: the process has been reaped.
    """
    descriptor = os.open(f"self/fdinfo/{pidfd}", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
    try:
        lines = os.read(descriptor, 4096).decode().splitlines()
    finally:
        os.close(descriptor)
    for line in lines:
        name, _, value = line.partition(":")
        if name == "Pid" and int(value) > 0:
            return int(value)
    raise ProcessLookupError(f"pidfd {pidfd} has no process any more")
