"""Lives of the production loop, one after the other, each ended where a charge says."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from ..supervisor.core.fleet import World as CoreWorld
from ..supervisor.shell.journal_schema import PACKERS
from ..supervisor.shell.loop import Loop
from ..supervisor.shell.ports import JournalBroken, Ports, Processes, Store, Wires
from .fuse import Charge, Fuse, Fused, Point
from .sim_processes import SimProcesses
from .sim_time import SimClock

if TYPE_CHECKING:
    from .world import World

BEATS_MAX = 50


class Crash(BaseException):
    """SIGKILL of the supervisor, at this very moment."""


class SimSupervisor:
    """Turns the crank, dies, and is started again.

    Attributes:
        fuse: sees every port call of every life.
        charges: when this life is to end.
        next_charges: when the next one is to end: a crash in the middle of recovery, for example.
        crashes: at which points earlier lives ended.
        life: 1 for the first.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.loop: Loop | None = None
        self.fuse = Fuse()
        self.fuse.watchers.append(self._look)
        self.charges: list[Charge] = []
        self.next_charges: list[Charge] = []
        self.crashes: list[str] = []
        self.life = 0
        self._clock = SimClock(world.time, reading_ns=100)
        self._processes: SimProcesses | None = None
        self._beat_at_ns = 0
        world.net.on_arrival = self.poke

    def defuse(self) -> None:
        """Die no more."""
        self.charges, self.next_charges = [], []

    def _look(self, point: Point) -> None:
        burnt = [charge for charge in self.charges if charge.burns_down(point)]  # counts them all
        if burnt:
            self.blow(str(point))

    def blow(self, moment: str) -> None:
        """Die here: only from within a port call."""
        self.crashes.append(moment)
        raise Crash(moment)

    # -- lives ------------------------------------------------------------------------------------

    def start(self) -> None:
        """A new life on the same disk."""
        if self.loop is not None:
            return
        self.life += 1
        self._processes = SimProcesses(self.world.zygote, self.poke)
        self.world.net.listen()
        self._guarded(self._open)

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Crash as crash:
            self._die(str(crash))

    def _open(self) -> None:
        """A loop, on what the journal has."""
        assert self._processes is not None
        assert self.world.net.listening is not None
        store = self.fuse.around("open", self.world.disk.open)
        self.world.note("supervisor", "begins epoch", str(store.epoch))
        ports = Ports(
            cast(Store, Fused(store, self.fuse)),
            cast(Wires, Fused(self.world.net.listening, self.fuse)),
            cast(Processes, Fused(self._processes, self.fuse)),
            self._clock,
        )
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
            spares=self.world.spares_max,
            hibernate_ns=self.world.hibernate_ns,
            finished_max=self.world.finished_max,
        )
        self.loop = Loop(ports, core)
        self.fuse.around("take command", self._processes.retake)
        self.poke()

    def crash(self) -> None:
        """SIGKILL between two beats."""
        if self.loop is not None:
            self._die("between beats")

    def _die(self, moment: str) -> None:
        self.world.note("supervisor", "is killed", moment)
        self.charges, self.next_charges = self.next_charges, []
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
        life = self.life
        self.world.time.later(delay_ns, lambda: self._beat(life, at_ns))

    def _beat(self, life: int, at_ns: int) -> None:
        if self.loop is not None and life == self.life and at_ns == self._beat_at_ns:
            self._guarded(self._beats)

    def _beats(self) -> None:
        assert self.loop is not None
        try:
            beats = 0
            while self.loop.beat():
                beats += 1
                if beats > BEATS_MAX:
                    raise AssertionError("the loop spins: it beats without end at one moment")
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
