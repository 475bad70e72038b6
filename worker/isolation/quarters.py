"""Where a cell lives: what its zygote has made ready, and how a worker moves in."""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import Enum
from typing import Final, Protocol

from ...protocol.classes import dataclass
from ...protocol.hashing import blake2b
from ...protocol.limits import Limits
from .. import scratch
from .cgroups import Cage
from .levels import Level

NAME_BYTES: Final = 6


class Sockets(Enum):
    """Whether a worker can open sockets when it has its cell."""

    KEPT = "kept"
    GIVEN_UP = "given up"


@dataclass(slots=True)
class Berth:
    """One worker's part of it.

    Attributes:
        work: where the cell works.
        user: the user number of its own; None: that of the zygote.
        limits: those that hold, defaults of the level included.
    """

    work: str
    limits: Limits
    user: int | None = None
    cage: Cage | None = None


class Quarters(Protocol):
    """What the zygote asks of a level.

    `move_in`, `wall_off` and `bar` are for the forked child, in this order; `give_up_sockets` is
    for its link, when it is connected. They raise `Unsealed`, and nothing may run there then.
    """

    level: Level
    proc: int  # the process table of the outside

    def prepare(self, cell: str, limits: Limits) -> Berth:
        """Make ready what a worker needs. Raises OSError: the machine could not give it."""

    def work_of(self, cell: str) -> str:
        """Where this cell works, in each of its lives."""

    def lodge(self, berth: Berth, cell: str) -> None:
        """The work directory of this spare worker is the cell's now.

        Raises OSError: it could not be given the name.
        """

    def left_over(self, work: str = "") -> list[str]:
        """Directories of earlier lives, also that of `work`, moved where they are in nobody's way.

        The caller removes them.
        """

    def clear(self, berth: Berth) -> None:
        """The worker is gone; what is on the disk is left to the caller."""

    def fork(self, fork: Callable[[], int]) -> int:
        """Fork a worker by `fork`; returns its number here, or 0 in it. Raises OSError."""

    def number_outside(self, pid: int, pidfd: int) -> int:
        """The number that the supervisor knows a worker by."""

    def endpoint(self, endpoint: str) -> str:
        """Where a worker finds the socket that the supervisor calls so.

        Raises OSError: it is in no place that cells of this level can reach.
        """

    def move_in(self, berth: Berth) -> None:
        """Enter namespaces and become who the cell is."""

    def wall_off(self, berth: Berth) -> None:
        """Lose the sight of everything that is not the cell's."""

    def bar(self) -> None:
        """Load the filter of system calls."""

    def give_up_sockets(self, berth: Berth) -> Sockets:
        """From here on no socket can be opened, if the level says so."""


class OpenQuarters:
    """Level `process`: a directory, and nothing is hidden."""

    level = Level.PROCESS

    def __init__(self, work: str, proc: int) -> None:
        self.proc = proc
        self.directories = Directories(work)

    def prepare(self, cell: str, limits: Limits) -> Berth:
        return Berth(self.directories.make(cell), limits)

    def work_of(self, cell: str) -> str:
        return self.directories.path_of(cell)

    def lodge(self, berth: Berth, cell: str) -> None:
        berth.work = self.directories.rename(berth.work, cell)

    def left_over(self, work: str = "") -> list[str]:
        return self.directories.take_aside(work)

    def clear(self, berth: Berth) -> None:
        """Nothing was taken."""

    def fork(self, fork: Callable[[], int]) -> int:
        return fork()

    def number_outside(self, pid: int, pidfd: int) -> int:
        return pid

    def endpoint(self, endpoint: str) -> str:
        return endpoint

    def move_in(self, berth: Berth) -> None:
        """Nothing is left behind."""

    def wall_off(self, berth: Berth) -> None:
        os.chdir(berth.work)

    def bar(self) -> None:
        """Every system call is allowed."""

    def give_up_sockets(self, berth: Berth) -> Sockets:
        return Sockets.KEPT


class Directories:
    """Directories in one; each has the same name in every life of its cell, which may show it."""

    def __init__(self, parent: str) -> None:
        self._parent = parent
        self._moved = 0
        self._aside: list[str] = []

    def make(self, cell: str) -> str:
        """A new empty one; that of a life before is moved aside.

        Raises:
            OSError: the system gave none.
        """
        path = self._make_room(cell)
        return scratch.make(self._parent, os.path.basename(path))

    def path_of(self, cell: str) -> str:
        """The one of this cell, whether it is there or not."""
        name = f"w{blake2b(cell.encode(), digest_size=NAME_BYTES).hexdigest()}"
        return os.path.join(self._parent, name)

    def rename(self, path: str, cell: str) -> str:
        """Make this directory the cell's, as `make` does with a new one.

        Raises:
            OSError: the system refused.
        """
        wanted = self._make_room(cell)
        os.rename(path, wanted)
        return wanted

    def _make_room(self, cell: str) -> str:
        path = self.path_of(cell)
        if os.path.lexists(path):
            self._aside.append(self._move_aside(path))
        return path

    def _move_aside(self, path: str) -> str:
        while True:
            self._moved += 1
            aside = os.path.join(self._parent, f"old{self._moved:06d}")
            if not os.path.lexists(aside):  # left behind by a zygote that was killed
                os.rename(path, aside)
                return aside

    def take_aside(self, path: str) -> list[str]:
        """What was moved aside since the last call, and this one, if it is given and there."""
        if path and os.path.lexists(path):
            self._aside.append(self._move_aside(path))
        aside, self._aside = self._aside, []
        return aside
