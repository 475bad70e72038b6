"""What a figure depends on: the machine, and what is installed on it."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import psutil
import zmq

SYNCS = 200
Facts = dict[str, Any]
MEMORY_FILESYSTEMS = {"tmpfs", "ramfs"}  # a sync costs nothing there, which is not durability


def scratch() -> str:
    """A directory for journals that is on a disk."""
    places = [tempfile.gettempdir(), "/var/tmp", str(Path.cwd())]
    on_disk = [place for place in places if filesystem(place) not in MEMORY_FILESYSTEMS]
    return (on_disk or places)[0]


def machine() -> Facts:
    """What a figure depends on."""
    place = tempfile.gettempdir()
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / (1 << 30), 1),
        "load": round(os.getloadavg()[0], 2),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "pyzmq": zmq.pyzmq_version(),
        "libzmq": zmq.zmq_version(),
        "msgpack": version("msgpack"),
        "sqlite": sqlite3.sqlite_version,
        "filesystem": filesystem(place),
        "sync_ms": round(_sync_ms(place), 3),
    }


def filesystem(place: str) -> str:
    """The type of the file system that a path lies on."""
    whole = os.path.realpath(place)
    mounts = list(psutil.disk_partitions(all=True))
    inside = [
        part for part in mounts if (whole + "/").startswith(part.mountpoint.rstrip("/") + "/")
    ]
    return max(inside, key=lambda part: len(part.mountpoint)).fstype if inside else "unknown"


def _sync_ms(scratch: str) -> float:
    """The median time of one append and fdatasync: the floor under every durable commit."""
    page, taken = os.urandom(4_096), []
    with tempfile.TemporaryFile(dir=scratch, buffering=0) as file:
        for _ in range(SYNCS):
            began = perf_counter()
            file.write(page)
            os.fdatasync(file.fileno())
            taken.append(perf_counter() - began)
    return median(taken) * 1_000


def _commit() -> str:
    """The commit that the files beside this one are of; with `+` when they were changed."""
    root = Path(__file__).resolve().parent.parent
    asked = ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--abbrev=12"]
    try:
        said = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"no commit id: {error}", file=sys.stderr)
        return "unknown"
    return said.stdout.strip()
