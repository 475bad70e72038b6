"""How a peer's program is asked: one JSON object per line, and one for an answer.

The first says what to open (`work`, `cells`, `among`), each of the others asks for one block. The
program ends when its standard input does. What the peer itself prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

CYCLE = "n = 0\nwhile True:\n    n = search(n)\n"
HELLO = "print('hello')\n"
WARM = 3
INPUTS = 10

# A block of so many pieces, a close, and how many commits there have been.
Opened = tuple[Callable[[int], list[float]], Callable[[], None], Callable[[], int]]


def serve(opening: Callable[[dict[str, Any]], Opened]) -> None:
    """Open what is asked for, and answer with blocks."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    asked = json.loads(sys.stdin.readline())
    block, close, commits = opening(asked)
    try:
        print(json.dumps({"open": True}), file=answers, flush=True)
        for line in sys.stdin:
            if asked["work"] == "cycle":
                block(WARM)
            before, began = commits(), perf_counter()
            pieces = block(json.loads(line)["count"])
            answer = {"pieces": pieces, "wall": perf_counter() - began}
            answer["commits"] = commits() - before
            print(json.dumps(answer), file=answers, flush=True)
    finally:
        close()


def repeated(once: Callable[[], float]) -> Callable[[int], list[float]]:
    """A block of one piece after the other."""
    return lambda count: [once() for _ in range(count)]


def pss_bytes(pid: int) -> int:
    """Proportional set size of one process."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1_024
    raise RuntimeError(f"the kernel tells no PSS of process {pid}")


def nothing() -> None:
    """There is nothing to close."""


def none() -> int:
    """It commits nothing, or nobody counts."""
    return 0
