"""Level `sealed`: a root, processes, shared memory and network of the cell's own."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Final

from ...protocol.limits import Limits
from .. import kernel
from . import capabilities, filters, jail_root, landlock, namespaces, walls
from .cgroups import Cages
from .filters import Marks, Policy
from .landlock import Rule
from .levels import Level, Unsealed, step
from .quarters import Berth, Sockets
from .syscalls import this_machine
from .user_numbers import UserNumbers

FIRST_OF_ITS_NAMESPACE: Final = 1
FILE_BYTES_LEAST: Final = 4096  # of a tmpfs: so many files at most for its size
FILES_MAX: Final = 65_536


class SealedQuarters:
    """For the zygote. Every cell is the first process of a namespace of its own."""

    level = Level.SEALED

    def __init__(
        self,
        proc: int,
        workers: Sequence[str],
        users: UserNumbers | None,
        cages: Cages | None,
    ) -> None:
        """For a zygote in the root of `enter_root`.

        `proc` is the process table outside, `workers` has the names there of the directory with
        the workers' socket; without `users` a cell has a user namespace.

        Raises:
            OSError: the kernel refused.
        """
        self.proc = proc
        self._workers = workers
        self._users = users
        self._cages = cages
        self._own_processes = os.open("self/ns/pid", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
        self._abi = landlock.abi()
        self._rules: list[Rule] = walls.open_rules(["/"]) if self._abi else []
        if self._abi:
            landlock.prepare(self._rules, self._abi)
        program = filters.first_filter(this_machine(), Policy(Marks.REAL, Sockets.KEPT))
        self._program = filters.for_process(program, FIRST_OF_ITS_NAMESPACE)

    def left_over(self, work: str = "") -> list[str]:
        return []  # they went with their namespaces

    def prepare(self, cell: str, limits: Limits) -> Berth:
        cage = walls.cage_for(self._cages, limits)
        try:
            user = self._users.take() if self._users is not None else None
        except OSError:
            if cage is not None:
                cage.remove()
            raise
        return Berth(jail_root.WORK, limits, user, cage)

    def work_of(self, cell: str) -> str:
        return jail_root.WORK

    def lodge(self, berth: Berth, cell: str) -> None:
        """Every cell's has the same name."""

    def clear(self, berth: Berth) -> None:
        if berth.cage is not None:
            berth.cage.remove()
        if self._users is not None and berth.user is not None:
            self._users.give_back(berth.user)

    def fork(self, fork: Callable[[], int]) -> int:
        kernel.unshare(namespaces.PROCESSES)
        pid = -1
        try:
            pid = fork()
        finally:
            if pid != 0:
                # Without this the next one would find the kernel unwilling: a process enters a
                # new namespace for its children once.
                kernel.enter(self._own_processes, namespaces.PROCESSES)
        return pid

    def number_outside(self, pid: int, pidfd: int) -> int:
        return namespaces.number_outside(self.proc, pidfd)

    def endpoint(self, endpoint: str) -> str:
        directory, name = os.path.split(endpoint.removeprefix("ipc://"))
        if directory in self._workers:
            return f"ipc://{jail_root.WORKERS}/{name}"
        places = " or ".join(self._workers)
        raise OSError(f"{endpoint} is not in {places}; start the zygote with its --workers")

    def move_in(self, berth: Berth) -> None:
        wanted = namespaces.MOUNTS | namespaces.SHARED_MEMORY
        with step("own namespaces"):
            if berth.user is None:
                namespaces.leave_users(wanted, self.proc)
                capabilities.bound_nothing()
            else:
                kernel.unshare(wanted)
        with step("the work directory"):
            work_bytes = berth.limits.work_bytes
            if work_bytes is None:
                raise Unsealed("the work directory", "it has no bound; set Limits.work_bytes")
            files = max(16, min(work_bytes // FILE_BYTES_LEAST, FILES_MAX))
            jail_root.mount_work(work_bytes, files)
            if berth.user is not None:
                os.chown(jail_root.WORK, berth.user, berth.user)
        walls.become(berth.user)

    def wall_off(self, berth: Berth) -> None:
        if self._abi:  # without it the root is the only wall, and the report says so
            walls.wall_off(self._rules, berth.work, self._abi)

    def bar(self) -> None:
        walls.bar(self._program)

    def give_up_sockets(self, berth: Berth) -> Sockets:
        return Sockets.KEPT  # there is nothing else to connect to


def enter_root(readable: Sequence[str], workers: str) -> None:
    """Make this process's mounts, network, shared memory and host name its own, and its root.

    Raises:
        Unsealed.
    """
    steps: list[tuple[str, Callable[[], None]]] = [
        ("a mount namespace", lambda: kernel.unshare(namespaces.MOUNTS)),
        ("a network namespace", lambda: kernel.unshare(namespaces.NETWORK)),
        ("a namespace of shared memory", lambda: kernel.unshare(namespaces.SHARED_MEMORY)),
        ("a namespace of host names", lambda: kernel.unshare(namespaces.NAMES_OF_HOST)),
        ("an own root", lambda: jail_root.build(readable, workers)),
    ]
    for name, act in steps:
        with step(name):
            act()
