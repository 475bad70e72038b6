"""Lives of the production loop, one after the other, each ended where the fuse says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tidemark.supervisor.core.fleet import World as CoreWorld
from tidemark.supervisor.core.records import Entry
from tidemark.supervisor.shell.journal_schema import PACKERS
from tidemark.supervisor.shell.loop import Loop
from tidemark.supervisor.shell.ports import JournalBroken, Ports

from fakes.sim_processes import SimProcesses
from fakes.sim_time import SimClock

if TYPE_CHECKING:
    from .world import World

BEATS_MAX = 50


class Crash(BaseException):
    """SIGKILL of the supervisor, at this very moment."""


class SimSupervisor:
    """Turns the crank, dies, and is started again.

    Attributes:
        fuse_left: crash at the port call after so many; None: no crash is near.
        fuse_at: crash at the next port call of this kind.
        fuse_record: then only at the commit of such a record.
        crashes: at which kind of port call earlier lives ended.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.loop: Loop | None = None
        self.fuse_left: int | None = None
        self.fuse_at = ""
        self.fuse_record: type | None = None
        self.crashes: list[str] = []
        self._clock = SimClock(world.time, reading_ns=100)
        self._processes: SimProcesses | None = None
        self._beat_at_ns = 0
        self._life = 0
        world.disk.fuse = world.net.fuse = self.fuse
        world.net.on_arrival = self.poke

    def fuse(self, moment: str, entries: Sequence[Entry] = ()) -> None:
        """A port call; perhaps the last one."""
        if self.fuse_left is not None:
            self.fuse_left -= 1
        kinds = [type(entry.record) for entry in entries] if self.fuse_record else []
        if (moment, self.fuse_record) == (self.fuse_at, None) or (
            moment == self.fuse_at and self.fuse_record in kinds
        ):
            self._blow(moment)
        if self.fuse_left is not None and self.fuse_left < 0:
            self._blow(moment)

    def _blow(self, moment: str) -> None:
        self.crashes.append(moment)
        raise Crash(moment)

    # -- lives ------------------------------------------------------------------------------------

    def start(self) -> None:
        """A new life on the same disk."""
        if self.loop is not None:
            return
        self._life += 1
        self._processes = SimProcesses(self.world.zygote, self.poke)
        self._processes.fuse = self.fuse
        self.world.net.listen()
        self._open()

    def _open(self) -> None:
        """A loop, on what the journal has."""
        assert self._processes is not None
        assert self.world.net.listening is not None
        store = self.world.disk.open()
        self.world.note("supervisor", "begins epoch", str(store.epoch))
        ports = Ports(store, self.world.net.listening, self._processes, self._clock)
        core = CoreWorld(
            epoch=store.epoch,
            journal_id=self.world.disk.journal_id,
            secret=self.world.disk.secret,
            isolation="process",
            durability="power",
            version="simulated",
            pid=1,
            started_ns=self.world.time.now_ns,
            packers=PACKERS,
        )
        try:
            self.loop = Loop(ports, core)
        except Crash as crash:
            self._die(str(crash))
            return
        self._processes.retake()
        self.poke()

    def crash(self) -> None:
        """SIGKILL between two beats."""
        if self.loop is not None:
            self._die("between beats")

    def _die(self, moment: str) -> None:
        self.world.note("supervisor", "is killed", moment)
        self.fuse_left, self.fuse_at, self.fuse_record = None, "", None
        self.loop = None
        if self._processes is not None:
            self._processes.end()
            self._processes = None
        self.world.net.close()
        delay_ns = self.world.rng.choice((1, 10, 100, 1_500)) * 1_000_000
        self.world.time.later(delay_ns, self.start)

    # -- the crank --------------------------------------------------------------------------------

    def poke(self) -> None:
        """Something has arrived: beat soon."""
        self._beat_in(self.world.rng.randrange(5_000, 200_000))

    def _beat_in(self, delay_ns: int) -> None:
        at_ns = self.world.time.now_ns + delay_ns
        if self._beat_at_ns > self.world.time.now_ns and self._beat_at_ns <= at_ns:
            return
        self._beat_at_ns = at_ns
        life = self._life
        self.world.time.later(delay_ns, lambda: self._beat(life, at_ns))

    def _beat(self, life: int, at_ns: int) -> None:
        if self.loop is None or life != self._life or at_ns != self._beat_at_ns:
            return
        try:
            beats = 0
            while self.loop.beat():
                beats += 1
                if beats > BEATS_MAX:
                    raise AssertionError("the loop spins: it beats without end at one moment")
        except Crash as crash:
            self._die(str(crash))
            return
        except JournalBroken as error:
            self.world.note("supervisor", "recovers", str(error))
            self._open()
            return
        wait_ns = self.loop.wait_ns()
        if wait_ns is not None:
            self._beat_in(max(wait_ns, 1_000))

    def notices_left(self) -> list[str]:
        """Cells with notifications that no holder has received."""
        if self.loop is None:
            return ["no supervisor"]
        cells = self.loop.fleet.cells
        return [name for name in cells if cells[name].cell.notices]
