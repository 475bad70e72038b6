"""How much memory a tree of processes has."""

from __future__ import annotations

import psutil


def tree_bytes(root: psutil.Process) -> int:
    """Proportional set size of a process and all below it.

    Raises PermissionError where the kernel does not tell.
    """
    return sum(pss_bytes(each.pid) for each in [root, *root.children(recursive=True)])


def pss_bytes(pid: int) -> int:
    """Of one process; 0 when it has ended."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            for line in file:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1_024
    except (FileNotFoundError, ProcessLookupError):
        pass  # it has ended meanwhile
    return 0
