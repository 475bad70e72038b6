"""From blocks to figures: percentiles, ratios, one table, and what the machine is."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import psutil
import zmq
from cases import Block, Case

P99_COUNT_MIN = 200  # below that a 99th percentile is one or two outliers
SYNCS = 200
Figures = dict[str, Any]


def percentile(ordered: list[float], percent: float) -> float:
    """The value below which so many percent lie; of a sorted list that is not empty."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def side_figures(blocks: list[Block], cells: int) -> Figures:
    """What one contender did, in ms."""
    ordered = sorted(seconds for block in blocks for seconds in block.seconds)
    wall, commits = sum(block.wall for block in blocks), sum(block.commits for block in blocks)
    figures: Figures = {
        "n": len(ordered),
        "p50_ms": percentile(ordered, 50) * 1_000,
        "p99_ms": percentile(ordered, 99) * 1_000 if len(ordered) >= P99_COUNT_MIN else None,
        "per_second": len(ordered) / wall,
        "commits_per_piece": commits / len(ordered) if commits else None,
    }
    if cells > 1:
        figures["frontiers_per_commit"] = len(ordered) / commits if commits else None
    return figures


def case_figures(case: Case) -> Figures:
    """Both sides of a case, and their ratios (throughput: Tidemark's part of the minimum's)."""
    runtime = side_figures(case.blocks["tidemark"], case.cells)
    minimum = side_figures(case.blocks["minimum"], case.cells)
    both_have_p99 = runtime["p99_ms"] is not None and minimum["p99_ms"] is not None
    return {
        "what": case.what,
        "cells": case.cells,
        "tidemark": runtime,
        "minimum": minimum,
        "ratio_p50": runtime["p50_ms"] / minimum["p50_ms"],
        "ratio_p99": runtime["p99_ms"] / minimum["p99_ms"] if both_have_p99 else None,
        "ratio_per_second": runtime["per_second"] / minimum["per_second"],
    }


COLUMNS: tuple[tuple[str, Callable[[Figures], Any], str], ...] = (
    ("n", lambda case: case["tidemark"]["n"], "{:,}"),
    ("p50 ms", lambda case: case["tidemark"]["p50_ms"], "{:.2f}"),
    ("p99 ms", lambda case: case["tidemark"]["p99_ms"], "{:.2f}"),
    ("min p50", lambda case: case["minimum"]["p50_ms"], "{:.2f}"),
    ("min p99", lambda case: case["minimum"]["p99_ms"], "{:.2f}"),
    ("x p50", lambda case: case["ratio_p50"], "{:.2f}"),
    ("x p99", lambda case: case["ratio_p99"], "{:.2f}"),
    ("per s", lambda case: case["tidemark"]["per_second"], "{:,.0f}"),
    ("min per s", lambda case: case["minimum"]["per_second"], "{:,.0f}"),
    ("x per s", lambda case: case["ratio_per_second"], "{:.2f}"),
    ("commits", lambda case: case["tidemark"]["commits_per_piece"], "{:.2f}"),
    ("min commits", lambda case: case["minimum"]["commits_per_piece"], "{:.2f}"),
    ("fr/commit", lambda case: case["tidemark"].get("frontiers_per_commit"), "{:.1f}"),
    ("min fr/commit", lambda case: case["minimum"].get("frontiers_per_commit"), "{:.1f}"),
)


def table(cases: dict[str, Figures]) -> str:
    """The figures as a table; also valid Markdown."""
    rows = [["case", *(name for name, _, _ in COLUMNS)]]
    for name, case in cases.items():
        cells = [(read(case), shape) for _, read, shape in COLUMNS]
        rows.append(
            [name, *("" if value is None else shape.format(value) for value, shape in cells)]
        )
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    rows.insert(1, ["-" * width for width in widths])
    lines = []
    for row in rows:
        first, *rest = (
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("| " + " | ".join([first, *rest]) + " |")
    return "\n".join(lines)


# -- the machine ----------------------------------------------------------------------------------


def machine() -> Figures:
    """What a figure depends on."""
    scratch = tempfile.gettempdir()
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "pyzmq": zmq.pyzmq_version(),
        "libzmq": zmq.zmq_version(),
        "msgpack": version("msgpack"),
        "sqlite": sqlite3.sqlite_version,
        "filesystem": filesystem(scratch),
        "sync_ms": round(_sync_ms(scratch), 3),
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
