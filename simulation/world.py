"""One seed's world: a machine, its supervisors, its hosts, and what goes wrong."""

from __future__ import annotations

import random
from collections import deque
from functools import partial
from typing import Any

from ..protocol.host_requests import SessionAsk
from ..protocol.ids import Incarnation, spare_token
from ..protocol.limits import Limits
from ..protocol.packed import CellKind, OnUnknown, PackedInput, ToolKind, ToolSpec
from ..worker import real
from . import scripts
from .faults import Faults
from .host_promises import HostPromises
from .memory_store import Disk
from .programs import Program, draw
from .promise import Promise
from .promises import JournalPromises
from .sim_host import MS, SECOND, SimHost
from .sim_processes import Zygote
from .sim_supervisor import SimSupervisor
from .sim_time import START_NS, SimTime
from .sim_wires import Net
from .sim_worker import SimWorker

STORY_LINES_MAX = 400
PATIENCE_NS = 120 * SECOND
CLOSES = 7  # in one world of so many the first host closes the session


def _tool(name: str, on_unknown: OnUnknown) -> ToolSpec:
    return ToolSpec(name, name, "", "()", ToolKind.FUNCTION, on_unknown, False, 0)


TOOLS = (
    _tool("search", OnUnknown.ASK),
    _tool("slow", OnUnknown.ASK),
    _tool("retry_me", OnUnknown.RETRY),
    _tool("fail_me", OnUnknown.FAIL),
)


class World:
    """Everything that happens for one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.time = SimTime()
        self.story: deque[tuple[int, object, str, object]] = deque(maxlen=STORY_LINES_MAX)
        self.disk = Disk(secret=self.rng.randbytes(32))
        self.net = Net(self.time, self.rng)
        self.net.encodes = seed % 16 == 0
        self.workers: dict[tuple[str, Incarnation], SimWorker] = {}
        self.spares: dict[bytes, SimWorker] = {}
        self.inputs_seen: dict[str, dict[int, PackedInput]] = {}
        self.spares_max = seed % 4  # workers that are kept ready
        self.finished_max = (1_000, 0, 1, 2, 5)[seed % 5]  # finished cells that stay in memory
        self.hibernate_ns = (0, 0, 20 * MS, 300 * MS)[seed // 4 % 4]
        self.replays = seed % 6 != 0  # else a cell ends with its worker
        self.programs: dict[str, Program] = {}
        self.zygote = Zygote(self.time, self.rng, self._birth)
        self.hosts: list[SimHost] = []
        self.journal = JournalPromises(self)
        self.promises = HostPromises(self)
        self.disk.watchers.append(self.journal.committed)
        self.supervisor = SimSupervisor(self)
        self.faults = Faults(self)

    def _birth(
        self, token: bytes, cell: str, incarnation: Incarnation, zygote: Zygote
    ) -> SimWorker:
        worker = SimWorker(self, zygote, token, cell, incarnation)
        if cell:
            self.workers[(cell, incarnation)] = worker
        else:
            self.spares[token] = worker
        return worker

    def give_spare(self, cell: str, incarnation: Incarnation, number: int) -> None:
        """The journal has that this spare worker is the cell's now."""
        token = spare_token(self.disk.secret, incarnation.epoch, number)
        worker = self.spares.pop(token, None)
        if worker is None:
            self.journal.broken(Promise.ONE_CELL, f"spare {number} is not there any more", cell)
        worker.cell, worker.incarnation = cell, incarnation
        self.workers[(cell, incarnation)] = worker

    @property
    def processes(self) -> list[SimWorker]:
        """Every worker that was ever forked, spare ones too."""
        return [*self.workers.values(), *self.spares.values()]

    def worker_of(self, cell: str, incarnation: Incarnation | None) -> SimWorker | None:
        """The worker of this life of a cell."""
        return None if incarnation is None else self.workers.get((cell, incarnation))

    def lives_of(self, cell: str) -> list[SimWorker]:
        """All workers that were forked for this cell, in their order."""
        return [worker for (name, _), worker in self.workers.items() if name == cell]

    def note(self, who: object, verb: str, what: object) -> None:
        """One line of the story."""
        self.story.append((self.time.now_ns, who, verb, what))

    @property
    def all_ended(self) -> bool:
        """Whether the journal has the end of every cell."""
        return all(log.final is not None for log in self.journal.cells.values())

    # -- one run ----------------------------------------------------------------------------------

    def run(self) -> None:
        """The whole of it. Raises `PromiseBroken` if a promise breaks."""
        # What workers ask of the machine is asked of this one.
        monotonic_ns, real.monotonic_ns = real.monotonic_ns, self._monotonic_ns
        try:
            self.play()
        finally:
            real.monotonic_ns = monotonic_ns

    def _monotonic_ns(self) -> int:
        return self.time.now_ns - START_NS

    def play(self) -> None:
        """Trouble first, then calm until everything has ended."""
        self.supervisor.start()
        self._first_holder()
        if self.rng.random() < 0.5:
            self.add_racer()
        self.faults.plan()
        self._until(self.faults.until_ns)
        self.faults.stop()
        self.note("world", "is", "calm")
        self.add_last_holder()
        self.settle()
        self.promises.at_the_end()

    def settle(self) -> None:
        """Let time go on until everything has ended, or everybody's patience."""
        end_ns = self.time.now_ns + PATIENCE_NS
        while self.time.now_ns < end_ns and not self.is_quiet():
            self.time.step(end_ns)

    def _until(self, until_ns: int) -> None:
        while self.time.step(until_ns):
            pass

    def is_quiet(self) -> bool:
        """Whether every cell has ended, its worker too, and everybody knows."""
        if not self.all_ended or self.zygote.tokens_of_cells():
            return False
        return not any(host.is_alive and host.core.waits for host in self.hosts) and (
            not any(self.supervisor.notices_left())
        )

    # -- hosts ------------------------------------------------------------------------------------

    def ask(self, *, take_over: bool) -> SessionAsk:
        """To open the session."""
        return SessionAsk("s", TOOLS, None, self.replays, None, Limits(), take_over)

    def add_host(self, name: str, session: SessionAsk | None) -> SimHost:
        """One more host's process."""
        host = SimHost(self, name, session)
        self.hosts.append(host)
        return host

    def _first_holder(self) -> None:
        host = self.add_host("host-A", self.ask(take_over=False))
        for number in range(self.rng.choice((1, 1, 2, 3))):
            program = draw(self.rng, f"program {number}")
            self.programs[program.name] = program
            key = f"key {number}" if self.rng.random() < 0.7 else ""
            delay_ns = self.rng.choice((0, 0, 30, 300)) * MS
            host.drive(scripts.create(self, host, program, key, delay_ns))
        if self.rng.random() < 0.3:
            host.drive(scripts.write_values(self, host, 3))
        if self.seed % CLOSES == CLOSES - 1:
            delay_ns = self.rng.choice((5, 50, 200, 700, 2_000)) * MS
            host.drive(scripts.close(self, host, delay_ns))

    def cell_made(self, host: SimHost, cell: str, program: Program) -> None:
        """A host has been told that its cell is there."""
        host.drive(scripts.follow(self, host, cell, program.kind, calm=False))
        if self.rng.random() < 0.15:
            delay_ns = self.rng.choice((0, 5, 50, 200, 700)) * MS
            host.drive(scripts.terminate(self, host, cell, delay_ns))
        if self.rng.random() < 0.3:
            host.drive(scripts.look_around(self, host, cell))
        if self.rng.random() < 0.2:
            host.drive(scripts.put_to_sleep(self, host, cell))
        for other in self.hosts:
            if other is not host and other.is_alive:
                self._race(other, cell, program.kind)

    def _race(self, host: SimHost, cell: str, kind: CellKind) -> None:
        host.drive(scripts.follow(self, host, cell, kind, calm=False))
        if self.rng.random() < 0.1:
            host.drive(scripts.terminate(self, host, cell, self.rng.randrange(400) * MS))

    def add_racer(self) -> None:
        """A host without a session, that does the same with the same cells."""
        host = self.add_host(f"racer-{len(self.hosts)}", None)
        for cell, summary in self.disk.cells.items():
            self._race(host, cell, CellKind(summary.kind))

    def add_successor(self) -> None:
        """Another host takes the session over."""
        host = self.add_host(f"host-{len(self.hosts)}", self.ask(take_over=True))
        host.on_opened = partial(self._succeed, host)

    def _succeed(self, host: SimHost) -> None:
        for cell, summary in self.disk.cells.items():
            host.drive(scripts.follow(self, host, cell, CellKind(summary.kind), calm=False))

    def add_last_holder(self) -> None:
        """A host that takes the session over and brings all its cells to their end."""
        host = self.add_host("last", self.ask(take_over=True))
        host.on_opened = lambda: host.drive(scripts.bring_to_end(self, host))

    # -- the story --------------------------------------------------------------------------------

    def told(self) -> str:
        """The last part of what happened, and how to see it again."""
        lines = [_line(*each) for each in self.story]
        return "\n".join([*lines, f"{self}; again: {self.again}"])

    @property
    def again(self) -> str:
        """The command that shows this world again."""
        return f"tidemark-simulate --seeds 1 --first {self.seed} --story"

    def __str__(self) -> str:
        return f"seed {self.seed}"


def _line(at_ns: int, who: object, verb: str, what: Any) -> str:
    text = repr(what) if not isinstance(what, str) else what
    return f"{(at_ns - 1_700_000_000_000_000_000) / MS:10.3f} ms  {who} {verb} {text:.400}"
