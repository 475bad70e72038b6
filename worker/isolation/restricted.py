"""Level `restricted`: Landlock, seccomp and limits, on machines that give no namespaces."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from ...protocol.limits import Limits
from . import filters, landlock, seccomp, walls
from .cgroups import Cages
from .filters import Marks, Policy
from .levels import Level, step
from .quarters import Berth, Directories, Sockets
from .syscalls import this_machine
from .user_numbers import UserNumbers


class RestrictedQuarters:
    """For the zygote. With `users` (it is root) each cell has a user number of its own."""

    level = Level.RESTRICTED

    def __init__(
        self,
        proc: int,
        work: str,
        workers: str,
        readable: Sequence[str],
        users: UserNumbers | None,
        cages: Cages | None,
    ) -> None:
        """`work` is a directory whose path any user may walk, if there are `users`.

        Raises:
            OSError: the kernel refused.
        """
        self.proc = proc
        self._directories = Directories(work)
        self._workers = workers
        self._users = users
        self._cages = cages
        self._abi = landlock.abi()
        if self._abi < landlock.ABI_MIN:
            raise OSError(
                f"Landlock ABI {self._abi}, and {landlock.ABI_MIN} is needed; "
                "boot Linux 6.2 or later with landlock in its list of security modules"
            )
        self._rules = walls.open_rules(readable)
        landlock.prepare(self._rules, self._abi)
        self._door = os.open(workers, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        marks = Marks.WITHOUT_EFFECT if users is None else Marks.REAL
        machine = this_machine()
        self._program = filters.first_filter(machine, Policy(marks, Sockets.GIVEN_UP))
        self._no_sockets = filters.no_sockets_filter(machine)

    def left_over(self, work: str = "") -> list[str]:
        return self._directories.take_aside(work)

    def prepare(self, cell: str, limits: Limits) -> Berth:
        cage = walls.cage_for(self._cages, limits)
        user = None
        try:
            work = self._directories.make(cell)
            if self._users is not None:
                user = self._users.take()
                os.chown(work, user, user)
        except OSError:
            if cage is not None:
                cage.remove()
            raise
        return Berth(work, limits, user, cage)

    def work_of(self, cell: str) -> str:
        return self._directories.path_of(cell)

    def lodge(self, berth: Berth, cell: str) -> None:
        berth.work = self._directories.rename(berth.work, cell)

    def clear(self, berth: Berth) -> None:
        if berth.cage is not None:
            berth.cage.remove()
        if self._users is not None and berth.user is not None:
            self._users.give_back(berth.user)

    def fork(self, fork: Callable[[], int]) -> int:
        return fork()

    def number_outside(self, pid: int, pidfd: int) -> int:
        return pid

    def endpoint(self, endpoint: str) -> str:
        directory, name = os.path.split(endpoint.removeprefix("ipc://"))
        if os.path.realpath(directory) != os.path.realpath(self._workers):
            raise OSError(
                f"{endpoint} is not in {self._workers}; start the zygote with its --workers"
            )
        # Relative: a cell of another user may not walk the path to it.
        return f"ipc://{name}"

    def move_in(self, berth: Berth) -> None:
        walls.become(berth.user)

    def wall_off(self, berth: Berth) -> None:
        with step("the way to the supervisor"):
            os.fchdir(self._door)
        walls.wall_off(self._rules, berth.work, self._abi)

    def bar(self) -> None:
        walls.bar(filters.for_process(self._program, os.getpid()))

    def give_up_sockets(self, berth: Berth) -> Sockets:
        with step("the work directory"):
            os.chdir(berth.work)
        with step("giving up sockets"):
            seccomp.load_for_all_threads(self._no_sockets)
        return Sockets.GIVEN_UP
