"""One small story, told again and again: each time, trouble strikes one port call later.

Thousands of random worlds may all miss the one moment at which a crash hurts. Here no moment is
left out: trouble strikes before and after the first port call of the supervisor, then the second,
and so on until the story ends before trouble can strike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from ..protocol.packed import CellKind, EventKind, Reason, Stepping
from . import scripts
from .fuse import BEFORE, Charge, Point
from .programs import MS, PAIR, Program
from .promise import Promise, PromiseBroken
from .sim_host import SimHost
from .world import World

RECOVERY_POINTS = 60  # of a life that is killed again: it has recovered by then


class Trouble(Enum):
    """What strikes."""

    CRASH = "the supervisor is killed"
    CRASH_TWICE = "the supervisor is killed, and its successor while it recovers"
    WORKERS = "every worker is killed"
    ZYGOTE = "the zygote is killed"
    HOST = "the host is killed, and another opens its session"
    MACHINE = "the machine is switched off"
    DISK_FULL = "the disk is full for a while"
    WRITE_LOST = "a write fails and is not on the disk"
    WRITE_KEPT = "a write fails and is on the disk"

    @property
    def option(self) -> str:
        """Its name on the command line."""
        return self.name.lower().replace("_", "-")


_OF_THE_DISK = (Trouble.DISK_FULL, Trouble.WRITE_LOST, Trouble.WRITE_KEPT)
_OF_HOSTS = (Trouble.HOST, Trouble.MACHINE)

PROGRAMS = (
    Program(
        "in steps",
        CellKind.PAUSABLE,
        Stepping.DRAIN,
        (
            *(("text",), ("gather", 1, "search"), ("store", PAIR[0]), ("gather", 2, "slow")),
            *(("sleep", 5 * MS), ("notify",), ("gather", 1, "search"), ("store", PAIR[1])),
        ),
        "exit",
    ),
    Program(
        "by itself",
        CellKind.CONTINUING,
        Stepping.DRAIN,
        (
            *(("load", PAIR[0]), ("text",), ("yield",), ("gather", 2, "search")),
            *(("sleep", 3 * MS), ("notify",), ("text",)),
        ),
        "end",
    ),
    Program(
        "until told",
        CellKind.PAUSABLE,
        Stepping.ONE,
        (("store", PAIR[0]), ("text",), ("gather", 2, "slow"), ("sleep", 300 * MS)),
        "end",
    ),
)
TERMINATED = "until told"


class Plot(Enum):
    """Who takes part."""

    ONE_HOST = "one host"
    TWO_HOSTS = "two racing hosts"

    @property
    def option(self) -> str:
        """Its name on the command line."""
        return self.name.lower().replace("_", "-")

    @property
    def seed(self) -> int:
        """Of everything that is drawn: delays, and what hosts do."""
        return 11 if self is Plot.ONE_HOST else 20  # such that much happens


@dataclass(frozen=True, slots=True)
class Moment:
    """Where trouble strikes: at the Nth point, and for a second crash the Nth of the next life."""

    point: int
    then: int = 0

    @classmethod
    def parse(cls, text: str) -> Moment:
        """The inverse of `str`. Raises `ValueError`."""
        point, _, then = text.partition("+")
        return cls(int(point), int(then) if then else 0)

    def __str__(self) -> str:
        return f"{self.point}+{self.then}" if self.then else str(self.point)


class Stage(World):
    """The story with trouble at one moment.

    Attributes:
        struck: the point at which it was; None: the story has fewer points.
        twice: the second crash has been, too.
    """

    def __init__(self, plot: Plot, trouble: Trouble, moment: Moment) -> None:
        super().__init__(plot.seed)
        self.spares_max = 1
        self.plot, self.trouble, self.moment = plot, trouble, moment
        self.struck: Point | None = None
        self._left = moment.point
        self.supervisor.fuse.watchers.append(self._look)

    @property
    def twice(self) -> bool:
        """Whether the second crash has been, too."""
        return len(self.supervisor.crashes) > 1

    def play(self) -> None:
        """The story, and what must be true at its end."""
        self.supervisor.start()
        host = self.add_host("host-A", self.ask(take_over=False))
        for number, program in enumerate(PROGRAMS):
            self.programs[program.name] = program
            # Not at once: so that there is a spare worker for one of them.
            host.drive(scripts.create(self, host, program, f"key {number}", number * 12 * MS))
        host.drive(scripts.write_values(self, host, 2))
        if self.plot is Plot.TWO_HOSTS:
            self.add_host("racer", None)
        self.settle()
        self.promises.at_the_end()
        self._check_that_nothing_was_lost()

    def is_quiet(self) -> bool:
        """Whether everything has been done; before all cells are there nothing has."""
        wanted = 0 if self.trouble in _OF_HOSTS else len(PROGRAMS)
        return len(self.journal.cells) >= wanted and super().is_quiet()

    def cell_made(self, host: SimHost, cell: str, program: Program) -> None:
        """Every host that lives brings it to its end."""
        for each in self.hosts:
            if each.is_alive:
                each.drive(scripts.follow(self, each, cell, program.kind, calm=False))
        if program.name == TERMINATED:
            host.drive(scripts.terminate(self, host, cell, 12 * MS))

    # -- trouble ----------------------------------------------------------------------------------

    def _look(self, point: Point) -> None:
        if self.struck is not None:
            return
        if self.trouble in _OF_THE_DISK and (point.call, point.moment) != ("commit", BEFORE):
            return
        self._left -= 1
        if self._left:
            return
        self.struck = point
        self.note("fault", "is", f"{self.trouble.value} ({point.moment} call {point.number})")
        _STRIKES[self.trouble](self, str(point))

    def _crash(self, point: str) -> None:
        if self.moment.then:
            self.supervisor.next_charges = [Charge(self.moment.then - 1)]
        self.supervisor.blow(point)

    def _kill_workers(self, point: str) -> None:
        for worker in self.processes:
            worker.is_lost = worker.is_lost or not worker.is_dead
        for token in list(self.zygote.living):
            self.zygote.ended(token, -9, killed=False)

    def _kill_zygote(self, point: str) -> None:
        self.zygote.crash()

    def _kill_host(self, point: str) -> None:
        for host in self.hosts[:1]:
            host.vanish()
        self.time.later(50 * MS, self.add_last_holder)

    def _switch_off(self, point: str) -> None:
        for host in self.hosts:
            host.vanish()
        self.time.later(50 * MS, self.add_last_holder)
        self.zygote.crash()
        self.supervisor.blow(point)

    def _fill_disk(self, point: str) -> None:
        self.disk.full = True
        self.time.later(300 * MS, lambda: setattr(self.disk, "full", False))

    def _lose_write(self, point: str) -> None:
        self.disk.broken = "lost"

    def _keep_write(self, point: str) -> None:
        self.disk.broken = "kept"

    # -- the end ----------------------------------------------------------------------------------

    def _check_that_nothing_was_lost(self) -> None:
        if self.trouble not in _OF_HOSTS and len(self.journal.cells) != len(PROGRAMS):
            self._harmed("", f"{len(self.journal.cells)} cells of {len(PROGRAMS)}")
        for cell, log in self.journal.cells.items():
            assert log.final is not None
            program = self.programs[self.disk.cells[cell].name]
            if log.final.kind is EventKind.TERMINATED and program.name == TERMINATED:
                continue
            if log.final.reason is not Reason.ENDED or log.final.stop != program.texts:
                self._harmed(cell, f"{log.final} instead of {program.texts} texts and its end")
            if self.trouble not in _OF_HOSTS and log.unknown:
                self._harmed(cell, f"the outcome of calls {log.unknown} was unknown")

    def _harmed(self, cell: str, detail: str) -> None:
        raise PromiseBroken(Promise.UNHARMED, detail, cell)

    @property
    def again(self) -> str:
        """The command that shows this again."""
        which = f"--plot {self.plot.option} --trouble {self.trouble.option} --at {self.moment}"
        return f"tidemark-simulate {which} --story"

    def __str__(self) -> str:
        return f"{self.trouble.value}, {self.plot.value}, at point {self.moment}"


_STRIKES: dict[Trouble, Callable[[Stage, str], None]] = {
    Trouble.CRASH: Stage._crash,
    Trouble.CRASH_TWICE: Stage._crash,
    Trouble.WORKERS: Stage._kill_workers,
    Trouble.ZYGOTE: Stage._kill_zygote,
    Trouble.HOST: Stage._kill_host,
    Trouble.MACHINE: Stage._switch_off,
    Trouble.DISK_FULL: Stage._fill_disk,
    Trouble.WRITE_LOST: Stage._lose_write,
    Trouble.WRITE_KEPT: Stage._keep_write,
}
