"""The hand-written minimum's side of every case."""

from __future__ import annotations

from time import perf_counter

import psutil
from contender import CYCLE, HELLO, INPUTS, WAITING, WARM_CYCLES, Block
from memory import tree_bytes
from minimum.host import MinimumHost


class _Side:
    """What the minimum's contenders share: a life."""

    def __init__(self, durability: str, warm: int = 0) -> None:
        self._durability = durability
        self._warm = warm
        self._opened: MinimumHost | None = None

    @property
    def _host(self) -> MinimumHost:
        if self._opened is None:
            raise RuntimeError("the minimum has not been opened")
        return self._opened

    async def open(self) -> None:
        self._opened = MinimumHost(self._durability, self._warm)

    async def close(self) -> None:
        if self._opened is not None:
            self._opened.close()


class Creates(_Side):
    """Cells created one after the other."""

    async def block(self, count: int) -> Block:
        self._host.run_to_completion(HELLO)
        commits, began = self._host.commits(), perf_counter()
        seconds = [self._host.run_to_completion(HELLO) for _ in range(count)]
        wall = perf_counter() - began
        return Block(seconds, wall, self._host.commits() - commits)


class Bursts(_Side):
    """Cells created at once."""

    async def block(self, count: int) -> Block:
        self._host.run_to_completion(HELLO)
        commits, began = self._host.commits(), perf_counter()
        seconds = self._host.burst(HELLO, count)
        wall = perf_counter() - began
        return Block(seconds, wall, self._host.commits() - commits)


class Cycles(_Side):
    """Pausable cells that go from frontier to frontier, perhaps among others that do not."""

    def __init__(self, durability: str, cells: int, among: int = 0, *, steps: bool = False) -> None:
        super().__init__(durability)
        self._cells = cells
        self._among = among
        self._steps = steps
        self._at: dict[int, int] = {}

    async def open(self) -> None:
        await super().open()
        self._at = self._host.pause_many(CYCLE, self._cells)
        self._host.pause_many(CYCLE, self._among)

    async def block(self, count: int) -> Block:
        self._host.cycle(self._at, WARM_CYCLES, steps=self._steps)
        commits, began = self._host.commits(), perf_counter()
        seconds = self._host.cycle(self._at, count, steps=self._steps)
        wall = perf_counter() - began
        return Block(seconds, wall, self._host.commits() - commits)


class Losses(_Side):
    """Workers killed, of cells that nobody runs again."""

    async def block(self, count: int) -> Block:
        began = perf_counter()
        return Block([self._host.lose(WAITING) for _ in range(count)], perf_counter() - began)


class Returns(_Side):
    """Workers killed, of a cell that is run again."""

    async def block(self, count: int) -> Block:
        began, seconds = perf_counter(), []
        for _ in range(count):
            at = self._host.pause_many(CYCLE, 1)
            self._host.cycle(at, INPUTS)
            seconds.append(self._host.kill_and_resume(at))
        return Block(seconds, perf_counter() - began)


class Memory(_Side):
    """What paused cells add to the memory of all processes."""

    def __init__(self, durability: str, cells: int) -> None:
        super().__init__(durability)
        self._cells = cells

    async def block(self, count: int) -> Block:
        process = psutil.Process(self._host.supervisor_pid)
        began, found = perf_counter(), []
        for _ in range(count):
            before = tree_bytes(process)
            self._host.pause_many(CYCLE, self._cells)
            found.append((tree_bytes(process) - before) / self._cells)
        return Block(found, perf_counter() - began)


class Pauses(_Side):
    """Many cells created and paused, with a supervisor that has none."""

    def __init__(self, durability: str, cells: int) -> None:
        super().__init__(durability)
        self._cells = cells

    async def open(self) -> None:
        """Each piece has a life of its own."""

    async def block(self, count: int) -> Block:
        began = perf_counter()
        return Block([self._once() for _ in range(count)], perf_counter() - began)

    def _once(self) -> float:
        host = MinimumHost(self._durability)
        try:
            began = perf_counter()
            host.pause_many(CYCLE, self._cells)
            return perf_counter() - began
        finally:
            host.close()
