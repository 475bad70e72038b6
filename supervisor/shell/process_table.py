"""What /proc says of a process: when it started, and what it has used."""

from __future__ import annotations

import os
from pathlib import Path

_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    # The name, in parentheses, may hold anything; the third field follows the last of them.
    return text[text.rindex(")") + 2 :].split()


def started_ns(pid: int) -> int | None:
    """When a process started, in ns since the machine's boot; None if there is none."""
    stat = _stat(pid)
    return None if stat is None else int(stat[19]) * _TICK_NS


def usage_of(pid: int) -> tuple[int | None, int | None]:
    """Resident memory in bytes and CPU time in ns; None where it is not known."""
    stat = _stat(pid)
    if stat is None:
        return None, None
    return int(stat[21]) * _PAGE_BYTES, (int(stat[11]) + int(stat[12])) * _TICK_NS
