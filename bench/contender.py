"""What every side of a case is, and what it gives back."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

WARM_CYCLES = 3  # not measured: after some silence everything is slower once
START_SECONDS_MAX = 60.0
HELLO = 'text("hello")\n'
# Every argument and every result differs from the one before: SQLite writes nothing when a row is
# overwritten with what it holds.
CYCLE = "n = 0\nwhile True:\n    n = await tools.search(n=n)\n"
WAITING = "import asyncio\nawait asyncio.Event().wait()\n"
INPUTS = 10  # that are replayed where a worker is killed


class NotHereError(Exception):
    """A contender cannot be had on this machine; the text says why."""


@dataclass(slots=True)
class Block:
    """What one contender did in one turn.

    Attributes:
        pieces: seconds, or bytes, of each piece of work.
        wall: seconds of the whole block.
        commits: how many it took; 0 where nobody counts.
    """

    pieces: list[float]
    wall: float
    commits: int = 0


class Contender(Protocol):
    """One side of a case. `close` may be called whatever happened before."""

    async def open(self) -> None: ...

    async def block(self, count: int) -> Block: ...

    async def close(self) -> None: ...


class Starts:
    """A command run anew each time, from its start to the first byte that it prints."""

    def __init__(self, command: list[str]) -> None:
        self._command = command

    async def open(self) -> None:
        """Nothing lives between two runs."""
        if not os.path.exists(self._command[0]):
            raise NotHereError(f"there is no {self._command[0]}; run pip install .")

    async def block(self, count: int) -> Block:
        began = perf_counter()
        seconds = [first_byte(self._command) for _ in range(count)]
        return Block(seconds, perf_counter() - began)

    async def close(self) -> None:
        """Every run was waited for."""


def first_byte(command: list[str]) -> float:
    """Seconds from a command's start to its first byte of output; waits for its end."""
    began = perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            first = os.read(process.stdout.fileno(), 1)
            seconds = perf_counter() - began
            process.stdout.read()
            process.wait(START_SECONDS_MAX)
        except BaseException:
            process.terminate()
            raise
    if not first or process.returncode:
        raise RuntimeError(f"{command} ended with status {process.returncode}")
    return seconds
