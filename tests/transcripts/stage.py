"""The production loop on a real journal, with hosts, workers and a clock that tests play.

Everything that is said goes through the codec, in both directions. Nothing happens by itself but
that the zygote forks and kills as it is told (`Stage.processes` can be told not to).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tidemark.protocol import codec
from tidemark.protocol import host_answers as a
from tidemark.protocol import worker_messages as w
from tidemark.protocol.ids import Incarnation
from tidemark.protocol.limits import Limits
from tidemark.protocol.packed import ToolSpec
from tidemark.supervisor.core import events as e
from tidemark.supervisor.core.fleet import World
from tidemark.supervisor.core.law import CellState
from tidemark.supervisor.core.records import Entry
from tidemark.supervisor.shell.journal_schema import PACKERS
from tidemark.supervisor.shell.loop import Loop
from tidemark.supervisor.shell.ports import JournalFull, Ports
from tidemark.supervisor.shell.sqlite_store import SqliteStore

from transcripts.players import Host, Worker

BEGIN_NS = 1_700_000_000_000_000_000
MS = 1_000_000
SECOND = 1_000 * MS


class Killed(Exception):
    """The supervisor was killed here."""


class PlayedClock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.ns = BEGIN_NS

    def now_ns(self) -> int:
        return self.ns

    def monotonic_ns(self) -> int:
        return self.ns - BEGIN_NS


class PlayedWires:
    """What arrives and what was sent, as lists; `lost` connections and tokens get nothing."""

    def __init__(self) -> None:
        self.arrived: list[e.FleetEvent] = []
        self.to_hosts: list[tuple[bytes, a.ToHost]] = []
        self.to_workers: list[tuple[bytes, w.ToWorker]] = []
        self.lost: set[bytes] = set()
        self.told: Callable[[str, Any, Any], None] = lambda whom, name, message: None

    def drain(self, most: int) -> list[e.FleetEvent]:
        taken, self.arrived = self.arrived[:most], self.arrived[most:]
        return taken

    def drain_hosts(self, most: int) -> list[e.FleetEvent]:
        of_hosts = (e.HostAsked, e.HostGarbled)
        taken = [event for event in self.arrived if isinstance(event, of_hosts)][:most]
        self.arrived = [event for event in self.arrived if event not in taken]
        return taken

    def tell_host(self, connection: bytes, message: a.ToHost) -> bool:
        message = codec.TO_HOST.decode(codec.TO_HOST.encode(message))
        if connection not in self.lost:
            self.to_hosts.append((connection, message))
            self.told("host", connection, message)
        return True  # what is lost is lost on the way

    def flush(self) -> None:
        """Nothing is held here."""

    def tell_worker(self, token: bytes, message: w.ToWorker) -> bool:
        message = codec.TO_WORKER.decode(codec.TO_WORKER.encode(message))
        if token in self.lost:
            return False
        self.to_workers.append((token, message))
        self.told("worker", token, message)
        return True


class PlayedProcesses:
    """A zygote that does what it is told: at once, unless `forks` or `kills` is off."""

    def __init__(self) -> None:
        self.happened: list[e.FleetEvent] = []
        self.living: dict[bytes, tuple[str, Incarnation, int]] = {}
        self.killed: list[bytes] = []
        self.lodged: list[tuple[bytes, str]] = []
        self.watched: list[int] = []
        self.missing: dict[str, tuple[str, ...]] = {}
        self.forks = True
        self.kills = True
        self.told: Callable[[str, bytes], None] = lambda what, token: None
        self.names: dict[bytes, tuple[str, Incarnation]] = {}

    def drain(self) -> list[e.FleetEvent]:
        taken, self.happened = self.happened, []
        return taken

    def examine(self, level: str) -> None:
        self.happened.append(e.LevelExamined(level, self.missing.get(level, ("a kernel",))))

    def fork(
        self, token: bytes, cell: str, incarnation: Incarnation, limits: Limits, level: str
    ) -> None:
        self.names[token] = (cell, incarnation)
        self.told("fork", token)
        if self.forks:
            pid = 1_000 + len(self.names)
            self.living[token] = (cell, incarnation, pid)
            self.happened.append(e.WorkerForked(token, pid))

    def lodge(self, token: bytes, cell: str) -> None:
        self.lodged.append((token, cell))

    def kill(self, token: bytes) -> None:
        self.killed.append(token)
        self.told("kill", token)
        if self.kills:
            self.end(token, -9, killed=True)

    def end(self, token: bytes, status: int, *, killed: bool = False) -> None:
        """A worker's process ends, if there is one."""
        if self.living.pop(token, None) is not None:
            self.happened.append(e.WorkerEnded(token, status, killed))

    def forget(self, token: bytes) -> None:
        pass

    def watch_host(self, attachment: int, pid: int, started_ns: int) -> None:
        self.watched.append(attachment)

    def usage(self, pid: int) -> tuple[int | None, int | None]:
        return None, None


class PlayedStore(SqliteStore):
    """The real journal, on a disk that can be full, and can be where the supervisor dies."""

    full = False
    dies_before = False
    dies_after = False

    def __init__(self, path: Path) -> None:
        super().__init__(path, "crash")
        self.commits: list[list[Entry]] = []
        self.told: Callable[[Sequence[Entry]], None] = lambda entries: None

    def commit(self, entries: Sequence[Entry], at_ns: int) -> int:
        if self.full:
            raise JournalFull("database or disk is full")
        if self.dies_before:
            raise Killed
        number = super().commit(entries, at_ns)
        self.commits.append(list(entries))
        self.told(entries)
        if self.dies_after:
            raise Killed
        return number


class Stage:
    """One journal, its supervisor of the moment, and everybody who talks to it."""

    def __init__(self, path: Path, *, spares: int = 0, hibernate_ns: int = 0) -> None:
        self.path = path
        self.spares, self.hibernate_ns = spares, hibernate_ns
        self.clock = PlayedClock()
        self.wires = PlayedWires()
        self.processes = PlayedProcesses()
        self.hosts: list[Host] = []
        self.workers: dict[bytes, Worker] = {}
        self.store = PlayedStore(path)
        self.loop = self._loop()

    def _loop(self) -> Loop:
        world = World(
            epoch=self.store.epoch,
            journal_id=self.store.journal_id,
            secret=self.store.secret,
            isolation="process",
            durability="crash",
            version="0",
            pid=1,
            started_ns=self.clock.ns,
            packers=PACKERS,
            spares=self.spares,
            hibernate_ns=self.hibernate_ns,
        )
        living = tuple((token, pid) for token, (_, _, pid) in self.processes.living.items())
        self.processes.happened = [e.WorkersListed(living)]
        return Loop(Ports(self.store, self.wires, self.processes, self.clock), world)

    # -- turning the crank ------------------------------------------------------------------------

    def run(self) -> None:
        """Beat until there is nothing more to do at this moment."""
        for _ in range(1_000):
            if not self.loop.beat():
                return
        raise AssertionError("the loop does not come to rest")

    def passes(self, ns: int) -> None:
        """Time passes, from one deadline to the next."""
        until = self.clock.ns + ns
        while True:
            rest = self.loop.wait_ns()
            if rest is None or self.clock.ns + rest > until:
                break
            self.clock.ns += max(rest, 1)
            self.run()
        self.clock.ns = max(until, self.clock.ns)
        self.run()

    def crash(self) -> None:
        """SIGKILL: connections are gone, what was not committed never was."""
        self.store.close()
        self.wires.arrived.clear()
        self.processes.happened.clear()
        for host in self.hosts:
            host.connection = b""

    def restart(self) -> None:
        """A new supervisor on the same journal; hosts come back by `Host.returns`."""
        commits, told = self.store.commits, self.store.told
        self.store = PlayedStore(self.path)
        self.store.commits, self.store.told = commits, told
        self.loop = self._loop()
        self.run()

    def happens(self, event: e.FleetEvent) -> None:
        """Something that is not a message."""
        self.processes.happened.append(event)
        self.run()

    # -- who is there -----------------------------------------------------------------------------

    def host(self, session: str | None = "tides", *tools: ToolSpec, **wishes: Any) -> Host:
        """A host that has attached (or was refused: then its `attachment` is 0)."""
        host = Host(self, len(self.hosts) + 1, session, tools, wishes)
        self.hosts.append(host)
        host.attach()
        return host

    def worker(self, cell: str) -> Worker:
        """The worker of the cell that was forked last."""
        found = [token for token, (name, _) in self.processes.names.items() if name == cell]
        if not found:
            raise AssertionError(f"{cell} has no worker")
        token = found[-1]
        if token not in self.workers:
            incarnation = self.processes.names[token][1]
            self.workers[token] = Worker(self, token, cell, incarnation)
        return self.workers[token]

    def state(self, cell: str) -> CellState:
        """What the core has of this cell."""
        return self.loop.fleet.cells[cell]
