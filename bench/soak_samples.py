"""What is seen of a load from outside: processes, memory, descriptors, the journal."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

import plots
import psutil
from memory import pss_bytes

SHOWN = {
    "memory_mb": "memory, MB",
    "supervisor_mb": "supervisor, MB",
    "descriptors": "descriptors",
    "processes": "processes",
    "journal_mb": "journal, MB",
    "cycle_ms": "cycle, ms",
    "cycle_p99_ms": "cycle p99, ms",
    "short_cell_ms": "short cell, ms",
}


def taken(state: Path) -> dict[str, Any]:
    """One sample, of all processes below this one."""
    each = descendants()
    supervisor = supervisor_pid(state)
    sizes = [path.stat().st_size for path in state.glob("journal.db*") if path.exists()]
    held = size = None
    if supervisor:
        with suppress(psutil.Error):  # it was killed, and its successor is on the way
            held = psutil.Process(supervisor).num_fds()
            size = pss_bytes(supervisor) / 1e6
    return {
        "processes": len(each),
        "memory_mb": sum(pss_bytes(one.pid) for one in each) / 1e6,
        "supervisor_mb": size,
        "descriptors": held,
        "journal_mb": sum(sizes) / 1e6,
    }


def descendants() -> list[psutil.Process]:
    """All processes below this one that have not ended."""
    found = []
    for each in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            if each.status() != psutil.STATUS_ZOMBIE:
                found.append(each)
    return found


def zygotes() -> list[psutil.Process]:
    """What forks workers, and guards them: our own children by now."""
    found = []
    for each in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if "tidemark.worker" in each.cmdline():
                found.append(each)
    return found


def supervisor_pid(state: Path) -> int | None:
    """The process that serves this directory, by what it wrote there."""
    try:
        pid = json.loads((state / "supervisor.json").read_text()).get("pid")
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return int(pid) if pid else None


def median_ms(seconds: list[float]) -> float | None:
    """In ms; None of nothing."""
    return median(seconds) * 1_000 if seconds else None


def percentile_ms(seconds: list[float], percent: int) -> float | None:
    """In ms; None of nothing."""
    return sorted(seconds)[len(seconds) * percent // 100] * 1_000 if seconds else None


def panels(
    path: Path, samples: list[dict[str, Any]], done: Counter[str]
) -> tuple[Path, str, str, list[plots.Line]]:
    """What `plots.panels` draws: one line for each thing that was seen."""
    drawn: list[plots.Line] = []
    for name, title in SHOWN.items():
        kept = [sample for sample in samples if sample[name] is not None]
        minutes = [sample["minutes"] for sample in kept]
        drawn.append((title, minutes, [sample[name] for sample in kept]))
    title = ", ".join(f"{count:,} {what}" for what, count in sorted(done.items()))
    return path.with_suffix(".png"), title, "minutes", drawn
