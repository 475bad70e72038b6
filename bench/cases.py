"""The cases: what is done, how often in one block, and by whom.

Each case has two contenders, Tidemark and the hand-written minimum of the same work, which live
beside each other for the whole run and take their blocks in shuffled order.
"""

from __future__ import annotations

import compileall
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Protocol

import tidemark  # its import must not be in the first figure
from minimum.host import MinimumHost
from runtime_side import RuntimeHost

HELLO = 'text("hello")\n'
# Every argument and every result differs from the one before: SQLite writes nothing when a row is
# overwritten with what it holds.
CYCLE = "n = 0\nwhile True:\n    n = await tools.search(n=n)\n"
WARM_CYCLES = 3  # not measured: after some silence everything is slower once
IMPORTS = "import zmq, msgpack; print('hello', flush=True)"
START_SECONDS_MAX = 60.0


@dataclass(slots=True)
class Block:
    """What one contender did in one turn.

    Attributes:
        seconds: of each piece of work.
        wall: seconds of the whole block.
        commits: how many it took; 0 where nobody counts.
    """

    seconds: list[float]
    wall: float
    commits: int = 0


class Contender(Protocol):
    """One side of a case. `close` may be called whatever happened before."""

    async def open(self) -> None: ...

    async def block(self, count: int) -> Block: ...

    async def close(self) -> None: ...


# -- create to completed --------------------------------------------------------------------------


class RuntimeCreates:
    """Cells created one after the other, by Tidemark."""

    def __init__(self, durability: str) -> None:
        self._host = RuntimeHost(durability)

    async def open(self) -> None:
        await self._host.open()

    async def block(self, count: int) -> Block:
        await self._host.run_to_completion(HELLO)
        commits, began = self._host.commits(), perf_counter()
        seconds = [await self._host.run_to_completion(HELLO) for _ in range(count)]
        wall = perf_counter() - began
        return Block(seconds, wall, self._host.commits() - commits)

    async def close(self) -> None:
        await self._host.close()


class _MinimumSide:
    """What both minimums share: a life."""

    def __init__(self, durability: str) -> None:
        self._durability = durability
        self._opened: MinimumHost | None = None

    @property
    def _host(self) -> MinimumHost:
        if self._opened is None:
            raise RuntimeError("the minimum has not been opened")
        return self._opened

    async def open(self) -> None:
        self._opened = MinimumHost(self._durability)

    async def close(self) -> None:
        if self._opened is not None:
            self._opened.close()


class MinimumCreates(_MinimumSide):
    """Cells created one after the other, by hand."""

    async def block(self, count: int) -> Block:
        self._host.run_to_completion(HELLO)
        commits, began = self._host.commits(), perf_counter()
        seconds = [self._host.run_to_completion(HELLO) for _ in range(count)]
        wall = perf_counter() - began
        return Block(seconds, wall, self._host.commits() - commits)


# -- the tool cycle -------------------------------------------------------------------------------


class RuntimeCycles:
    """Pausable cells that go from frontier to frontier, by Tidemark."""

    def __init__(self, durability: str, cells: int) -> None:
        self._host = RuntimeHost(durability)
        self._cells = cells

    async def open(self) -> None:
        await self._host.open()
        await self._host.pause_many(CYCLE, self._cells)

    async def block(self, count: int) -> Block:
        await self._host.cycle(WARM_CYCLES)
        commits, began = self._host.commits(), perf_counter()
        seconds = await self._host.cycle(count)
        wall = perf_counter() - began
        return Block(seconds, wall, self._host.commits() - commits)

    async def close(self) -> None:
        await self._host.close()


class MinimumCycles(_MinimumSide):
    """Pausable cells that go from frontier to frontier, by hand."""

    def __init__(self, durability: str, cells: int) -> None:
        super().__init__(durability)
        self._cells = cells
        self._at: dict[int, int] = {}

    async def open(self) -> None:
        await super().open()
        self._at = self._host.pause_many(CYCLE, self._cells)

    async def block(self, count: int) -> Block:
        self._host.cycle(self._at, WARM_CYCLES)
        commits, began = self._host.commits(), perf_counter()
        seconds = self._host.cycle(self._at, count)
        wall = perf_counter() - began
        return Block(seconds, wall, self._host.commits() - commits)


# -- start ----------------------------------------------------------------------------------------


class Starts:
    """A command run anew each time, from its start to the first byte that it prints."""

    def __init__(self, command: list[str]) -> None:
        self._command = command

    async def open(self) -> None:
        """Nothing lives between two runs; the bytecode is there, as `pip install` leaves it."""
        root = Path(tidemark.__file__).parent
        for room in ("protocol", "supervisor", "worker", "client", "command"):
            compileall.compile_dir(root / room, quiet=1)
        compileall.compile_file(root / "__init__.py", quiet=1)

    async def block(self, count: int) -> Block:
        began = perf_counter()
        seconds = [self._once() for _ in range(count)]
        return Block(seconds, perf_counter() - began)

    async def close(self) -> None:
        """Every run was waited for."""

    def _once(self) -> float:
        began = perf_counter()
        with subprocess.Popen(self._command, stdout=subprocess.PIPE) as process:
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
            raise RuntimeError(f"{self._command} ended with status {process.returncode}")
        return seconds


# -- all of them ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of work, and who does it.

    Attributes:
        count: pieces of work (for `cells` cells: each) in one block.
        cells: how many go at once.
        missing: why it cannot be run here; empty if it can.
    """

    name: str
    what: str
    count: int
    runtime: Callable[[], Contender]
    minimum: Callable[[], Contender]
    cells: int = 1
    missing: str = ""
    blocks: dict[str, list[Block]] = field(default_factory=dict)


def all_cases(durability: str) -> list[Case]:
    """Every case, none of them opened."""
    hello = Path(__file__).parent / "hello.py"
    command = Path(sys.executable).parent / "tidemark"
    has_command = command.exists() and find_spec("tidemark.command.main") is not None
    run = [str(command), "run", str(hello), "--isolation", "process"]
    return [
        Case(
            "create",
            "create a cell, to its completion; fork on demand, level process",
            10,
            lambda: RuntimeCreates(durability),
            lambda: MinimumCreates(durability),
        ),
        Case(
            "cycle-1",
            "durable tool cycle: resume, result, next frontier; one pausable cell",
            50,
            lambda: RuntimeCycles(durability, 1),
            lambda: MinimumCycles(durability, 1),
        ),
        Case(
            "cycle-64",
            "the same with 64 cells at once",
            8,
            lambda: RuntimeCycles(durability, 64),
            lambda: MinimumCycles(durability, 64),
            cells=64,
        ),
        Case(
            "start",
            "`tidemark run hello.py` to its first output, against importing zmq and msgpack",
            1,
            lambda: Starts(run),
            lambda: Starts([sys.executable, "-c", IMPORTS]),
            missing="" if has_command else "the `tidemark` command is not installed",
        ),
    ]
