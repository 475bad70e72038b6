"""What goes wrong in a world, and when: all of it drawn from the seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..supervisor.core import records as r
from ..supervisor.core.events import MemoryShort
from .fuse import AFTER, BEFORE, Charge
from .sim_host import MS
from .sim_worker import SimWorker

if TYPE_CHECKING:
    from .world import World

KINDS = {
    "crash": 12,
    "kill worker": 6,
    "kill workers on and on": 5,
    "machine": 2,
    "freeze worker": 3,
    "host vanishes": 3,
    "successor": 3,
    "racer": 2,
    "drop connection": 4,
    "slow": 2,
    "full": 2,
    "broken": 2,
    "zygote": 1,
    "memory is short": 3,
    "crash after fork": 2,
    "crash at a record": 6,
    "crash while frozen": 2,
    "crash while slow": 3,
    "broken while slow": 1,
}

RECORDS = (
    r.CellCreated,
    r.WorkerSaid,
    r.FrontierReached,
    r.GenerationConsumed,
    r.GenerationConsumed,
    r.YieldMade,
    r.CallsDispatched,
    r.CallFinished,
    r.CallsUnknown,
    r.TimerDue,
    r.CellCompleted,
    r.CellTerminated,
    r.AttachmentOpened,
    r.StoredChanged,
)


class Faults:
    """The trouble of one seed. `until_ns`: when it is over."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.until_ns = 0
        self._over = False

    def plan(self) -> None:
        """Draw what happens when."""
        rng, time = self.world.rng, self.world.time
        length_ns = rng.choice((200, 600, 1_500, 3_000)) * MS
        self.until_ns = time.now_ns + length_ns
        if rng.random() < 0.2:
            self.world.zygote.fails = 0.3
        self.world.zygote.late = rng.choice((0.0, 0.5))
        if rng.random() < 0.3:
            self.world.net.full_after = rng.randint(1, 4)
        if rng.random() < 0.25:
            self.world.net.repeats = rng.choice((0.02, 0.2))
        if rng.random() < 0.5:
            self.world.net.straggles = 0.7
        count = rng.choice((0, 2, 3, 4, 6, 8, 12))
        for kind in rng.choices(list(KINDS), list(KINDS.values()), k=count):
            at_ns = int(length_ns * rng.random() ** 2)
            if kind == "crash after fork" or rng.random() < 0.3:
                at_ns = rng.randrange(15 * MS)  # while cells are being made
            elif rng.random() < 0.6:
                at_ns = rng.randrange(200 * MS)  # while most of them run
            time.later(at_ns, lambda kind=kind: self._strike(kind))  # type: ignore[misc]

    def stop(self) -> None:
        """From now on nothing goes wrong."""
        world = self.world
        self._over = True
        world.disk.full, world.disk.broken = False, ""
        world.net.slowness, world.net.full_after = 1, 0
        world.net.repeats, world.net.straggles = 0.0, 0.0
        world.zygote.fails = 0.0
        world.supervisor.defuse()
        for worker in world.processes:
            if worker.is_frozen:
                worker.thaw()

    def _strike(self, kind: str) -> None:
        if self._over:
            return
        self.world.note("fault", "is", kind)
        name = "_" + kind.replace(" ", "_")
        getattr(self, name)()

    # -- the supervisor and its disk --------------------------------------------------------------

    def _crash(self) -> None:
        supervisor = self.world.supervisor
        if self._over:
            return
        rng = self.world.rng
        if rng.random() < 0.3:
            supervisor.next_charges = [Charge(rng.randrange(40))]
        if rng.random() < 0.15:
            supervisor.crash()
        elif rng.random() < 0.15:
            supervisor.charges.append(Charge(rng.randrange(60)))
        else:
            supervisor.charges.append(Charge(rng.randrange(24), acting=True))

    def _crash_after_fork(self) -> None:
        self.world.zygote.late = 0.6
        self.world.supervisor.charges.append(Charge(moment=AFTER, call="fork"))

    def _crash_at_a_record(self) -> None:
        """Before or after the next commit that has a record of this kind."""
        rng = self.world.rng
        moment, record = rng.choice((BEFORE, AFTER)), rng.choice(RECORDS)
        charge = Charge(moment=moment, call="commit", record=record)
        self.world.supervisor.charges.append(charge)

    def _crash_while_frozen(self) -> None:
        self._freeze_worker()
        self.world.time.later(self.world.rng.randrange(60) * MS, self._crash)

    def _crash_while_slow(self) -> None:
        self._slow()
        self.world.time.later(self.world.rng.randrange(20) * MS, self._crash)

    def _broken_while_slow(self) -> None:
        self._slow()
        self.world.time.later(self.world.rng.randrange(20) * MS, self._broken)

    def _full(self) -> None:
        self.world.disk.full = True
        delay_ns = self.world.rng.randrange(20, 900) * MS
        self.world.time.later(delay_ns, lambda: setattr(self.world.disk, "full", False))

    def _broken(self) -> None:
        if self._over:
            return
        self.world.disk.broken = self.world.rng.choice(("lost", "kept"))

    # -- workers ----------------------------------------------------------------------------------

    def _victim(self) -> SimWorker | None:
        living = [worker for worker in self.world.processes if not worker.is_dead]
        return self.world.rng.choice(living) if living else None

    def _kill_worker(self) -> None:
        worker = None if self._over else self._victim()
        if worker is not None:
            worker.is_lost = True
            self.world.zygote.ended(worker.token, -9, killed=False)

    def _kill_workers_on_and_on(self) -> None:
        """One after the other, also while they are run again."""
        rng = self.world.rng
        at_ns = 0
        for _ in range(rng.randint(2, 5)):
            at_ns += rng.randrange(1, 40) * MS
            self.world.time.later(at_ns, self._kill_worker)

    def _machine(self) -> None:
        """Everything is gone at once but the disk."""
        for host in self.world.hosts:
            host.vanish()
        self.world.zygote.crash()
        self.world.supervisor.crash()

    def _freeze_worker(self) -> None:
        worker = self._victim()
        if worker is not None and not worker.is_frozen:
            worker.freeze()
            delay_ns = self.world.rng.randrange(5, 1_200) * MS
            self.world.time.later(delay_ns, worker.thaw)

    def _zygote(self) -> None:
        self.world.zygote.crash()

    def _memory_is_short(self) -> None:
        """For a moment, in which it is said twice."""
        for processes in self.world.zygote.watching:
            for delay_ns in (0, 2 * MS):
                processes.soon(delay_ns, MemoryShort())

    # -- hosts and wires --------------------------------------------------------------------------

    def _host_vanishes(self) -> None:
        alive = [host for host in self.world.hosts if host.is_alive]
        if alive:
            self.world.rng.choice(alive).vanish()

    def _successor(self) -> None:
        self.world.add_successor()

    def _racer(self) -> None:
        self.world.add_racer()

    def _drop_connection(self) -> None:
        alive = [host for host in self.world.hosts if host.is_alive]
        if alive:
            self.world.rng.choice(alive).line.drop()

    def _slow(self) -> None:
        self.world.net.slowness = self.world.rng.choice((5, 30, 150))
        delay_ns = self.world.rng.randrange(10, 500) * MS
        self.world.time.later(delay_ns, lambda: setattr(self.world.net, "slowness", 1))
