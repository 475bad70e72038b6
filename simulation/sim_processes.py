"""The zygote, its workers and the hosts' processes, in virtual time."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from ..protocol.ids import Incarnation
from ..protocol.limits import Limits
from ..supervisor.core.events import (
    FleetEvent,
    HostGone,
    WorkerEnded,
    WorkerForked,
    WorkerNotForked,
    WorkersListed,
    ZygoteLost,
)
from .sim_time import SimTime


class Worker(Protocol):
    """A worker's process, as the machine sees it; a spare one has no cell."""

    cell: str

    def die(self) -> None:
        """It is gone, in the middle of whatever it did."""

    def lodge(self, cell: str) -> None:
        """Its work directory has the cell's name, so it may begin."""


Birth = Callable[[bytes, str, Incarnation, "Zygote"], Worker]


@dataclass
class _Order:
    token: bytes
    cell: str
    incarnation: Incarnation
    done: bool = False


class Zygote:
    """Forks workers and guards them; outlives supervisors.

    Attributes:
        fails: how likely a fork is to fail.
        forked: every token that was ever forked.
    """

    def __init__(self, time: SimTime, rng: random.Random, birth: Birth) -> None:
        self.time, self.rng, self.birth = time, rng, birth
        self.fails = 0.0
        self.late = 0.0
        self.living: dict[bytes, tuple[Worker, int]] = {}
        self.forked: list[bytes] = []
        self.ends: dict[bytes, WorkerEnded] = {}
        self.commander: SimProcesses | None = None
        self.hosts: dict[int, bool] = {}
        self.watching: list[SimProcesses] = []
        self.life = 1
        self.is_new = True
        self._pids = 100
        self._orders: list[_Order] = []

    # -- commands ---------------------------------------------------------------------------------

    def command(self, processes: SimProcesses) -> None:
        """A supervisor takes command: it is told who lives, and whose end it has missed."""
        for order in self._orders:  # of the one before: carried out before this, after it, or never
            luck = self.rng.random()
            if luck < self.late:
                self.time.later(self.rng.randrange(30_000_000), partial(self._fork, order))
            elif luck < 0.6:
                self._fork(order)
            else:
                order.done = True
        self._orders = [order for order in self._orders if not order.done]
        self.time.later(self.rng.randrange(100_000, 5_000_000), lambda: self._obey(processes))

    def _obey(self, processes: SimProcesses) -> None:
        if processes.is_dead:
            return
        self.commander = processes
        living = tuple((token, pid) for token, (_, pid) in self.living.items())
        for end in self.ends.values():
            processes.soon(0, end)
        # Whoever finds no zygote starts one.
        fresh = self.is_new and not processes.has_retaken
        self.is_new = False
        processes.soon(0, WorkersListed(living, fresh=fresh))

    def order(self, token: bytes, cell: str, incarnation: Incarnation) -> None:
        """Fork a worker, some time from now."""
        order = _Order(token, cell, incarnation)
        self._orders.append(order)
        self.time.later(self.rng.randrange(300_000, 4_000_000), lambda: self._fork(order))

    def _fork(self, order: _Order) -> None:
        if order.done:
            return
        order.done = True
        self._orders = [each for each in self._orders if each is not order]
        if self.rng.random() < self.fails:
            self._tell(WorkerNotForked(order.token, "Resource temporarily unavailable"))
            return
        self._pids += 1
        self.forked.append(order.token)
        worker = self.birth(order.token, order.cell, order.incarnation, self)
        self.living[order.token] = (worker, self._pids)
        self._tell(WorkerForked(order.token, self._pids))

    def lodge(self, token: bytes, cell: str, processes: SimProcesses) -> None:
        """A spare worker has this cell; whoever says so may have lost command meanwhile."""
        found = self.living.get(token)
        if found is not None and self.commander is processes:
            found[0].lodge(cell)

    def kill(self, token: bytes) -> None:
        """SIGKILL."""
        self.ended(token, -9, killed=True)

    def ended(self, token: bytes, status: int, *, killed: bool) -> None:
        """A worker's process is gone."""
        found = self.living.pop(token, None)
        if found is None:
            return
        found[0].die()
        self.ends[token] = WorkerEnded(token, status, killed)
        self._tell(self.ends[token])

    def tokens_of_cells(self) -> list[bytes]:
        """The living workers that have a cell."""
        return [token for token, (worker, _) in self.living.items() if worker.cell]

    def forget(self, token: bytes) -> None:
        """The supervisor has noted this end."""
        self.ends.pop(token, None)

    def crash(self) -> None:
        """The zygote dies and its workers with it; another is started."""
        for worker, _ in self.living.values():
            worker.die()
        self.life += 1
        self.is_new = True
        self.living.clear()
        self.ends.clear()
        for order in self._orders:
            order.done = True
        self._orders.clear()
        if self.commander is not None:
            commander = self.commander
            commander.has_retaken = False
            commander.arrived(ZygoteLost())
            self.commander = None
            self.time.later(
                self.rng.randrange(5_000_000, 80_000_000), lambda: self._obey(commander)
            )

    def host_ended(self, pid: int) -> None:
        """A host's process is gone."""
        self.hosts[pid] = False
        for processes in self.watching:
            processes.host_ended(pid)

    def _tell(self, event: FleetEvent) -> None:
        commander = self.commander
        if commander is not None:
            delay_ns = self.rng.randrange(10_000, 1_000_000)
            commander.soon(delay_ns, event)


class SimProcesses:
    """See `ports.Processes`: one supervisor's view of the zygote."""

    def __init__(self, zygote: Zygote, on_arrival: Callable[[], None]) -> None:
        self._zygote = zygote
        self._on_arrival = on_arrival
        self._events: list[FleetEvent] = []
        self._watched: dict[int, int] = {}
        self._last_ns = 0
        self.is_dead = False
        self.has_retaken = False
        self._commands = 0
        zygote.watching.append(self)

    def end(self) -> None:
        """The supervisor's process is gone."""
        self.is_dead = True
        self._zygote.watching.remove(self)
        if self._zygote.commander is self:
            self._zygote.commander = None

    def retake(self) -> None:
        """Take command (again): the zygote says who lives."""
        self._commands += 1
        self.has_retaken = self._commands > 1
        self._zygote.command(self)

    def soon(self, delay_ns: int, event: FleetEvent) -> None:
        """The zygote has sent this; it keeps its order."""
        zygote, life = self._zygote, self._zygote.life
        now_ns = zygote.time.now_ns
        self._last_ns = max(self._last_ns + 1, now_ns + delay_ns)

        def arrive() -> None:
            if zygote.life == life and zygote.commander is self:
                self.arrived(event)

        zygote.time.later(self._last_ns - now_ns, arrive)

    def arrived(self, event: FleetEvent) -> None:
        """The supervisor can read this now."""
        if not self.is_dead:
            self._events.append(event)
            self._on_arrival()

    def host_ended(self, pid: int) -> None:
        """The pidfds of a host's process have become readable."""
        for attachment, watched in list(self._watched.items()):
            if watched == pid:
                del self._watched[attachment]
                self.arrived(HostGone(attachment))

    # -- the port ---------------------------------------------------------------------------------

    def drain(self) -> list[FleetEvent]:
        events, self._events = self._events, []
        return events

    def examine(self, level: str) -> None:
        raise AssertionError("every session here asks for a level that needs no examination")

    def fork(
        self, token: bytes, cell: str, incarnation: Incarnation, limits: Limits, level: str
    ) -> None:
        if self._zygote.commander is self:  # else it is a zygote that has just died
            self._zygote.order(token, cell, incarnation)

    def lodge(self, token: bytes, cell: str) -> None:
        zygote = self._zygote
        delay_ns = zygote.rng.randrange(20_000, 300_000)
        zygote.time.later(delay_ns, lambda: zygote.lodge(token, cell, self))

    def kill(self, token: bytes) -> None:
        delay_ns = self._zygote.rng.randrange(20_000, 300_000)
        self._zygote.time.later(delay_ns, lambda: self._zygote.kill(token))

    def forget(self, token: bytes) -> None:
        self._zygote.forget(token)

    def watch_host(self, attachment: int, pid: int, started_ns: int) -> None:
        self._watched.pop(attachment, None)
        if self._zygote.hosts.get(pid):
            self._watched[attachment] = pid
        else:
            self.arrived(HostGone(attachment))

    def usage(self, pid: int) -> tuple[int | None, int | None]:
        lives = any(pid == each for _, each in self._zygote.living.values())
        return (1 << 20, 1_000_000) if lives else (None, None)
