"""What a worker gives up before it speaks to anybody. Level `process`: against accidents only."""

from __future__ import annotations

import os
import resource
import signal
import sys
from typing import Final, NoReturn

from ..protocol.limits import Limits
from . import kernel
from .exits import EXIT_ORPHAN

OWN_DESCRIPTORS: Final = 32  # what the link and the loop need beside the cell's open files
KEPT_VARIABLES: Final = frozenset({"PATH", "HOME", "TZ", "LANG", "LANGUAGE"})
KEPT_PREFIXES: Final = ("LC_", "PYTHON")


def changed_signals() -> tuple[int, ...]:
    """The signals that this process treats in another way than the system does by default.

    To be asked once in the zygote: asking takes longer than all of the rest of `confine`.
    """
    known = range(1, signal.NSIG)
    return tuple(n for n in known if signal.getsignal(n) not in (signal.SIG_DFL, None))


def confine(limits: Limits, work: str, zygote_pid: int, signals: tuple[int, ...]) -> None:
    """Make this freshly forked process a worker's.

    Its own session; death with the zygote; no descriptor, signal setting or environment of the
    zygote; the cell's limits; an empty directory to work in. `signals` are the zygote's own.

    Raises:
        OSError: the system refused one of these; the process must not run a cell then.
    """
    signal.set_wakeup_fd(-1)
    _reset_signals(signals)
    os.setsid()
    kernel.set_process(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != zygote_pid:
        # It died before the death signal was set, so that will never come.
        _end_as_orphan()
    # What the cell starts stays its descendant however it detaches, and falls to the zygote,
    # which kills it, when this process ends.
    kernel.set_process(kernel.PR_SET_CHILD_SUBREAPER, 1)
    kernel.set_process(kernel.PR_SET_NO_NEW_PRIVS, 1)
    _close_descriptors()
    _set_limits(limits)
    scrub_environment()
    os.chdir(work)
    os.umask(0o077)


def scrub_environment() -> None:
    """Leave nothing in the environment but what a Python process needs to behave as usual."""
    for name in list(os.environ):
        if name not in KEPT_VARIABLES and not name.startswith(KEPT_PREFIXES):
            del os.environ[name]


def _reset_signals(changed: tuple[int, ...]) -> None:
    for number in changed:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _close_descriptors() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    kernel.close_from(3)


def _set_limits(limits: Limits) -> None:
    # Not the number of processes: here all cells are of one user, and the system would count them
    # together.
    _lower(resource.RLIMIT_CORE, 0)
    files = None if limits.open_files is None else limits.open_files + OWN_DESCRIPTORS
    if limits.cpu_seconds is not None:
        # The soft limit ends it by SIGXCPU, which says why; the hard one by SIGKILL does not.
        _lower(resource.RLIMIT_CPU, limits.cpu_seconds, spare=1)
    for kind, value in (
        (resource.RLIMIT_NOFILE, files),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
    ):
        if value is not None:
            _lower(kind, value)


def limit_memory(bytes_max: int | None) -> None:
    """Bound the address space to what this process has now and so much more for the cell.

    To be called when everything that the worker itself needs is there: libzmq ends the process
    when it gets no memory.
    """
    if bytes_max is not None:
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[0])
        _lower(resource.RLIMIT_AS, pages * resource.getpagesize() + bytes_max)


def _lower(kind: int, value: int, *, spare: int = 0) -> None:
    _, hard = resource.getrlimit(kind)
    most = value + spare if hard == resource.RLIM_INFINITY else min(value + spare, hard)
    resource.setrlimit(kind, (min(value, most), most))


def _end_as_orphan() -> NoReturn:
    os._exit(EXIT_ORPHAN)
