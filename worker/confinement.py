"""What a worker gives up before it speaks to anybody."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import sys
from typing import Final, NoReturn

from ..protocol.classes import dataclass
from . import kernel
from .exits import EXIT_ORPHAN, EXIT_UNSEALED
from .isolation.levels import Level, step
from .isolation.quarters import Berth, Quarters
from .signals import reset

OWN_DESCRIPTORS: Final = 32  # what the link and the loop need beside the cell's open files
OWN_THREADS: Final = 2  # main and the stand-by
# Of Python only what replay depends on: the rest is about the supervisor, or has been used.
KEPT_VARIABLES: Final = frozenset(
    {"PATH", "HOME", "TZ", "LANG", "LANGUAGE", "PYTHONHASHSEED", "OPENBLAS_NUM_THREADS"}
)
KEPT_PREFIXES: Final = ("LC_",)
PIPE_BYTES_AT_ONCE: Final = 1_000  # less than what the kernel never mixes with another's
DOOR_BYTES: Final = 8  # of an eventfd
SIGNALS_QUEUED_MAX: Final = 256
LOCKED_BYTES_MAX: Final = 64 * 1024
_CONFESSION: Final = 3
_MEMORY: Final = 4
_NOTHING: Final = 0  # where standard input leads
_DOOR: Final = 5


@dataclass(slots=True)
class Ties:
    """The descriptors of the outside that a worker keeps until it is given its cell.

    Attributes:
        confession: a pipe to the zygote, for what goes wrong before there is a link.
        memory: this process's size, told by the system.
        door: of a spare worker: readable when its work directory has its cell's name. Others have
            it too, opened on nothing: a cell can see which numbers are free.
    """

    token: bytes
    confession: int
    memory: int = -1
    door: int = -1
    is_cut: bool = False

    def confess(self, reason: str) -> NoReturn:
        """Say why this process cannot be a worker, and end it."""
        line = f"{self.token.hex()} {reason}".encode(errors="replace")[:PIPE_BYTES_AT_ONCE]
        os.write(self.confession, line.replace(b"\n", b" ") + b"\n")
        os._exit(EXIT_UNSEALED)

    def cut(self) -> None:
        """There is a link now: nothing more will be confessed.

        The numbers stay taken, by nothing. Another thread may open something just now, and what
        number the cell's first file has must not depend on who comes first.
        """
        os.dup2(_NOTHING, self.confession, inheritable=False)
        self.is_cut = True

    def pass_door(self) -> None:
        """Block until the work directory is the cell's. Nothing of the outside is open then.

        (In a self-test, which is never cut off, all but the door stays open.)
        """
        os.read(self.door, DOOR_BYTES)
        os.close(self.door)
        self.door = -1
        if self.is_cut:
            os.close(self.confession)
            os.close(self.memory)
            self.confession = self.memory = -1


def changed_signals() -> tuple[int, ...]:
    """The signals that this process treats in another way than the system does by default.

    To be asked once in the zygote: asking takes longer than all of the rest of `confine`.
    """
    known = range(1, signal.NSIG)
    return tuple(n for n in known if signal.getsignal(n) not in (signal.SIG_DFL, None))


def confine(
    quarters: Quarters, berth: Berth, ties: Ties, zygote_pid: int, signals: tuple[int, ...]
) -> None:
    """Make this freshly forked process a worker's.

    Death with the zygote; no descriptor or signal setting of the zygote (it has scrubbed its
    environment for all of them); the cell's limits; an empty directory to work in; and what the
    level says. `signals` are the zygote's own.

    Raises:
        Unsealed: the system refused one of these; the process must not run a cell then.
    """
    reset(signals)
    if berth.cage is not None:
        with step("the cgroup"):
            berth.cage.enter()
    quarters.move_in(berth)
    if quarters.level is Level.PROCESS:
        _bind_to_zygote()
    if quarters.level is not Level.SEALED and os.getppid() != zygote_pid:
        # It died before the death signal was set, so that will never come. Of a sealed one the
        # whole namespace ends with the zygote.
        os._exit(EXIT_ORPHAN)
    with step("descriptors"):
        nothing = os.open(os.devnull, os.O_RDWR)
        # Opened while the process table can be seen; read when all threads are there.
        ties.memory = os.open("self/statm", os.O_RDONLY | os.O_CLOEXEC, dir_fd=quarters.proc)
    quarters.wall_off(berth)
    with step("descriptors"):
        _close_descriptors(nothing, ties)
    with step("limits"):
        _set_limits(berth, quarters.level)
    if quarters.level is Level.RESTRICTED:  # a sealed one has the same as all others
        os.environ.update(HOME=berth.work, TMPDIR=berth.work)
    os.umask(0o077)
    quarters.bar()


def begin_session() -> None:
    """Leave the zygote's session, just before the cell's code runs.

    Linux shares the processors out among sessions first (autogroups), if it is told so. All workers
    that are being made have one share together, that of the zygote: however many they are, the
    supervisor and cells that run already go on beside them.

    Raises:
        Unsealed.
    """
    with step("an own session"):
        os.setsid()


def _bind_to_zygote() -> None:
    with step("death with the zygote"):
        kernel.set_process(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        # What the cell starts stays its descendant however it detaches, and falls to the zygote,
        # which kills it, when this process ends.
        kernel.set_process(kernel.PR_SET_CHILD_SUBREAPER, 1)
        kernel.set_process(kernel.PR_SET_NO_NEW_PRIVS, 1)


def scrub_environment() -> None:
    """Leave nothing in the environment but what a Python process needs to behave as usual."""
    for name in list(os.environ):
        if name not in KEPT_VARIABLES and not name.startswith(KEPT_PREFIXES):
            del os.environ[name]


def _close_descriptors(nothing: int, ties: Ties) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    # Out of the way first: either may have the number that the other is to get.
    door = nothing if ties.door < 0 else ties.door
    high = [
        fcntl.fcntl(tie, fcntl.F_DUPFD, _DOOR + 1) for tie in (ties.confession, ties.memory, door)
    ]
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    ties.confession = os.dup2(high[0], _CONFESSION, inheritable=False)
    ties.memory = os.dup2(high[1], _MEMORY, inheritable=False)
    ties.door = os.dup2(high[2], _DOOR, inheritable=False)
    kernel.close_from(_DOOR + 1)


def _set_limits(berth: Berth, level: Level) -> None:
    limits = berth.limits
    _lower(resource.RLIMIT_CORE, 0)
    if limits.cpu_seconds is not None:
        # The soft limit ends it by SIGXCPU, which says why; the hard one by SIGKILL does not.
        _lower(resource.RLIMIT_CPU, limits.cpu_seconds, spare=1)
    if limits.open_files is not None:
        _lower(resource.RLIMIT_NOFILE, limits.open_files + OWN_DESCRIPTORS)
    if limits.file_bytes is not None:
        _lower(resource.RLIMIT_FSIZE, limits.file_bytes)
    if limits.processes is not None and counts_processes(berth, level):
        _lower(resource.RLIMIT_NPROC, limits.processes + OWN_THREADS)
    if level is not Level.PROCESS:
        _lower(resource.RLIMIT_MEMLOCK, LOCKED_BYTES_MAX)
        _lower(resource.RLIMIT_MSGQUEUE, 0)
        _lower(resource.RLIMIT_SIGPENDING, SIGNALS_QUEUED_MAX)


def counts_processes(berth: Berth, level: Level) -> bool:
    """Whether the system counts the processes of a cell apart from all others of the user."""
    return berth.user is not None or level is Level.SEALED


def limit_memory(bytes_max: int | None, ties: Ties) -> None:
    """Bound the address space to what this process has now and so much more for the cell.

    To be called when everything that the worker itself needs is there.
    """
    if bytes_max is not None:
        pages = int(os.read(ties.memory, 200).split()[0])
        _lower(resource.RLIMIT_AS, pages * resource.getpagesize() + bytes_max)
    os.dup2(_NOTHING, ties.memory, inheritable=False)  # see `Ties.cut`


def _lower(kind: int, value: int, *, spare: int = 0) -> None:
    _, hard = resource.getrlimit(kind)
    most = value + spare if hard == resource.RLIM_INFINITY else min(value + spare, hard)
    resource.setrlimit(kind, (min(value, most), most))
