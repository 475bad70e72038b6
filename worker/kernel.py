"""System calls that the standard library does not have."""

from __future__ import annotations

import ctypes
import os
from typing import Final

PR_SET_PDEATHSIG: Final = 1
PR_SET_DUMPABLE: Final = 4
PR_CAPBSET_DROP: Final = 24
PR_SET_CHILD_SUBREAPER: Final = 36
PR_SET_NO_NEW_PRIVS: Final = 38
PR_CAP_AMBIENT: Final = 47
# These have the same number on every architecture.
SYS_CLOSE_RANGE: Final = 436
SYS_MOUNT_SETATTR: Final = 442
SYS_LANDLOCK_CREATE_RULESET: Final = 444
SYS_LANDLOCK_ADD_RULE: Final = 445
SYS_LANDLOCK_RESTRICT_SELF: Final = 446
DESCRIPTOR_MAX: Final = 2**32 - 1
CLOCK_MONOTONIC: Final = 1
SECOND_NS: Final = 1_000_000_000

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
# Looked up once: each worker would do it anew.
_prctl: Final = _LIBC.prctl
_prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
_syscall: Final = _LIBC.syscall
_syscall.restype = ctypes.c_long
_unshare: Final = _LIBC.unshare
_unshare.argtypes = [ctypes.c_int]
_mount: Final = _LIBC.mount


class _TimerSpec(ctypes.Structure):
    _fields_ = tuple((part, ctypes.c_long) for part in ("every_s", "every_ns", "in_s", "in_ns"))


_timer_create: Final = _LIBC.timerfd_create
# With the interpreter's lock kept: these never wait, and giving the lock away is what costs.
_timer_settime: Final = ctypes.PyDLL(None).timerfd_settime
_timer_settime.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]


class Timer:
    """A timerfd of the real clock: readable when it has run out, until it is set again."""

    def __init__(self, after_ns: int) -> None:
        """Without a descriptor; see `open`."""
        self.descriptor = -1
        self._on = _TimerSpec(0, 0, *divmod(after_ns, SECOND_NS))
        self._off = _TimerSpec()
        self._on_at = ctypes.addressof(self._on)
        self._off_at = ctypes.addressof(self._off)

    def open(self) -> None:
        """Be there, and not run yet. Raises OSError: no descriptor is left."""
        # Whatever it is used for, the two flags have the numbers of the files' own.
        flags = os.O_CLOEXEC | os.O_NONBLOCK
        self.descriptor = int(_timer_create(CLOCK_MONOTONIC, flags))
        if self.descriptor < 0:
            raise _failed("timerfd_create")

    def start(self) -> None:
        """Let it run from now on."""
        _timer_settime(self.descriptor, 0, self._on_at, None)

    def stop(self) -> None:
        """Let it not run; it is not readable then."""
        _timer_settime(self.descriptor, 0, self._off_at, None)


_fork: Final = ctypes.PyDLL(None, use_errno=True).fork
_fork.argtypes = []
_fork.restype = ctypes.c_int


def fork_bare() -> int:
    """fork(2) with the C library's hooks and without Python's, which see to other threads' locks.

    For a process that has one thread, in which nobody holds a lock, and in which no module has
    registered hooks that matter: those of `threading`, `logging`, `random` and
    `concurrent.futures` change nothing there but every page that they touch, in both processes.

    Raises:
        OSError: the system could not give a process.
    """
    pid = int(_fork())
    if pid < 0:
        raise _failed("fork")
    return pid


def _failed(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")


def set_process(option: int, value: int, detail: int = 0) -> None:
    """prctl(option, value, detail).

    Raises:
        OSError: the kernel refused.
    """
    if _prctl(option, value, detail, 0, 0) != 0:
        raise _failed(f"prctl({option})")


def system_call(what: str, number: int, *arguments: ctypes.c_long | ctypes.c_void_p) -> int:
    """A system call by its number; `what` names it in the error.

    Raises:
        OSError: the kernel refused.
    """
    result = int(_syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        raise _failed(what)
    return result


def unshare(flags: int) -> None:
    """Leave namespaces for new ones.

    Raises:
        OSError: the kernel refused.
    """
    if _unshare(flags) != 0:
        raise _failed("unshare")


def enter(descriptor: int, kind: int) -> None:
    """setns(descriptor, kind).

    Raises:
        OSError: the kernel refused.
    """
    if _LIBC.setns(ctypes.c_int(descriptor), ctypes.c_int(kind)) != 0:
        raise _failed("setns")


def mount(source: str, target: str, kind: str, flags: int, options: str) -> None:
    """mount(2); empty strings are what the kernel calls null.

    Raises:
        OSError: the kernel refused.
    """
    words = [os.fsencode(word) or None for word in (source, target, kind)]
    given = options.encode() or None
    if _mount(*words, ctypes.c_ulong(flags), given) != 0:
        raise _failed(f"mount {source or kind} on {target}")


def unmount(target: str, flags: int) -> None:
    """umount2(2).

    Raises:
        OSError: the kernel refused.
    """
    if _LIBC.umount2(os.fsencode(target), ctypes.c_int(flags)) != 0:
        raise _failed(f"umount {target}")


def close_from(lowest: int) -> None:
    """Close every descriptor from this one on."""
    arguments = (ctypes.c_uint(lowest), ctypes.c_uint(DESCRIPTOR_MAX), ctypes.c_uint(0))
    if _syscall(ctypes.c_long(SYS_CLOSE_RANGE), *arguments) == 0:
        return
    for name in os.listdir("/proc/self/fd"):  # kernels before 5.9
        if int(name) >= lowest:
            try:
                os.close(int(name))
            except OSError:  # that of the listing itself
                continue
