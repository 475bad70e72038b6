"""System calls that the standard library does not have."""

from __future__ import annotations

import ctypes
import os
from typing import Final

PR_SET_PDEATHSIG: Final = 1
PR_SET_DUMPABLE: Final = 4
PR_SET_CHILD_SUBREAPER: Final = 36
PR_SET_NO_NEW_PRIVS: Final = 38
SYS_CLOSE_RANGE: Final = 436  # the same number on every architecture
DESCRIPTOR_MAX: Final = 2**32 - 1

_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def set_process(option: int, value: int) -> None:
    """prctl(option, value).

    Raises:
        OSError: the kernel refused.
    """
    zero = ctypes.c_ulong(0)
    if _LIBC.prctl(ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")


def close_from(lowest: int) -> None:
    """Close every descriptor from this one on."""
    arguments = (ctypes.c_uint(lowest), ctypes.c_uint(DESCRIPTOR_MAX), ctypes.c_uint(0))
    if _LIBC.syscall(ctypes.c_long(SYS_CLOSE_RANGE), *arguments) == 0:
        return
    for name in os.listdir("/proc/self/fd"):  # kernels before 5.9
        if int(name) >= lowest:
            try:
                os.close(int(name))
            except OSError:  # that of the listing itself
                continue
